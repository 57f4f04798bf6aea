"""A method looks the same in every chapter."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from course_lib import show
from course_lib.errors import CourseError

# Okabe and Ito, "Color Universal Design", 2008: black, orange, sky blue, bluish green, yellow, blue, vermilion, purple.
OKABE_ITO = {"#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"}


@pytest.fixture
def ax():
    with mpl.rc_context():
        show.use_style()
        fig, ax = plt.subplots()
        yield ax
        plt.close(fig)


def test_methods_are_told_apart_by_safe_colours_and_by_markers():
    """Big and small are sizes: they never share a figure with the methods that have their colours."""
    assert {look.color for look in show.METHODS.values()} <= OKABE_ITO
    for left_out in ({"big", "small"}, {"logits", "gradient"}):
        looks = [look for name, look in show.METHODS.items() if name not in left_out]
        assert len({look.color for look in looks}) == len({look.marker for look in looks}) == len(looks)


def test_every_chapter_knows_these_methods():
    colors = {show.color(name) for name in ("hard labels", "soft targets", "teacher", "big", "small")}
    assert len(colors) == 5


def test_unknown_method_is_named():
    with pytest.raises(CourseError, match=r"hard labels.*got 'hard label'"):
        show.color("hard label")


def test_figures_are_opaque_white_cards_on_any_page(ax):
    assert mpl.colors.to_rgba(ax.figure.get_facecolor()) == (1, 1, 1, 1)
    assert mpl.colors.to_rgba(ax.get_facecolor()) == (1, 1, 1, 1)
    assert mpl.colors.to_rgba(mpl.rcParams["savefig.facecolor"]) == (1, 1, 1, 1)


def test_a_label_that_is_no_method_gets_a_colour_of_its_own(ax):
    show.curves(ax, [1, 2], [[1, 2], [2, 3]], label="soft targets")
    show.curves(ax, [1, 2], [[1, 2], [2, 3]], label="something new")
    show.curves(ax, [1, 2], [[1, 2], [2, 3]], label="something newer")
    assert len({line.get_color() for line in ax.lines}) == 3
    assert len({line.get_marker() for line in ax.lines}) == 3
