"""Comparing two methods over budgets: a verdict read at one number of steps may turn at another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from course_lib.errors import CourseError
from course_lib.measure.compare import Comparison, compare, holm

_SIGNS = {"BEATS": 1, "WORSE": -1}


@dataclass(frozen=True)
class BudgetCurve:
    """One comparison of two methods at each of several budgets.

    Attributes:
        steps: the budgets, ascending.
        comparisons: one for each.
    """

    steps: tuple[int, ...]
    comparisons: tuple[Comparison, ...]

    def __getitem__(self, steps: int) -> Comparison:
        """The comparison at one of the budgets."""
        if steps not in self.steps:
            raise CourseError(f"steps must be one of {', '.join(map(str, self.steps))}, got {steps!r}")
        return self.comparisons[self.steps.index(steps)]

    @property
    def turn(self) -> tuple[int, int] | None:
        """The two budgets between which the verdict changes its sign, the first time; None where it never does."""
        last = None
        for steps, each in zip(self.steps, self.comparisons, strict=True):
            sign = _SIGNS.get(each.verdict)
            if sign and last and sign != last[1]:
                return last[0], steps
            last = (steps, sign) if sign else last
        return None

    @property
    def verdict(self) -> str:
        """The verdicts from the smallest to the largest budget, repeated ones once, e.g. "WORSE → BEATS"."""
        return " → ".join(verdict for verdict, _ in groupby(each.verdict for each in self.comparisons))

    def named(self, name: str) -> dict[str, Comparison]:
        """The comparisons by words such as "name, 200 steps", for a table or for ``holm``."""
        return {
            f"{name}, {steps:,} steps": each for steps, each in zip(self.steps, self.comparisons, strict=True)
        }

    def __str__(self) -> str:
        numbers = (
            f"{steps:,} steps {each.difference:+.3g} [{each.low:+.3g}, {each.high:+.3g}]"
            for steps, each in zip(self.steps, self.comparisons, strict=True)
        )
        return f"{self.verdict}: {', '.join(numbers)}"


def budget_curve(
    candidate: Mapping[int, Iterable[float]],
    baseline: Mapping[int, Iterable[float]],
    *,
    margin: float | None = None,
    higher_is_better: bool = True,
    corrected: bool = True,
) -> BudgetCurve:
    """Compare two methods at every budget, from runs paired by seed.

    Args:
        candidate: results by number of steps, one per seed; ``Runs.over(score)`` gives them.
        baseline: the other method's, at the same budgets.
        margin, higher_is_better: as in ``compare``.
        corrected: judge the budgets together (``holm``), because they are several tests of one question.

    Raises:
        CourseError: the budgets differ, there are none, or one is not a positive integer; and as in ``compare``.

    Examples:
        >>> candidate = {100: [0.80, 0.82, 0.81], 1000: [0.90, 0.92, 0.91]}
        >>> baseline = {100: [0.70, 0.71, 0.72], 1000: [0.93, 0.96, 0.94]}
        >>> measure.budget_curve(candidate, baseline).turn
        (100, 1000)
    """
    for name, each in (("candidate", candidate), ("baseline", baseline)):
        if not isinstance(each, Mapping):
            raise CourseError(f"{name} must hold results by number of steps, got {type(each).__name__}")
        for steps in each:
            if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
                raise CourseError(f"budgets must be numbers of steps of at least 1, got {steps!r}")
    if set(candidate) != set(baseline) or not candidate:
        first, second = (", ".join(map(str, sorted(each))) or "none" for each in (candidate, baseline))
        raise CourseError(f"candidate and baseline must have the same budgets, got {first} and {second}")
    budgets = sorted(candidate)
    found = {
        str(steps): compare(
            candidate[steps], baseline[steps], margin=margin, higher_is_better=higher_is_better
        )
        for steps in budgets
    }
    return BudgetCurve(tuple(budgets), tuple((holm(found) if corrected else found).values()))
