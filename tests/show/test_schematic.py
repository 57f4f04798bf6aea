"""Schematics: words lie inside their boxes, boxes apart, arrows go from border to border, all legible on a phone."""

import itertools
from pathlib import Path

import examples
import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from course_lib import show
from course_lib.errors import CourseError
from course_lib.show import Arrow, Axis, Box

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
EXAMPLES = [examples.chapter_02, examples.chapter_07, examples.chapter_08]


@pytest.fixture
def drawn():
    """drawn(function, *arguments): the figure that a call draws."""

    def draw(function, *arguments, **settings):
        assert function(*arguments, **settings) is None  # a notebook would draw a returned figure twice
        figure = plt.gcf()
        figure.canvas.draw()
        return figure

    yield draw
    plt.close("all")


def boxes(figure):
    """The front sheet of each box in pixels, by the words in it."""
    patches = [each for each in figure.axes[0].patches if isinstance(each, FancyBboxPatch)]
    extents = [each.get_window_extent() for each in patches]
    found = {}
    for text in figure.axes[0].texts:
        if text.get_weight() == "bold":
            x, y = text.get_window_extent().get_points().mean(axis=0)
            around = [each for each in extents if each.contains(x, y)]
            if around:
                found[text.get_text()] = around[-1]
    return found


def arrows(figure):
    return [each for each in figure.axes[0].patches if isinstance(each, FancyArrowPatch) and each.zorder < 1]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.__name__)
def test_words_lie_inside_their_boxes_and_the_drawing_and_never_on_one_another(drawn, example):
    figure = drawn(example)
    texts = [each.get_window_extent() for each in figure.axes[0].texts if each.get_text()]
    for text in texts:
        assert figure.bbox.containsx(text.x0)
        assert figure.bbox.containsx(text.x1)
        assert figure.bbox.containsy(text.y0)
        assert figure.bbox.containsy(text.y1)
    for name, box in boxes(figure).items():
        inside = [each for each in texts if box.overlaps(each)]
        for each in inside:
            assert box.x0 < each.x0 < each.x1 < box.x1, name
            assert box.y0 < each.y0 < each.y1 < box.y1, name
    for first, second in itertools.combinations(texts, 2):
        assert not first.overlaps(second)
    for first, second in itertools.combinations(boxes(figure).values(), 2):
        assert not first.overlaps(second)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.__name__)
def test_letters_are_legible_in_the_350_pixels_that_a_phone_has(drawn, example):
    figure = drawn(example)
    shown = min(1, 350 / (figure.get_figwidth() * 120))  # the course draws 120 pixels per inch
    smallest = min(each.get_fontsize() for each in figure.axes[0].texts)
    assert smallest * 120 / 72 * shown >= 10
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    figure.savefig(SCREENSHOTS / f"schematic_{example.__name__}.png", dpi=120, facecolor="white")


def test_arrows_join_the_borders_of_their_boxes(drawn):
    rows = [[Box("a"), Box("b")], [Box("c", "big")]]
    figure = drawn(show.schematic, rows, arrows=[("a", "b", "words"), Arrow("b", "c", dashed=True)])
    place, (across, down) = boxes(figure), arrows(figure)
    to_pixels = figure.axes[0].transData.transform
    (x0, y0), (x1, y1) = to_pixels(across._path_original.vertices)
    assert place["a"].x1 < x0 < x1 < place["b"].x0
    assert y0 == y1
    points = to_pixels(down._path_original.vertices)
    assert place["b"].x0 < points[0][0] < place["b"].x1
    assert place["c"].x0 < points[-1][0] < place["c"].x1
    assert place["b"].y0 > points[0][1] > points[-1][1] > place["c"].y1
    assert across.get_linestyle() == "-"
    assert down.get_linestyle() != "-"
    assert "words" in {text.get_text() for text in figure.axes[0].texts}


def test_an_arrow_back_runs_beside_the_one_forth(drawn):
    figure = drawn(
        show.schematic, [[Box("network")], [Box("loss", "loss")]], [("network", "loss"), ("loss", "network")]
    )
    forth, back = (each._path_original.vertices for each in arrows(figure))
    assert abs(forth[0][0] - back[0][0]) > 10
    assert forth[0][1] > forth[-1][1]
    assert back[0][1] < back[-1][1]


def test_boxes_in_rows_of_one_length_stand_below_one_another_and_a_big_network_is_bigger(drawn):
    rows = [[Box("teacher", "big"), Box("a long name of a box", "data")], [None, Box("student", "small")]]
    place = boxes(drawn(show.schematic, rows))
    middle = {name: (box.x0 + box.x1) / 2 for name, box in place.items()}
    assert middle["student"] > middle["teacher"]
    assert abs(middle["student"] - middle["a long name of a box"]) < 8  # sheets are drawn behind one
    assert place["teacher"].height > 1.4 * place["student"].height


@pytest.mark.parametrize(
    ("rows", "arrows", "message"),
    [
        ([], [], "rows must hold at least one Box, got none"),
        ([Axis("steps", ("1",))], [], "rows must hold at least one Box, got none"),
        ([[]], [], "rows must be an Axis, or a list with at least one Box"),
        ([Box("a")], [], "rows must be an Axis, or a list"),
        ([["a"]], [], "rows must be an Axis, or a list"),
        ([[Box("a", "huge")]], [], "kind must be one of big.*got 'huge' for 'a'"),
        ([[Box("a")], [Box("a")]], [], "rows must have different names, got 'a' twice"),
        ([[Box("a")]], [("a", "b")], "arrows must join two of a, got 'b'"),
        ([[Box("words " * 20), Box("words " * 21)]], [], "rows must be at most 470 points wide"),
    ],
)
def test_refuses_what_cannot_be_drawn(rows, arrows, message):
    with pytest.raises(CourseError, match=message):
        show.schematic(rows, arrows)
