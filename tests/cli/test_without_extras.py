"""Training, measuring and the command work where neither Jupyter nor plotting is installed."""

import subprocess
import sys

import pytest

# Python finds neither the packages nor their records, as if they were not installed.
BLOCK = """
import sys
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, PackageNotFoundError

names, find, from_name = {names}, PathFinder.find_spec, Distribution.from_name

def refuse(cls, name):
    if name in names:
        raise PackageNotFoundError(name)
    return from_name(name)

PathFinder.find_spec = lambda name, *rest: None if name.split(".")[0] in names else find(name, *rest)
Distribution.from_name = classmethod(refuse)
"""
JUPYTER = {
    "IPython",
    "ipykernel",
    "ipywidgets",
    "jupyter_client",
    "jupyter_core",
    "jupyterlab",
    "nbclient",
    "nbformat",
}
EXTRAS = JUPYTER | {
    "papermill",
    "psutil",
    "traitlets",
    "altair",
    "vl_convert",
    "torchinfo",
    "jupyter_book",
    "yaml",
    "optuna",
}
PLOTTING = {"matplotlib"}


def python(code, blocked, folder):
    command = [sys.executable, "-c", BLOCK.format(names=blocked) + code]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.parametrize(
    "module",
    [
        "course_lib.training",
        "course_lib.measure",
        "course_lib.data",
        "course_lib.exercises",
        "course_lib.tuning",
        "course_lib.cli",
    ],
)
def test_the_library_imports_without_jupyter_and_plotting(module, tmp_path):
    done = python(f"import {module}", EXTRAS | PLOTTING, tmp_path)
    assert done.returncode == 0, done.stderr


def command(*words):
    return f"sys.argv = ['course', *{words}]\nfrom course_lib.cli import app\napp()"


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("data", "list")])
def test_the_command_works_without_the_extras(words, tmp_path):
    done = python(command(*words), EXTRAS, tmp_path)
    assert done.returncode == 0, done.stderr


def test_check_tells_what_is_missing_and_how_to_fix_it(tmp_path):
    done = python(command("check"), EXTRAS, tmp_path)
    assert done.returncode == 1
    assert "[OK]   PyTorch: " in done.stdout
    assert "[FAIL] papermill: papermill is not installed" in done.stdout
    assert "pip install -e '.[course]'" in done.stdout
    assert "[--]   Jupyter Book: jupyter_book is not installed" in done.stdout


def test_check_works_even_without_pytorch(tmp_path):
    done = python(command("check"), EXTRAS | {"torch"}, tmp_path)
    assert done.returncode == 1
    assert "[FAIL] PyTorch: torch is not installed" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_commands_are_listed_without_pytorch(tmp_path):
    done = python(command("--help"), EXTRAS | {"torch"}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Distil AlexNet or networks of yours" in done.stdout


def test_run_tells_which_extra_to_install(tmp_path):
    done = python(command("run"), EXTRAS, tmp_path)
    assert done.returncode == 1
    assert "install the extra [course]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("widget", ["temperature_slider", "split_slider", "tuning_panel"])
def test_in_place_of_a_widget_stands_what_to_install(widget, tmp_path):
    code = f"from course_lib import show; print(repr(show.{widget}('anything', seeds=2)))"
    done = python(code, {"ipywidgets"}, tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"show.{widget} needs the package ipywidgets; install the extra" in done.stdout
