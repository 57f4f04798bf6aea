"""The one error type that callers need to know: bad input, said in one clear sentence."""


class CourseError(ValueError):
    """Input that cannot be used; the message names the argument, what came and what was expected."""


def check_count(least: int = 1, /, **values: object) -> None:
    """Refuse arguments, by name, that are no integer of at least ``least``; True is none."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise CourseError(f"{name} must be an integer of at least {least}, got {value!r}")
