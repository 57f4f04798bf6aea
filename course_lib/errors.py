"""The one error type that callers need to know: bad input, said in one clear sentence."""


class CourseError(ValueError):
    """Input that cannot be used; the message names the argument, what came and what was expected."""
