"""Settings declared at the fields of a dataclass: checked in their order, and told in its docstring."""

from dataclasses import dataclass

import pytest

from course_lib.errors import CourseError, check_count, check_positive
from course_lib.fields import check_settings, described, setting


@described
@dataclass(frozen=True)
class Made:
    """What is made."""

    steps: int = setting(3, "How many.", check_count)
    lr: float | None = setting(None, "How fast; as before if not given.", check_positive, flags=("--lr",))
    name: str = setting("a", "Of it.")


def test_each_field_refuses_its_value_in_turn_and_none_only_where_it_is_no_default():
    check_settings(Made())
    check_settings(Made(lr=0.5, name=""))
    with pytest.raises(CourseError, match="steps must be an integer of at least 1, got 0"):
        check_settings(Made(steps=0, lr=-1.0))
    with pytest.raises(CourseError, match=r"lr must be a finite number above 0, got -1\.0"):
        check_settings(Made(lr=-1.0))
    with pytest.raises(CourseError, match="steps must be an integer of at least 1, got None"):
        check_settings(Made(steps=None))


def test_the_docstring_tells_the_help_of_each_field():
    told = "What is made.\n\n    Attributes:\n        steps: How many.\n        lr: How fast; as before if not given."
    assert Made.__doc__.startswith(told)
