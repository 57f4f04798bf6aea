"""`course data`: what it lists, fetches and verifies, in words."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from course_lib import data
from course_lib.cli import app
from course_lib.errors import CourseError

RECORDS = [
    SimpleNamespace(name="here", ready=True, where="/a folder [copy]", fix="", required=True),
    SimpleNamespace(
        name="away", ready=False, where="not found", fix="Get it: course data fetch away", required=False
    ),
]


@pytest.fixture
def course(monkeypatch):
    def verify(name):
        raise CourseError(f"{name} has 49999 images, not 50000.")

    monkeypatch.setattr(data, "available", lambda: RECORDS)
    monkeypatch.setattr(data, "fetch", lambda name: f"{name} is ready")
    monkeypatch.setattr(data, "verify", verify)
    return lambda *words: CliRunner().invoke(app, ["data", *words])


def test_the_list_tells_where_each_is_and_how_to_get_it(course):
    answer = course("list")
    assert answer.exit_code == 0
    assert answer.output.splitlines() == [
        "[OK]   here: /a folder [copy]",
        "[--]   away: not found",
        "        Get it: course data fetch away",
    ]


def test_fetch_tells_what_it_did(course):
    assert course("fetch", "away").output == "away is ready\n"


def test_a_damaged_copy_is_one_sentence(course):
    answer = course("verify", "away")
    assert answer.exit_code == 1
    assert answer.stderr == "away has 49999 images, not 50000.\n"


@pytest.mark.parametrize("verb", ["fetch", "verify"])
def test_an_unknown_name_is_told_with_the_list(course, verb):
    answer = course(verb, "mnist")
    assert answer.exit_code == 2
    assert answer.stderr == "No data set is called 'mnist'; there are here, away.\n"


def test_the_real_list_begins_with_the_embedded_data():
    answer = CliRunner().invoke(app, ["data", "list"])
    assert answer.exit_code == 0
    assert answer.output.startswith("[OK]   digits: ")
