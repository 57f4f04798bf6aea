"""The `course` command as a user meets it: what it prints, and its exit codes."""

import json
import re
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_output
from typer.testing import CliRunner

import course_lib.cli
from course_lib.cli import app

FALSE = {
    "application/vnd.course.claim+json": {"sentence": "one is two", "holds": False, "evidence": "1 against 2"}
}
CLAIM = f"from IPython.display import publish_display_data\npublish_display_data({FALSE})"


@pytest.fixture
def course(make_notebook, tmp_path, monkeypatch):
    """Call the command in a small course of two notebooks."""
    make_notebook("00_first", "print('hello')")
    make_notebook("01_second", "value = 1 / (seed - 5)")
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, words)


def test_help_is_there_for_everything(course):
    for words in (
        [],
        ["check"],
        ["run"],
        ["book"],
        ["data"],
        ["data", "list"],
        ["data", "fetch"],
        ["data", "verify"],
    ):
        answer = course(*words, "--help")
        assert answer.exit_code == 0
        assert "Usage: " in answer.output


def test_the_version_is_told(course):
    assert course("--version").output == f"course {course_lib.__version__}\n"


def test_a_run_ends_with_a_table_and_the_report(course, tmp_path):
    answer = course("run", "--jobs", "1")
    assert answer.exit_code == 0
    assert "[1/2] 00_first: 3 cells ...\n[OK] 00_first: " in answer.output
    assert "0 of 0" in answer.output
    assert re.search(
        r"One notebook at a time: \d+\.\d s of notebooks in \d+\.\d s, a ratio of 1\.\d\d\.", answer.output
    )
    assert f"Report: {tmp_path / 'build' / 'report.json'}" in answer.output
    assert json.loads((tmp_path / "build" / "report.json").read_text())["ok"]


def test_the_table_says_how_many_ran_at_once(course):
    answer = course("run", "--jobs", "2")
    assert re.search(
        r"2 notebooks at once: \d+\.\d s of notebooks in \d+\.\d s, a ratio of 0\.\d\d\.", answer.output
    )


def test_a_failing_notebook_is_told_with_cell_and_error(course, tmp_path):
    answer = course("run", "01", "-p", "seed=5", "--output", "elsewhere")
    assert answer.exit_code == 1
    assert "01_second, cell 3, 'value = 1 / (seed - 5)': ZeroDivisionError: division by zero" in answer.stderr
    assert "Traceback" not in answer.output
    assert (tmp_path / "elsewhere" / "notebooks" / "01_second.ipynb").is_file()


def test_a_false_claim_is_told_with_its_evidence(course, make_notebook):
    make_notebook("02_third", CLAIM)
    answer = course("run", "2")
    assert answer.exit_code == 1
    assert "02_third, cell 3: the claim 'one is two' does not hold (1 against 2)" in answer.stderr
    assert course("run", "2", "-p", "seed=1").exit_code == 0


def test_a_lost_claim_is_told(course, make_notebook):
    path = make_notebook("02_third", "1")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].outputs = [new_output("display_data", data=FALSE)]
    nbformat.write(notebook, path)
    answer = course("run", "2")
    assert answer.exit_code == 1
    assert "02_third, cell 3, '1': claims are missing, 0 of the 1 stored with the notebook" in answer.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["9"], "No notebook is called '9'; the course has 00_first, 01_second."),
        (["-p", "lr=1"], "00_first has no parameter 'lr'; its parameters are: profile, seed."),
        (["-p", "seed"], "-p expects name=value, such as temperature=8, but got 'seed'."),
        (["-p", "seed=[1]"], "00_first: seed must be a number like 0, not [1]."),
        (["00", "--book"], "--book needs all notebooks"),
        (["--in-place", "--profile", "full"], "--in-place stores the outputs of the default parameters"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_nothing_runs(course, tmp_path, words, message):
    answer = course("run", *words)
    assert answer.exit_code == 2
    assert answer.stderr.startswith(message)
    assert answer.stderr.count("\n") == 1
    assert not (tmp_path / "build").exists()


def test_debug_shows_the_traceback(course):
    answer = course("--debug", "run", "9")
    assert answer.exit_code == 1
    assert "No notebook is called '9'" in str(answer.exception)


def test_in_the_profile_smoke_a_false_claim_is_no_failure(course, make_notebook, tmp_path):
    make_notebook("02_third", f"assert profile == 'smoke'\n{CLAIM}")
    assert course("run", "2", "--profile", "smoke").exit_code == 0
    (entry,) = json.loads((tmp_path / "build" / "report.json").read_text())["notebooks"]
    assert entry["profile"] == "smoke"
    assert not entry["claims"][0]["holds"]


@pytest.mark.parametrize("words", [["--profile", "fast"], ["--jobs", "0"], ["--unknown"]])
def test_options_are_checked(course, words):
    assert course("run", *words).exit_code == 2


def test_in_place_stores_the_outputs_of_what_went_well(course, tmp_path, make_notebook):
    make_notebook("02_third", CLAIM)
    before = (tmp_path / "notebooks" / "02_third.ipynb").read_bytes()
    assert course("run", "--in-place").exit_code == 1
    assert "hello" in (tmp_path / "notebooks" / "00_first.ipynb").read_text()
    assert (tmp_path / "notebooks" / "02_third.ipynb").read_bytes() == before


def test_the_website_is_built_from_what_was_executed(course, tmp_path, monkeypatch):
    built = []

    def build(notebooks, output):
        built.append((notebooks, output, sorted(path.stem for path in notebooks.iterdir())))
        return tmp_path / "book" / "_build" / "html" / "index.html"

    monkeypatch.setattr("course_lib.site.build", build)
    stale = tmp_path / "build" / "notebooks" / "01_former_name.ipynb"
    stale.parent.mkdir(parents=True)
    stale.touch()
    answer = course("run", "--book")
    assert answer.exit_code == 0
    assert built == [(tmp_path / "build" / "notebooks", tmp_path / "book", ["00_first", "01_second"])]
    assert answer.output.endswith(f"file://{tmp_path}/book/_build/html/index.html\n")
    assert course("book").exit_code == 0
    assert built[1] == (tmp_path / "notebooks", tmp_path / "book", ["00_first", "01_second"])


def test_no_website_of_a_failed_run(course, make_notebook, monkeypatch):
    make_notebook("02_third", CLAIM)
    monkeypatch.setattr("course_lib.site.build", lambda *_: pytest.fail("built"))
    assert course("run", "--book").exit_code == 1


def test_the_module_is_the_command(tmp_path):
    command = [sys.executable, "-m", "course_lib.cli", "run", "--help"]
    assert "Usage: course run" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
