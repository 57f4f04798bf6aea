"""Weights of terms that change while a student is trained."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

from course_lib.errors import CourseError, check_number


@dataclass(frozen=True)
class Ramp:
    """A weight that moves evenly from one number to another: ``Term(..., weight=Ramp(0.0, 1.0, end=0.1))``.

    Attributes:
        first: before ``start``.
        last: from ``end`` on.
        start: share of the training's steps after which the weight begins to move.
        end: share after which it has arrived, above ``start``.

    Raises:
        CourseError: a weight that is not a finite number, or shares that are not in order between 0 and 1.
    """

    first: float
    last: float
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        check_number(
            "a finite number", lambda value: abs(value) < float("inf"), first=self.first, last=self.last
        )
        check_number("a share from 0 to 1", lambda value: 0 <= value <= 1, start=self.start, end=self.end)
        if self.start >= self.end:
            raise CourseError(f"end must be above start, got {self.end} and {self.start}")

    def __call__(self, progress: float) -> float:
        """The weight when this share of the steps is done."""
        way = min(max((progress - self.start) / (self.end - self.start), 0.0), 1.0)
        return self.first + (self.last - self.first) * way


def number_at(term: str, weight: Callable[[float], float], progress: float) -> float:
    """The weight of a term when this share of the steps is done.

    Raises:
        CourseError: it is not a finite number.
    """
    value = weight(progress)
    if not isinstance(value, Real) or not math.isfinite(value):
        raise CourseError(
            f"the weight of term {term!r} must be a finite number at every step, got {value!r} when {progress:.0%} of "
            "the steps are done"
        )
    return float(value)
