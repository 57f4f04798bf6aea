"""Builds the website from notebooks that already carry their outputs; the work behind `course book`."""

from course_lib.site.build import build

__all__ = ["build"]
