"""The one error type that callers need to know: bad input, said in one clear sentence."""

from collections.abc import Callable, Collection
from numbers import Real
from typing import Any


class CourseError(ValueError):
    """Input that cannot be used; the message names the argument, what was given and what was expected."""


def check_count(least: int = 1, /, **values: object) -> None:
    """Refuse arguments, by name, that are not integers of at least ``least``; True does not count as one."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise CourseError(f"{name} must be an integer of at least {least}, got {value!r}")


def check_number(wanted: str, fits: Callable[[Any], bool], /, **values: object) -> None:
    """Refuse arguments, by name, that are not numbers, or do not fit; ``wanted`` says what does."""
    for name, value in values.items():
        if not isinstance(value, Real) or isinstance(value, bool) or not fits(value):
            raise CourseError(f"{name} must be {wanted}, got {value!r}")


def check_choice(known: Collection[object], /, **values: object) -> None:
    """Refuse arguments, by name, that are not among the known ones."""
    for name, value in values.items():
        if value not in known:
            raise CourseError(f"{name} must be one of {', '.join(map(str, known))}, got {value!r}")


def check_positive(**values: object) -> None:
    """Refuse arguments, by name, that are not finite numbers above zero."""
    check_number("a finite number above 0", lambda value: 0 < value < float("inf"), **values)


def check_not_negative(**values: object) -> None:
    """Refuse arguments, by name, that are not finite numbers of at least zero."""
    check_number("a finite number of at least 0", lambda value: 0 <= value < float("inf"), **values)


def check_below_one(**values: object) -> None:
    """Refuse arguments, by name, that are not numbers from 0 to below 1."""
    check_number("a number in [0, 1)", lambda value: 0 <= value < 1, **values)
