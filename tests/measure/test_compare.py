"""The statistics of comparing two methods: against t tables, by their symmetries, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.measure import Comparison, Interval, compare, interval

# Quantiles of Student's t as statistical tables print them: {(confidence, degrees of freedom): two-sided quantile}.
T_TABLE = {(0.95, 1): 12.7062, (0.95, 4): 2.776445, (0.90, 4): 2.131847, (0.99, 4): 4.604095}

# Thousandths keep the arithmetic of the properties nearly exact.
numbers = st.integers(-5000, 5000).map(lambda value: value / 1000)
pairs = st.lists(st.tuples(numbers, numbers), min_size=2, max_size=12)


@pytest.mark.parametrize(("confidence", "runs"), [(0.95, 5), (0.90, 5), (0.99, 5), (0.95, 2)])
def test_the_interval_is_the_mean_and_t_standard_errors_around_it(confidence, runs):
    values = list(range(1, runs + 1))
    mean = sum(values) / runs
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (runs - 1))
    half = T_TABLE[confidence, runs - 1] * deviation / math.sqrt(runs)
    found = interval(values, confidence=confidence)
    assert (found.mean, found.low, found.high) == pytest.approx((mean, mean - half, mean + half), rel=1e-5)


def test_without_being_told_intervals_cover_95_percent():
    assert interval([1, 2, 3, 4, 5]) == interval([1, 2, 3, 4, 5], confidence=0.95)
    assert compare([1, 2, 4], [0, 0, 0]) == compare([1, 2, 4], [0, 0, 0], confidence=0.95)


def test_a_comparison_is_made_on_the_differences_within_the_pairs():
    baseline = [10.0, 50.0, 20.0, 90.0, 70.0]  # far apart: only pairing finds the small gain
    found = compare([value + gain for value, gain in zip(baseline, [1, 2, 3, 4, 5], strict=True)], baseline)
    half = T_TABLE[0.95, 4] * math.sqrt(2.5) / math.sqrt(5)
    assert (found.difference, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half), rel=1e-5)
    assert (found.verdict, found.pairs) == ("BEATS", 5)


def test_a_lower_confidence_gives_a_narrower_interval_and_can_turn_the_verdict():
    candidate, baseline = [0.0, 1.0, 2.0, 3.0, 0.5], [0.0] * 5  # mean 1.3, standard error 0.539
    assert compare(candidate, baseline, confidence=0.95).verdict == "UNDECIDED"
    assert compare(candidate, baseline, confidence=0.90).verdict == "BEATS"


@pytest.mark.parametrize(
    ("gain", "higher_is_better", "verdict"),
    [(+1, True, "BEATS"), (-1, True, "WORSE"), (+1, False, "WORSE"), (-1, False, "BEATS")],
)
def test_the_verdict_knows_which_direction_is_better_and_the_difference_keeps_its_sign(
    gain, higher_is_better, verdict
):
    found = compare([gain * 1.0, gain * 1.1, gain * 0.9], [0.0] * 3, higher_is_better=higher_is_better)
    assert found.verdict == verdict
    assert found.difference == pytest.approx(gain)
    assert found.low <= found.difference <= found.high


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_an_interval_that_holds_zero_is_undecided(higher_is_better):
    assert compare([1, -1, 1], [0, 0, 0], higher_is_better=higher_is_better).verdict == "UNDECIDED"


def test_equal_gains_in_every_pair_make_the_interval_a_point():
    found = compare([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    assert (found.difference, found.low, found.high, found.verdict) == (2.0, 2.0, 2.0, "BEATS")


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_equal_results_are_no_difference(higher_is_better):
    found = compare([0.7, 0.8, 0.9], [0.7, 0.8, 0.9], higher_is_better=higher_is_better)
    assert (found.difference, found.low, found.high, found.verdict) == (0, 0, 0, "NO DIFFERENCE")


@given(pairs)
def test_exchanging_the_methods_turns_the_interval_round(drawn):
    first, second = zip(*drawn, strict=True)
    there, back = compare(first, second), compare(second, first)
    turned = (-back.difference, -back.high, -back.low)
    assert (there.difference, there.low, there.high) == pytest.approx(turned, abs=1e-9)
    assert (there.verdict, back.verdict) in [
        ("BEATS", "WORSE"),
        ("WORSE", "BEATS"),
        ("UNDECIDED", "UNDECIDED"),
        ("NO DIFFERENCE", "NO DIFFERENCE"),  # where all pairs are equal
    ]


@given(pairs, numbers)
def test_what_both_runs_of_a_pair_share_does_not_count(drawn, shift):
    first, second = zip(*drawn, strict=True)
    shifts = [shift * position for position in range(len(drawn))]
    moved = compare(np.add(first, shifts), np.add(second, shifts))
    found = compare(first, second)
    assert (moved.difference, moved.low, moved.high) == pytest.approx(
        (found.difference, found.low, found.high), abs=1e-6
    )


@given(pairs, st.sampled_from([0.001, 0.5, 100.0]))
def test_another_unit_scales_the_interval(drawn, scale):
    first, second = zip(*drawn, strict=True)
    scaled, found = compare(np.multiply(first, scale), np.multiply(second, scale)), compare(first, second)
    assert (scaled.difference, scaled.low, scaled.high) == pytest.approx(
        (scale * found.difference, scale * found.low, scale * found.high), rel=1e-9, abs=1e-9
    )


def test_over_many_experiments_the_interval_covers_the_truth_as_often_as_promised():
    generator = np.random.default_rng(0)
    truth, experiments = 0.3, 2000
    found = [interval(generator.normal(truth, 2.0, size=5)) for _ in range(experiments)]
    covered = sum(one.low <= truth <= one.high for one in found) / experiments
    # Four standard errors of the simulation, sqrt(.95 * .05 / 2000) = 0.005. Normal quantiles would cover 0.88.
    assert covered == pytest.approx(0.95, abs=0.02)


def test_methods_that_do_not_differ_are_told_apart_as_rarely_as_promised():
    generator = np.random.default_rng(1)
    verdicts = [compare(*generator.normal(size=(2, 6))).verdict for _ in range(2000)]
    assert verdicts.count("BEATS") / 2000 == pytest.approx(0.025, abs=0.014)
    assert verdicts.count("WORSE") / 2000 == pytest.approx(0.025, abs=0.014)


def test_both_can_be_read():
    assert str(Comparison(7.6, 6.1, 9.1, "BEATS", 20)) == "BEATS: +7.6 [+6.1, +9.1], 20 pairs"
    assert str(Interval(0.9123, 0.9, 0.92)) == "0.912 [0.9, 0.92]"
    assert Comparison(7.6, 6.1, 9.1, "BEATS", 20).higher_is_better
    shown = repr(compare([1, 2, 4], [0, 0, 0]))
    assert not any(name in shown for name in ("gaps", "p_value", "higher_is_better"))


def test_any_iterable_of_numbers_will_do():
    torch = pytest.importorskip("torch")
    assert interval(torch.tensor([1.0, 2.0, 4.0])) == interval(value for value in (1, 2, 4))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: interval([1.0]), "values must hold at least two runs for an interval, got 1"),
        (lambda: interval([1.0, math.nan]), "values must hold finite numbers, got nan"),
        (lambda: compare([1, 2], [1]), "baseline must hold at least two runs for an interval, got 1"),
        (
            lambda: compare([1, 2, 3], [1, 2]),
            "candidate and baseline must be paired by seed, got 3 and 2 runs",
        ),
        (lambda: compare([1, math.inf], [1, 2]), "candidate must hold finite numbers, got inf"),
        (lambda: interval([1, 2], confidence=95), "confidence must lie between 0 and 1, got 95"),
        (lambda: interval([1, 2], confidence=0), "confidence must lie between 0 and 1, got 0"),
        (lambda: compare([1, 2], [1, 2], confidence=1.0), "confidence must lie between 0 and 1, got 1.0"),
        (lambda: compare([1, 2], [1, 2], confidence="95"), "confidence must lie between 0 and 1, got '95'"),
        (lambda: compare("12", [1, 2]), "candidate must hold one number per run, got '12'"),
        (lambda: compare([1, 2], [1, None]), "baseline must hold one number per run, got [1, None]"),
        (lambda: interval(0.9), "values must hold one number per run, got 0.9"),
        (
            lambda: compare([1, 2], [1, 2], higher_is_better="no"),
            "higher_is_better must be True or False, got 'no'",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(call, sentence):
    with pytest.raises(CourseError) as caught:
        call()
    assert str(caught.value) == sentence


def test_gaps_that_cancel_have_no_mean_of_rounding():
    first, second = (
        [100 * right / 397 for right in each] for each in ([348, 357, 260, 316], [380, 374, 353, 174])
    )
    assert np.mean(np.subtract(first, second)) != 0
    assert str(compare(first, second)).startswith("UNDECIDED: +0 [")


@pytest.mark.parametrize("unit", [1e-200, 1e-9, 1e200])
def test_squares_neither_vanish_nor_overflow(unit):
    found, plain = compare([unit, 2 * unit, 4 * unit], [0.0] * 3), compare([1, 2, 4], [0] * 3)
    assert (found.difference, found.low, found.high) == pytest.approx(
        (plain.difference * unit, plain.low * unit, plain.high * unit), rel=1e-12, abs=0
    )
    assert (found.p_value, found.verdict) == (pytest.approx(plain.p_value), plain.verdict)


def test_differences_far_smaller_than_their_values_are_found_as_they_are():
    """Beside 1000 a float64 has 13 digits after the point: differences of 1e-8 keep five."""
    gaps = [1e-8, 2e-8, 4e-8]
    found, plain = compare([1000 + gap for gap in gaps], [1000.0] * 3), compare(gaps, [0.0] * 3)
    assert (found.difference, found.low, found.high) == pytest.approx(
        (plain.difference, plain.low, plain.high), rel=1e-4, abs=0
    )


def test_differences_of_rounding_alone_are_none():
    assert compare([0.1 + 0.2, 0.7 + 0.1], [0.3, 0.8]).verdict == "NO DIFFERENCE"
    assert compare([1 + 5e-13] * 3, [1.0] * 3).gaps == (0, 0, 0)
    assert compare([1 + 5e-12] * 3, [1.0] * 3).verdict == "BEATS"


def test_two_pairs_are_judged_by_the_t_distribution_with_one_degree_of_freedom():
    """12.7 standard errors to each side: a gain of 2 and one of 3 do not show that there is a gain."""
    found = compare([2.0, 3.0], [0.0, 0.0])
    half = T_TABLE[0.95, 1] * 0.5
    assert (found.low, found.high) == pytest.approx((2.5 - half, 2.5 + half), rel=1e-5)
    assert (found.verdict, found.pairs) == ("UNDECIDED", 2)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_interval_that_leaves_the_margin_on_one_side_is_undecided(sign):
    """0.1 ± 0.29 is inside ±0.25 on one side only."""
    found = compare([sign * gap for gap in (0.3, -0.1, 0.2, 0.0)], [0.0] * 4, margin=0.25)
    assert found.verdict == "UNDECIDED"
    assert (
        compare([sign * gap for gap in (0.3, -0.1, 0.2, 0.0)], [0.0] * 4, margin=0.5).verdict
        == "NO DIFFERENCE"
    )
