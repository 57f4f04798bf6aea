"""Results that come with the course."""

import json

import pytest

from course_lib.data import measured
from course_lib.errors import CourseError


def test_a_result_is_found_by_name_and_others_are_refused(own_data):
    folder = own_data / "results"
    folder.mkdir(parents=True)
    (folder / "one.json").write_text(json.dumps({"accuracy": 1.5}))
    assert measured("one") == {"accuracy": 1.5}
    with pytest.raises(CourseError, match=r"name must be a result in .* \(one\), got 'two'"):
        measured("two")


def test_where_only_the_library_is_installed_it_says_so(own_data):
    with pytest.raises(
        CourseError, match=r"no results in .*: go to the course's folder; pip installs only the library"
    ):
        measured("one")
