"""`course tune`: what is wrong is told before anything is trained, and a grid that was stopped goes on."""

import json
import signal

import pytest
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.tuning import GridRecord, examine


def tune(*words):
    return CliRunner().invoke(app, ["tune", *map(str, words)])


@pytest.fixture
def untrained(task, monkeypatch):
    """A task whose teacher need not be trained."""
    monkeypatch.setattr("course_lib.tuning.prepare", lambda *_, **__: task)


def test_a_grid_that_was_stopped_goes_on_from_what_it_keeps(untrained, tmp_path, monkeypatch):
    out, kept = tmp_path / "grid.json", tmp_path / "grid.json.unfinished" / "grid"

    def stopped(*_, **__):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("course_lib.tuning.examine", stopped)
    trained = []
    for _ in range(2):
        assert tune("grid", "--out", out, "--profile", "smoke").exit_code == 143
        assert not out.exists()
        trained.append([(path.name, path.stat().st_mtime_ns) for path in kept.glob("*.ckpt")])
    assert trained[0]
    assert trained[0] == trained[1]
    monkeypatch.setattr("course_lib.tuning.examine", examine)
    answer = tune("grid", "--out", out, "--profile", "smoke")
    assert answer.exit_code == 0, answer.output
    assert [path.name for path in tmp_path.iterdir()] == ["grid.json"]
    assert json.loads(out.read_text())["seeds"] == list(GridRecord.read(out).grid.seeds)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["grid", "--out", "file/grid.json"], "out must be a file that can be written, got file/grid.json"),
        (["grid", "--out", "grid.json", "--labels", 9999], "labels must be from 10"),
        (["search", "--labels", 9999], "labels must be from 10"),
        (["search", "--storage", "file"], "storage must be a file or the URL of a database"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_trained(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("course_lib.tuning.settings.train_teacher", lambda *_, **__: pytest.fail("trained"))
    (tmp_path / "file").write_text("no database")
    answer = tune(*words)
    assert answer.exit_code == 1
    assert answer.stderr.startswith(message)
