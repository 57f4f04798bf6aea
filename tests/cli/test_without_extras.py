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


MODULES = ("training", "measure", "data", "exercises", "tuning", "cli")
# One after another in one process, which loads PyTorch once; each module imports its own parts afresh.
IMPORTS = f"""
from importlib import import_module

for name in {MODULES}:
    for known in [each for each in sys.modules if each.split(".")[0] == "course_lib"]:
        del sys.modules[known]
    import_module(f"course_lib.{{name}}")
    print(name)
"""


def test_the_library_imports_without_jupyter_and_plotting(tmp_path):
    done = python(IMPORTS, EXTRAS | PLOTTING, tmp_path)
    assert done.returncode == 0, done.stderr
    assert tuple(done.stdout.split()) == MODULES


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
