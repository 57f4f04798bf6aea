"""Errors that tell the user, in one sentence, what to change."""


class CourseError(ValueError):
    """Bad input: the message names what was given, what came and what was expected."""


class NotFinite(CourseError):
    """NaN or infinity where a number was needed; during training the loop adds step and seed."""
