"""`course check`: every item, and what it says where something is missing."""

import sys

import pytest
from typer.testing import CliRunner

from course_lib.cli import app, environment
from course_lib.cli.environment import Item


def item(name):
    return next(item for item in environment.checks() if item.name == name)


def test_this_environment_has_all_that_is_required():
    answer = CliRunner().invoke(app, ["check"])
    assert answer.exit_code == 0, answer.output
    assert "[FAIL]" not in answer.output
    for name in (
        "Python",
        "PyTorch",
        "torchvision",
        "Lightning Fabric",
        "kernel",
        "papermill",
        "digits",
        "disk",
    ):
        assert f"[OK]   {name}: " in answer.output


def test_marks_and_fixes(monkeypatch):
    items = [
        Item("here", True, "1.0", "no need"),
        Item("optional", False, "not found", "install it", required=False),
        Item("needed", False, "not found", "pip install -e '.[course]'"),
    ]
    monkeypatch.setattr(environment, "checks", lambda: items)
    answer = CliRunner().invoke(app, ["check"])
    assert answer.exit_code == 1
    assert answer.stdout.splitlines() == [
        "[OK]   here: 1.0",
        "[--]   optional: not found",
        "        install it",
        "[FAIL] needed: not found",
        "        pip install -e '.[course]'",
    ]
    assert answer.stderr.startswith("1 required item is missing")


def test_what_is_missing_but_optional_is_no_failure(monkeypatch):
    monkeypatch.setattr(environment, "checks", lambda: [Item("optional", False, "not found", required=False)])
    assert CliRunner().invoke(app, ["check"]).exit_code == 0


def test_an_old_python_fails(monkeypatch):
    monkeypatch.setattr(environment, "MINIMUM_PYTHON", (99, 0))
    assert not item("Python").ok


def test_a_module_that_does_not_import_fails_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "papermill", None)
    found = item("papermill")
    assert not found.ok
    assert "\n" not in found.found


def test_a_kernel_of_another_python_fails(monkeypatch, tmp_path):
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["/no/such/python", "-f", "{connection_file}"], "display_name": "x"}'
    )
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    found = item("kernel")
    assert not found.ok
    assert str(spec) in found.found


def test_a_lab_that_does_not_find_the_extension_for_widgets_fails(monkeypatch, tmp_path):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *_: [str(tmp_path)])
    found = item("widgets in JupyterLab")
    assert not found.ok
    assert "jupyterlab_widgets" in found.fix


def test_a_full_disk_fails(monkeypatch):
    monkeypatch.setattr(environment, "NEEDED_SPACE", float("inf"))
    assert not item("disk").ok


def test_a_folder_without_write_permission_fails(monkeypatch, tmp_path):
    def refuse(dir):
        raise PermissionError(f"Permission denied: {dir}")

    monkeypatch.setattr(environment.tempfile, "NamedTemporaryFile", refuse)
    assert not item("writing").ok


@pytest.mark.parametrize("name", ["Chromium", "GPU", "Jupyter Book"])
def test_some_items_are_optional(name):
    assert not item(name).required
