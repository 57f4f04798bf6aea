"""Comparing two methods over paired seeds: is the difference more than luck?"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from course_lib.errors import CourseError


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
        verdict: "BEATS" or "WORSE" where the interval leaves out zero, else "NO DIFFERENCE".
        pairs: number of pairs.
    """

    difference: float
    low: float
    high: float
    verdict: str
    pairs: int

    def __str__(self) -> str:
        numbers = f"{self.difference:+.3g} [{self.low:+.3g}, {self.high:+.3g}]"
        return f"{self.verdict}: {numbers}, {self.pairs} pairs"


def interval(values: Iterable[float], *, confidence: float = 0.95) -> Interval:
    """Mean of independent runs with Student's t interval.

    Args:
        values: one number per run, at least two.
        confidence: coverage in (0, 1).

    Raises:
        CourseError: fewer than two values, a value that is not finite, a coverage outside (0, 1).
    """
    runs = _numbers("values", values)
    if not 0 < confidence < 1:
        raise CourseError(f"confidence must lie between 0 and 1, got {confidence!r}")
    mean = float(runs.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, len(runs) - 1) * runs.std(ddof=1) / math.sqrt(len(runs)))
    return Interval(mean, mean - half, mean + half)


def compare(
    candidate: Iterable[float],
    baseline: Iterable[float],
    *,
    higher_is_better: bool = True,
    confidence: float = 0.95,
) -> Comparison:
    """Whether a method beats another, from runs paired by seed (same data, budget and first weights).

    Args:
        candidate: one result per seed, at least two.
        baseline: the other method's results, seeds in the same order.
        higher_is_better: False for losses, errors and times. The difference keeps its sign; the verdict turns.
        confidence: coverage of the interval, in (0, 1).

    Raises:
        CourseError: different numbers of runs, fewer than two, or a value that is not finite.
    """
    first, second = _numbers("candidate", candidate), _numbers("baseline", baseline)
    if len(first) != len(second):
        raise CourseError(
            f"candidate and baseline must be paired by seed, got {len(first)} and {len(second)} runs"
        )
    gaps = first - second
    # Differences of rounding alone, such as 0.1 + 0.2 against 0.3, have no spread and would "beat" without a doubt.
    gaps[np.isclose(first, second, rtol=1e-12, atol=0)] = 0
    gap = interval(gaps, confidence=confidence)
    if abs(gap.mean) < 1e-12 * np.abs(gaps).max():  # gaps that cancel, but for rounding
        gap = replace(gap, mean=0.0)
    better, worse = (gap.low > 0, gap.high < 0) if higher_is_better else (gap.high < 0, gap.low > 0)
    verdict = "BEATS" if better else "WORSE" if worse else "NO DIFFERENCE"
    return Comparison(gap.mean, gap.low, gap.high, verdict, len(first))


def _numbers(name: str, values: Iterable[float]) -> np.ndarray:
    numbers = np.asarray([float(value) for value in values])
    if len(numbers) < 2:
        raise CourseError(f"{name} must hold at least two runs for an interval, got {len(numbers)}")
    if not np.isfinite(numbers).all():
        raise CourseError(f"{name} must hold finite numbers, got {numbers[~np.isfinite(numbers)][0]}")
    return numbers
