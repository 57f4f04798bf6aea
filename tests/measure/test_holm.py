"""Judging several comparisons together: Holm's procedure by hand and by simulation, and verdicts with a margin."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from course_lib.errors import CourseError
from course_lib.measure import Comparison, compare, holm

ZEROS = np.zeros(5)


def with_p(p_value, pairs=5):
    """A comparison whose paired t test has this p-value: gaps of mean t/√n and standard deviation 1."""
    shape = np.array([-2.0, -1.0, 0.0, 1.0, 2.0]) / np.sqrt(2.5)
    return compare(shape + stats.t.isf(p_value / 2, pairs - 1) / np.sqrt(pairs), ZEROS)


def test_p_values_are_those_of_scipys_paired_t_test():
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 12))
    assert compare(first, second).p_value == pytest.approx(stats.ttest_rel(first, second).pvalue, rel=1e-9)
    assert compare([3.0, 4.0], [1.0, 2.0]).p_value == 0
    assert compare([3.0, 4.0], [3.0, 4.0]).p_value == 1


def test_holm_by_hand():
    """Levels 0.05/4, 0.05/3, 0.05/2: the third fails, so that the fourth fails too, although 0.04 < 0.05."""
    found = holm({"c": with_p(0.03), "a": with_p(0.01), "d": with_p(0.04), "b": with_p(0.016)})
    assert list(found) == ["c", "a", "d", "b"]
    assert {name: each.verdict for name, each in found.items()} == {
        "a": "BEATS",
        "b": "BEATS",
        "c": "UNDECIDED",
        "d": "UNDECIDED",
    }
    levels = {name: 1 - each.confidence for name, each in found.items()}
    assert levels == pytest.approx({"a": 0.05 / 4, "b": 0.05 / 3, "c": 0.05 / 2, "d": 0.05 / 2})


def test_a_p_value_at_its_level_fails_and_so_do_those_after_it():
    """Its interval begins at zero."""
    first = replace(with_p(0.01), p_value=(1 - 0.95) / 2)
    assert holm({"a": first, "b": with_p(0.03)})["b"].verdict == "UNDECIDED"
    earlier = replace(first, p_value=(1 - 0.95) / 2 * 0.999)
    assert holm({"a": earlier, "b": with_p(0.03)})["b"].verdict == "BEATS"


def test_interval_and_verdict_agree_after_the_correction():
    generator = np.random.default_rng(1)
    family = {str(i): compare(generator.normal(i / 8, 1, 10), np.zeros(10)) for i in range(8)}
    for each in holm(family).values():
        assert (each.verdict == "BEATS") == (each.low > 0)
        assert (each.verdict == "UNDECIDED") == (each.low <= 0 <= each.high)


def test_one_comparison_alone_stays_what_it_is():
    alone = compare([1.0, 2.0, 4.0], [0.5, 2.5, 1.0], margin=1, higher_is_better=False)
    assert holm({"alone": alone})["alone"] == alone


def test_a_family_of_ten_tests_of_nothing_is_wrong_as_rarely_as_promised():
    generator = np.random.default_rng(2)
    wrong = 0
    for _ in range(400):
        family = {str(i): compare(*generator.normal(size=(2, 8))) for i in range(10)}
        wrong += any(each.verdict in ("BEATS", "WORSE") for each in holm(family).values())
    # Four standard errors of the simulation, sqrt(.05 · .95 / 400) = 0.011. Uncorrected it would be 0.40.
    assert wrong / 400 == pytest.approx(0.05, abs=0.044)


@pytest.mark.parametrize(
    ("gaps", "margin", "verdict"),
    [
        ([0.1, -0.1, 0.05, -0.05], 0.5, "NO DIFFERENCE"),
        ([0.1, -0.1, 0.05, -0.05], 0.1, "UNDECIDED"),  # the interval is ±0.145
        ([0.1, -0.1, 0.05, -0.05], None, "UNDECIDED"),
        ([0.3, 0.31, 0.29, 0.3], 0.5, "BEATS"),  # however small, it is there
        ([-0.3, -0.31, -0.29, -0.3], 0.5, "WORSE"),
        ([0.0, 0.0, 0.0, 0.0], None, "NO DIFFERENCE"),
    ],
)
def test_no_difference_needs_the_whole_interval_within_the_margin(gaps, margin, verdict):
    found = compare(gaps, [0.0] * 4, margin=margin)
    assert (found.verdict, found.margin, found.gaps) == (verdict, margin, tuple(gaps))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: compare([1, 2], [1, 3], margin=0), "margin must be a finite number above 0, got 0"),
        (lambda: holm({}), "comparisons must hold at least one result of compare, by name, got none"),
        (
            lambda: holm([with_p(0.1)]),
            "comparisons must hold at least one result of compare, by name, got list",
        ),
        (
            lambda: holm({"a": 1.0}),
            "comparisons must be results of compare, with their pairs, got 1.0 for 'a'",
        ),
        (
            lambda: holm({"a": Comparison(1, 0, 2, "BEATS", 3)}),
            "comparisons must be results of compare, with their pairs, got ",
        ),
        (lambda: holm({"a": with_p(0.1)}, confidence=5), "confidence must lie between 0 and 1, got 5"),
        (lambda: holm({"a": with_p(0.1)}, confidence="95"), "confidence must lie between 0 and 1, got '95'"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_sentence(call, sentence):
    with pytest.raises(CourseError) as caught:
        call()
    assert str(caught.value).startswith(sentence)
