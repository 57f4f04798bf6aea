"""Differences of pairs are drawn where they were measured, with their mean, interval, margin and verdict."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from course_lib import show
from course_lib.errors import CourseError
from course_lib.measure import BudgetCurve, Comparison

BEATS = Comparison(2.0, 1.0, 3.0, "BEATS", 3, (1.5, 2.0, 2.5), 0.5)
UNDECIDED = Comparison(-0.5, -2.0, 1.0, "UNDECIDED", 2, (-1.0, 0.0))
WORSE = Comparison(-3.0, -4.0, -2.0, "WORSE", 2, (-3.5, -2.5))
SAME = Comparison(0.1, -0.2, 0.4, "NO DIFFERENCE", 2, (0.0, 0.2), 0.5)


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_pairs_draw_every_gap_mean_interval_margin_and_verdict(ax):
    show.pairs(ax, {"soft targets": BEATS, "other": UNDECIDED})
    dots = [each.get_offsets() for each in ax.collections if len(each.get_offsets()) > 1]
    for place, (drawn, each) in enumerate(zip(dots, (BEATS, UNDECIDED), strict=True)):
        np.testing.assert_allclose(drawn[:, 0], each.gaps)
        assert (abs(drawn[:, 1] - place) < 0.5).all()
    for whiskers, each in zip(ax.containers[1:], (BEATS, UNDECIDED), strict=True):
        assert whiskers.lines[0].get_xdata()[0] == each.difference
        np.testing.assert_allclose(whiskers.lines[2][0].get_segments()[0][:, 0], (each.low, each.high))
    (band,) = ax.patches
    assert (band.get_x(), band.get_width(), band.get_y(), band.get_height()) == (-0.5, 1.0, -0.5, 1)
    assert [text.get_text() for text in ax.texts] == ["BEATS", "UNDECIDED"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["soft targets", "other"]
    assert ax.yaxis_inverted()
    colors = [to_hex(each.get_facecolor()[0]) for each in ax.collections if len(each.get_offsets()) > 1]
    assert colors[0] == show.color("soft targets") != colors[1]
    assert any(line.get_xydata().tolist() == [[0, 0], [0, 1]] for line in ax.lines)


def test_slopes_join_each_pair_and_count_rises_and_falls(ax):
    show.slopes(ax, [1.0, 2.0, 3.0, 4.0], [2.0, 1.5, 5.0, 4.0], ["hard labels", "soft targets"])
    drawn = {tuple(line.get_ydata()) for line in ax.lines}
    assert drawn == {(1.0, 2.0), (2.0, 1.5), (3.0, 5.0), (4.0, 4.0), (2.5, 3.125)}
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["2 rise", "1 fall", "1 stay", "mean"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["hard labels", "soft targets"]


@pytest.mark.parametrize(
    ("left", "right", "labels", "message"),
    [
        ([1.0], [1.0, 2.0], "ab", "left and right must be one value per seed"),
        ([], [], ["a", "b"], "left and right must be one value per seed"),
        ([[1.0]], [[1.0]], ["a", "b"], "left and right must be one value per seed"),
        ([1.0], [np.nan], ["a", "b"], "left and right must hold finite numbers"),
        ([1.0], [2.0], "ab", "labels must name the two methods"),
        ([1.0], [2.0], ["a"], "labels must name the two methods"),
    ],
)
def test_slopes_refuse_what_is_not_paired(ax, left, right, labels, message):
    with pytest.raises(CourseError, match=message):
        show.slopes(ax, left, right, labels)


def curve(*comparisons):
    return BudgetCurve((200, 1000, 4000)[: len(comparisons)], comparisons)


def test_budget_curves_draw_means_intervals_and_a_mark_per_verdict(ax):
    show.budget_curves(ax, {"soft targets": curve(WORSE, UNDECIDED, BEATS)})
    line = next(line for line in ax.lines if len(line.get_xdata()) == 3)
    np.testing.assert_allclose(line.get_ydata(), [-3, -0.5, 2])
    assert line.get_color() == show.color("soft targets")
    corners = ax.collections[0].get_paths()[0].vertices
    for steps, each in zip((200, 1000, 4000), (WORSE, UNDECIDED, BEATS), strict=True):
        ends = corners[corners[:, 0] == steps][:, 1]
        assert (ends.min(), ends.max()) == (each.low, each.high)
    marks = {line.get_xdata()[0]: line for line in ax.lines if len(line.get_xdata()) == 1}
    assert [marks[steps].get_marker() for steps in (200, 1000, 4000)] == ["v", "o", "^"]
    assert marks[1000].get_markerfacecolor() == "white"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["BEATS", "WORSE", "UNDECIDED"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["200", "1,000", "4,000"]
    assert ax.get_xscale() == "log"


def test_a_change_of_sign_is_marked_between_its_budgets_and_only_there(ax):
    turning, steady = curve(WORSE, UNDECIDED, BEATS), curve(BEATS, SAME, BEATS)
    show.budget_curves(ax, {"turning": turning, "steady": steady})
    words = [text for text in ax.texts if "changes sign" in text.get_text()]
    assert [text.get_text() for text in words] == ["turning changes sign"]
    (bracket,) = [line for line in ax.lines if line.get_marker() == "|"]
    assert list(bracket.get_xdata()) == [200, 4000]
    assert bracket.get_ydata()[0] < -4  # below everything that is drawn


def test_names_stand_at_the_ends_of_their_curves_in_their_colours_and_apart(ax):
    curves = {name: curve(WORSE, BEATS, each) for name, each in [("a", SAME), ("b", BEATS), ("c", SAME)]}
    show.budget_curves(ax, curves)
    names = {text.get_text(): text for text in ax.texts if len(text.get_text()) == 1}
    heights = sorted(text.get_position()[1] for text in names.values())
    low, high = ax.get_ylim()
    assert min(np.diff(heights)) >= 0.079 * (high - low)
    assert names["b"].get_position()[1] == heights[-1]
    lines = [line for line in ax.lines if len(line.get_xdata()) == 3]
    assert [names[name].get_color() for name in "abc"] == [line.get_color() for line in lines]
    assert len({line.get_color() for line in lines}) == 3


@pytest.mark.parametrize(("draw", "name"), [(show.pairs, "comparisons"), (show.budget_curves, "curves")])
@pytest.mark.parametrize("wrong", [{}, [BEATS], {"a": 3.0}], ids=["empty", "list", "number"])
def test_refuse_other_things(ax, draw, name, wrong):
    with pytest.raises(CourseError, match=f"{name} must"):
        draw(ax, wrong)
