"""Where numbers come from."""

import json
import platform
import subprocess

import psutil
import pytest
import torch

from course_lib import provenance as module
from course_lib.provenance import commit, peak_memory, provenance


def test_it_names_versions_machine_and_date_and_goes_into_json():
    found = json.loads(json.dumps(provenance("matplotlib")))
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["versions"]["python"] == platform.python_version()
    assert "matplotlib" in found["versions"]
    assert found["machine"]["cores"] >= 1
    assert found["date"].endswith("+00:00")


def test_peak_memory_is_in_bytes_and_covers_what_is_held_now():
    held = psutil.Process().memory_info().rss
    peak = peak_memory()
    if peak is None:
        pytest.skip("this system does not tell the peak memory of a process")
    # The kernel counts a little behind.
    assert 0.9 * held <= peak < psutil.virtual_memory().total


def test_the_commit_is_marked_where_files_differ_and_none_outside_of_git(tmp_path, monkeypatch):
    folder = tmp_path / "course" / "course_lib"
    folder.mkdir(parents=True)
    file = folder / "provenance.py"
    file.write_text("")
    monkeypatch.setattr(module, "LIBRARY", folder)
    assert commit() is None

    def git(*arguments):
        names = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(
            ["git", "-C", str(tmp_path / "course"), *names, *arguments], check=True, capture_output=True
        )

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    name = commit()
    assert len(name) == 12
    file.write_text("# changed")
    assert commit() == name + "+"
