"""Exercises of the notebooks: `check("02.1", answer)`, `hint("02.1")` and `solution("02.1")`.

Each chapter's exercises live in a file of their own, ``chapter_02.py``, as a list named ``EXERCISES``.
"""

from course_lib.exercises.engine import Exercise, WrongAnswer, check, difference, hint, solution

__all__ = ["Exercise", "WrongAnswer", "check", "difference", "hint", "solution"]
