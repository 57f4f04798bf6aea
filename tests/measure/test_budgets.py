"""A comparison over budgets: where its sign turns, and what is refused."""

import pytest

from course_lib.errors import CourseError
from course_lib.measure import budget_curve, compare, holm

UP, DOWN, FLAT = [1.0, 1.1, 0.9, 1.0], [-1.0, -1.1, -0.9, -1.0], [2.0, -2.0, 1.0, -1.0]
ZERO = [0.0] * 4


def curve(*gaps, **settings):
    budgets = [10, 100, 1000, 10_000][: len(gaps)]
    return budget_curve(dict(zip(budgets, gaps, strict=True)), dict.fromkeys(budgets, ZERO), **settings)


@pytest.mark.parametrize(
    ("gaps", "turn", "verdict"),
    [
        ((DOWN, FLAT, UP), (10, 1000), "WORSE → UNDECIDED → BEATS"),
        ((DOWN, DOWN, UP, UP), (100, 1000), "WORSE → BEATS"),
        ((UP, DOWN, UP), (10, 100), "BEATS → WORSE → BEATS"),
        ((FLAT, UP, UP), None, "UNDECIDED → BEATS"),
        ((FLAT,), None, "UNDECIDED"),
    ],
)
def test_the_turn_lies_between_the_last_of_one_sign_and_the_first_of_the_other(gaps, turn, verdict):
    found = curve(*gaps)
    assert (found.turn, found.verdict) == (turn, verdict)


def test_budgets_are_sorted_and_found_by_their_steps():
    found = budget_curve({200: UP, 10: DOWN}, {10: ZERO, 200: ZERO}, corrected=False)
    assert found.steps == (10, 200)
    assert found[10] == compare(DOWN, ZERO)
    assert list(found.named("a − b")) == ["a − b, 10 steps", "a − b, 200 steps"]
    assert str(found).startswith("WORSE → BEATS: 10 steps -1 [-1.1")


def test_the_budgets_are_judged_together_unless_told_otherwise():
    found = curve(UP, FLAT, DOWN)
    alone = [compare(each, ZERO) for each in (UP, FLAT, DOWN)]
    assert list(found.comparisons) == list(holm(dict(enumerate(alone))).values())
    assert list(curve(UP, FLAT, DOWN, corrected=False).comparisons) == alone


def test_margin_and_direction_reach_every_comparison():
    found = curve([0.1, -0.1, 0.1, -0.1], margin=1.0, higher_is_better=False)
    assert found.verdict == "NO DIFFERENCE"
    assert curve(UP, UP, higher_is_better=False).verdict == "WORSE"


@pytest.mark.parametrize(
    ("candidate", "baseline", "sentence"),
    [
        ({10: UP}, {20: ZERO}, "candidate and baseline must have the same budgets, got 10 and 20"),
        ({}, {}, "candidate and baseline must have the same budgets, got none and none"),
        ({0: UP}, {0: ZERO}, "budgets must be numbers of steps of at least 1, got 0"),
        ({True: UP}, {True: ZERO}, "budgets must be numbers of steps of at least 1, got True"),
        ({10: UP, "a": UP}, {10: ZERO}, "budgets must be numbers of steps of at least 1, got 'a'"),
        ([UP], {10: ZERO}, "candidate must hold results by number of steps, got list"),
        ({10: UP}, {10: ZERO[:2]}, "candidate and baseline must be paired by seed, got 4 and 2 runs"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(candidate, baseline, sentence):
    with pytest.raises(CourseError, match=sentence):
        budget_curve(candidate, baseline)


def test_an_unknown_budget_is_refused():
    with pytest.raises(CourseError, match="steps must be one of 10, 100, got 50"):
        curve(UP, DOWN)[50]
