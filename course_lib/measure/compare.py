"""Comparing two methods over paired seeds: is the difference more than luck, and if not, is it known to be small?"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real

import numpy as np
from scipy import stats

from course_lib.errors import CourseError, check_positive

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Comparison:
    """The mean paired difference, candidate − baseline, with its interval and what follows from it.

    Attributes:
        difference, low, high: in the unit of the values.
        verdict: "BEATS" or "WORSE" where the interval leaves out zero; "NO DIFFERENCE" where it holds zero and lies
            within the margin; else "UNDECIDED".
        pairs: number of pairs.
        gaps: the difference of each pair.
        margin: the largest difference that would not matter, in the unit of the values; None where none was stated.
        confidence: coverage of the interval.
        p_value: of the two-sided paired t test.
        higher_is_better: which way the verdict is read.
    """

    difference: float
    low: float
    high: float
    verdict: str
    pairs: int
    gaps: tuple[float, ...] = field(default=(), repr=False)
    margin: float | None = None
    confidence: float = CONFIDENCE
    p_value: float = field(default=math.nan, repr=False)
    higher_is_better: bool = field(default=True, repr=False)

    def __str__(self) -> str:
        numbers = f"{self.difference:+.3g} [{self.low:+.3g}, {self.high:+.3g}]"
        stated = "" if self.margin is None else f", margin {self.margin:g}"
        return f"{self.verdict}: {numbers}, {self.pairs} pairs{stated}"


def interval(values: Iterable[float], *, confidence: float = CONFIDENCE) -> Interval:
    """Mean of independent runs with Student's t interval.

    Args:
        values: one number per run, at least two.
        confidence: coverage in (0, 1).

    Raises:
        CourseError: fewer than two values, a value that is not finite, a coverage outside (0, 1).
    """
    runs = _numbers("values", values)
    _check_confidence(confidence)
    mean, error = _mean_and_error(runs)
    half = float(stats.t.ppf((1 + confidence) / 2, len(runs) - 1)) * error
    return Interval(mean, mean - half, mean + half)


def compare(
    candidate: Iterable[float],
    baseline: Iterable[float],
    *,
    margin: float | None = None,
    higher_is_better: bool = True,
    confidence: float = CONFIDENCE,
) -> Comparison:
    """Whether a method beats another, from runs paired by seed (same data, budget and first weights).

    An interval that holds zero does not show that there is no difference, only that none was found. No difference worth
    speaking of is shown where the whole interval lies within a margin that was stated before.

    Args:
        candidate: one result per seed, at least two.
        baseline: the other method's results, seeds in the same order.
        margin: the largest difference that would not matter to you, above 0, in the unit of the values; without one
            the verdict is never "NO DIFFERENCE", except where all pairs agree to 12 digits.
        higher_is_better: False for losses, errors and times. The difference keeps its sign; the verdict turns.
        confidence: coverage of the interval, in (0, 1).

    Raises:
        CourseError: different numbers of runs, fewer than two, a value that is not a finite number, a margin not above
            0, or a direction that is not True or False.

    Examples:
        >>> gap = measure.compare([0.90, 0.92, 0.91], [0.85, 0.86, 0.87])  # pairs of one seed each
        >>> gap.verdict, round(gap.difference, 3)
        ('BEATS', 0.05)
    """
    first, second = _numbers("candidate", candidate), _numbers("baseline", baseline)
    if len(first) != len(second):
        raise CourseError(
            f"candidate and baseline must be paired by seed, got {len(first)} and {len(second)} runs"
        )
    if margin is not None:
        check_positive(margin=margin)
    if not isinstance(higher_is_better, bool | np.bool_):
        raise CourseError(f"higher_is_better must be True or False, got {higher_is_better!r}")
    gaps = first - second
    # Differences of rounding alone, such as 0.1 + 0.2 against 0.3, have no spread and would "beat" without a doubt.
    gaps[np.isclose(first, second, rtol=1e-12, atol=0)] = 0
    return _decide(gaps, margin, higher_is_better, confidence)


def holm(comparisons: Mapping[str, Comparison], *, confidence: float = CONFIDENCE) -> dict[str, Comparison]:
    """The same comparisons, judged together: with this confidence not one of all BEATS and WORSE is luck.

    Holm's procedure tests the smallest p-value at α/m, the next at α/(m − 1), and so on, until one fails; from there
    on nothing is decided. Each interval is widened to the level at which its test was made (from the first failure
    on, to that one's), so that interval and verdict always agree. Holm, "A Simple Sequentially Rejective Multiple
    Test Procedure", 1979.

    Args:
        comparisons: results of ``compare`` by name; all tests that a reader will see together.
        confidence: 1 − α for the whole family, in (0, 1).

    Raises:
        CourseError: an empty mapping, or an entry that does not hold its pairs.
    """
    if not isinstance(comparisons, Mapping) or not comparisons:
        came = "none" if isinstance(comparisons, Mapping) else type(comparisons).__name__
        raise CourseError(f"comparisons must hold at least one result of compare, by name, got {came}")
    for name, each in comparisons.items():
        if not isinstance(each, Comparison) or len(each.gaps) < 2:
            raise CourseError(
                f"comparisons must be results of compare, with their pairs, got {each!r} for {name!r}"
            )
    _check_confidence(confidence)
    ranked = sorted(comparisons, key=lambda name: comparisons[name].p_value)
    levels, failed = {}, None
    for rank, name in enumerate(ranked):
        level = failed or (1 - confidence) / (len(ranked) - rank)
        if failed is None and comparisons[name].p_value >= level:
            failed = level
        levels[name] = level
    return {
        name: _decide(np.asarray(each.gaps), each.margin, each.higher_is_better, 1 - levels[name])
        for name, each in comparisons.items()
    }


def _decide(gaps: np.ndarray, margin: float | None, higher_is_better: bool, confidence: float) -> Comparison:
    gap = interval(gaps, confidence=confidence)
    rounding = abs(gap.mean) < 1e-12 * np.abs(gaps).max()  # gaps that cancel, but for rounding
    mean = 0.0 if rounding else gap.mean
    better, worse = (gap.low > 0, gap.high < 0) if higher_is_better else (gap.high < 0, gap.low > 0)
    within = -(margin or 0) <= gap.low and gap.high <= (margin or 0)
    verdict = "BEATS" if better else "WORSE" if worse else "NO DIFFERENCE" if within else "UNDECIDED"
    return Comparison(
        mean,
        gap.low,
        gap.high,
        verdict,
        len(gaps),
        tuple(gaps.tolist()),
        margin,
        confidence,
        _p_value(gaps),
        higher_is_better,
    )


def _p_value(gaps: np.ndarray) -> float:
    mean, error = _mean_and_error(gaps)
    if error == 0:
        return 0.0 if gaps.any() else 1.0
    return float(2 * stats.t.sf(abs(mean) / error, len(gaps) - 1))


def _mean_and_error(runs: np.ndarray) -> tuple[float, float]:
    """The mean and its standard error, of numbers whose squares may be too large or too small for a float."""
    scale = 2.0 ** np.frexp(np.abs(runs).max())[1]  # a power of two rounds nothing
    own = runs / scale
    return float(own.mean() * scale), float(own.std(ddof=1) / math.sqrt(len(runs)) * scale)


def _check_confidence(confidence: float) -> None:
    if not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise CourseError(f"confidence must lie between 0 and 1, got {confidence!r}")


def _numbers(name: str, values: Iterable[float]) -> np.ndarray:
    try:
        if isinstance(values, str):  # which is made of digits, perhaps
            raise TypeError
        numbers = np.asarray([float(value) for value in values])
    except (TypeError, ValueError, RuntimeError) as error:
        raise CourseError(f"{name} must hold one number per run, got {values!r:.80}") from error
    if len(numbers) < 2:
        raise CourseError(f"{name} must hold at least two runs for an interval, got {len(numbers)}")
    if not np.isfinite(numbers).all():
        raise CourseError(f"{name} must hold finite numbers, got {numbers[~np.isfinite(numbers)][0]}")
    return numbers
