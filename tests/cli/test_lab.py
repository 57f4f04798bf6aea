"""`course lab`: what it starts, and what it says where notebooks would not be alive. A browser test runs it really."""

import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from course_lib.cli import app, environment
from course_lib.cli.environment import Item


@pytest.fixture
def started(make_notebook, tmp_path, monkeypatch):
    """Call the command in a small course; gives the answer and the command line that would replace it."""
    make_notebook("00_first", "")
    make_notebook("01_second", "")
    monkeypatch.chdir(tmp_path)
    lines = []
    monkeypatch.setattr(os, "execve", lambda program, line, environment: lines.append((line, environment)))

    def start(*words):
        lines.clear()
        return CliRunner().invoke(app, ["lab", *words]), lines

    return start


@pytest.mark.parametrize(
    ("words", "page", "options"),
    [
        ([], "00_first", []),
        (["1"], "01_second", []),
        (["--no-browser"], "00_first", ["--no-browser"]),
        (["01", "--no-browser", "--port=9000"], "01_second", ["--no-browser", "--port=9000"]),
    ],
)
def test_it_opens_a_notebook_in_this_environment(started, tmp_path, words, page, options):
    answer, [(line, environment)] = started(*words)
    assert answer.exit_code == 0, answer.output
    start = f"--LabApp.default_url=/lab/tree/{page}.ipynb"
    assert line == [sys.executable, "-m", "jupyterlab", start, *options]
    assert environment["JUPYTER_PREFER_ENV_PATH"] == "1"
    assert Path.cwd() == tmp_path / "notebooks"


def test_what_is_missing_is_said_with_its_fix_and_nothing_starts(started, monkeypatch):
    items = [Item("kernel", False, "no python3", "pip install it")]
    monkeypatch.setattr(environment, "lab_checks", lambda: items)
    answer, lines = started()
    assert (answer.exit_code, lines) == (1, [])
    assert answer.stderr == "JupyterLab cannot run the notebooks: kernel: no python3. pip install it\n"


def test_an_unknown_notebook_is_refused(started):
    answer, lines = started("77")
    assert (answer.exit_code, lines) == (2, [])
    assert "77" in answer.stderr
