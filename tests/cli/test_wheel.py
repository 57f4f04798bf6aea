"""The wheel that others install: what is in it, and what the library and the command do where the course is not."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import course_lib

pytestmark = pytest.mark.xdist_group("wheel")  # built once

ROOT = Path(__file__).resolve().parents[2]
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what it is made of: setuptools leaves files beside its sources."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "course_lib", source / "course_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for other in ("tests/cli", "notebooks", "benchmarks"):  # must be left out
        (source / other).mkdir(parents=True)
        (source / other / "__init__.py").touch()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=source, check=True, capture_output=True)
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder of packages with the wheel in it, as pip installs it."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile", "--quiet"]
    done = subprocess.run([*pip, "--target", str(folder), str(wheel)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def run(installed, folder, *command):
    """Run Python or a script with the installed wheel before everything else, in a folder that is not the course's."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COURSE_")}
    environment["PYTHONPATH"] = str(installed)
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, cwd=folder, env=environment
    )


def test_the_wheel_holds_the_library_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    library = {name for name in names if not re.match(r"small_from_big-[^/]+\.dist-info/", name)}
    ours = (path.relative_to(ROOT) for path in (ROOT / "course_lib").rglob("*") if path.is_file())
    assert library == {path.as_posix() for path in ours if "__pycache__" not in path.parts}
    assert "course_lib/py.typed" in library


def test_the_wheel_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        about = Parser().parsestr(archive.read(metadata).decode("utf-8"))
        assert archive.read(metadata.replace("METADATA", "entry_points.txt")).decode().split() == [
            *("[console_scripts]", "course", "=", "course_lib.cli:app")
        ]
        assert metadata.replace("METADATA", "licenses/LICENSE") in archive.namelist()
    assert about["Version"] == course_lib.__version__
    assert f"version: {course_lib.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    plain = [need for need in about.get_all("Requires-Dist") if "extra ==" not in need]
    assert not any(re.match(r"jupyter|papermill|altair|optuna|ipywidgets|pytest", need) for need in plain)


def test_the_installed_library_distils_outside_the_course(installed, tmp_path):
    code = """
from importlib.metadata import version
import course_lib
from course_lib import data, measure, models, training

digits = data.load("digits")
recipe = training.Recipe(steps=5)
teacher = training.fit(models.cnn_teacher, training.hard_labels(), digits.train, recipe)
cache = training.cache_teacher(teacher.model, digits.train)
student = training.fit(models.small_mlp, training.soft_targets(), digits.train, recipe, teacher=cache)
measure.evaluate(student.model, digits.test)
print(course_lib.__file__, course_lib.__version__ == version("small-from-big"))
"""
    done = run(installed, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(installed / "course_lib" / "__init__.py"), "True"]


def test_the_installed_command_helps_and_knows_its_version(installed, tmp_path):
    script = installed / ("Scripts" if sys.platform == "win32" else "bin") / "course"
    done = run(installed, tmp_path, script, "--help")
    assert done.returncode == 0, done.stderr
    assert "distill" in done.stdout
    assert run(installed, tmp_path, script, "--version").stdout == f"course {course_lib.__version__}\n"


@pytest.mark.parametrize("command", ["run", "lab", "book"])
def test_what_needs_the_course_says_so_in_a_sentence(command, installed, tmp_path):
    done = run(installed, tmp_path, "-m", "course_lib.cli", command)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    [sentence] = done.stderr.strip().splitlines()
    assert sentence.startswith(f"No notebooks/ folder of the course in {tmp_path} or above it")
    assert "pip installs only the library" in sentence
