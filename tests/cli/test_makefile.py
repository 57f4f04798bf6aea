"""`make`: its help, and a set-up that is done once, redone when needed, and never half done."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERBS = ("help", "course", "test", "lab", "book", "bench", "lint", "outputs")

# Stands for a Python: writes down what it is asked to do, makes .venv/bin/python a copy of itself, and fails in pip
# where a file named "broken" lies beside the Makefile.
PYTHON = """#!/bin/sh
case "$*" in
  *version_info\\[:2\\]*) echo ${FAKE_VERSION:-3.11} ;;
  *"version_info <"*) test "${FAKE_VERSION:-3.11}" = 3.11 ;;
  *"import venv"*) test -z "$FAKE_NO_VENV" ;;
  *) echo "$*" >> log
     case "$*" in *"-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;; esac
     case "$*" in *"--requirement"*) test ! -e broken ;; esac ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def make(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_text("")
    python = tmp_path / "some python"
    python.write_text(PYTHON)
    python.chmod(0o755)

    def make(*words, **environment):
        command = ["make", f"PYTHON={python}", *words]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(
            command, cwd=tmp_path, env=clean | environment, capture_output=True, text=True, check=False
        )
        log = tmp_path / "log"
        asked = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return done, asked

    return make


def is_set_up(asked):
    return any("--requirement requirements.lock" in line for line in asked)


def test_help_is_the_default_and_lists_every_verb(make):
    done, asked = make()
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == list(VERBS)
    assert asked == []


def test_the_set_up_is_in_venv_and_done_once(make):
    done, asked = make("course")
    assert done.returncode == 0, done.stderr
    assert asked[0] == "-m venv --clear .venv"
    assert asked[1].endswith("--requirement requirements.lock")
    assert asked[2].endswith("--no-deps --no-build-isolation --editable .")
    assert asked[3] == "-m course_lib.cli run --book"
    assert make("course")[1] == ["-m course_lib.cli run --book"]


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_the_set_up_is_brought_up_to_date_when_its_files_change(make, tmp_path, name):
    make("test")
    stamp = (tmp_path / ".venv" / ".course-ready").stat().st_mtime
    os.utime(tmp_path / name, (stamp + 10, stamp + 10))
    asked = make("test")[1]
    assert is_set_up(asked)
    assert asked[0] == "-m venv .venv"


def test_a_set_up_that_failed_does_not_count(make, tmp_path):
    (tmp_path / "broken").touch()
    done, asked = make("test")
    assert done.returncode != 0
    assert "-m pytest" not in asked
    (tmp_path / "broken").unlink()
    asked = make("test")[1]
    assert asked[0] == "-m venv --clear .venv"
    assert asked[-1] == "-m pytest"


def test_an_update_that_failed_is_begun_from_nothing(make, tmp_path):
    make("test")
    stamp = (tmp_path / ".venv" / ".course-ready").stat().st_mtime
    os.utime(tmp_path / "requirements.lock", (stamp + 10, stamp + 10))
    (tmp_path / "broken").touch()
    make("test")
    (tmp_path / "broken").unlink()
    assert make("test")[1][0] == "-m venv --clear .venv"


def test_an_old_python_is_told_in_one_sentence(make, tmp_path):
    done, asked = make("course", FAKE_VERSION="3.9")
    assert done.returncode != 0
    assert done.stderr.startswith("The course needs Python 3.11 or later.")
    assert "is 3.9" in done.stderr
    assert asked == []
    assert not (tmp_path / ".venv").exists()


def test_a_missing_venv_module_is_told_in_one_sentence(make):
    done, asked = make("course", FAKE_NO_VENV="1")
    assert done.returncode != 0
    assert "has no working venv module" in done.stderr
    assert "apt-get install python3.11-venv" in done.stderr
    assert asked == []
