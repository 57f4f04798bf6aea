"""Where numbers come from."""

import json
import platform
import subprocess

import torch

from course_lib import provenance as module
from course_lib.provenance import commit, provenance


def test_it_names_versions_machine_and_date_and_goes_into_json():
    found = json.loads(json.dumps(provenance("matplotlib")))
    assert found["versions"]["torch"] == torch.__version__.split("+")[0] or found["versions"]["torch"]
    assert found["versions"]["python"] == platform.python_version()
    assert "matplotlib" in found["versions"]
    assert found["machine"]["cores"] >= 1
    assert found["date"].endswith("+00:00")


def test_the_commit_is_marked_where_files_differ_and_none_outside_of_git(tmp_path, monkeypatch):
    folder = tmp_path / "course" / "course_lib"
    folder.mkdir(parents=True)
    file = folder / "provenance.py"
    file.write_text("")
    monkeypatch.setattr(module, "__file__", str(file))
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
