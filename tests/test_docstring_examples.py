"""The examples in the docstrings of the library give what they say they give."""

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from PIL import Image

from course_lib import losses
from course_lib.site.reference import PACKAGES, public

ROOT = Path(__file__).resolve().parents[1]
# The functions that most programs call.
EXPECTED = {
    *(name for name in losses.__all__ if name.endswith("_loss")),
    *("class_soft_matrix", "load", "from_folder", "from_dataset", "accuracy", "compare", "diagnose"),
    *("budget_curve", "fit", "fit_many", "cache_teacher", "answers_from", "named_objective", "Objective"),
}


def _examples():
    parser, found, names = doctest.DocTestParser(), {}, {}
    page = (ROOT / "book" / "reference.md").read_text(encoding="utf-8")
    [before] = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    exec(before, names)  # what the reference says to run first
    for package in PACKAGES:
        for name, thing in public(import_module(f"course_lib.{package}")).items():
            text = inspect.getdoc(thing) if callable(thing) else None
            if text and ">>>" in text:
                found[name] = parser.get_doctest(text, dict(names), name, None, None)
    return found


EXAMPLES = _examples()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with the pictures that an example reads."""
    monkeypatch.chdir(tmp_path)
    for kind in ("cat", "dog"):
        (tmp_path / "photographs" / kind).mkdir(parents=True)
        for shade in range(10):
            Image.new("RGB", (40, 36), (shade, 0, 0)).save(tmp_path / "photographs" / kind / f"{shade}.png")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_gives_what_it_says(name, folder):
    told = []
    doctest.DocTestRunner(verbose=False).run(EXAMPLES[name], out=told.append)
    assert not told, "".join(told)


def test_what_is_used_most_has_an_example():
    assert set(EXAMPLES) >= EXPECTED


def test_no_example_is_left_out():
    lines = (
        line
        for path in (ROOT / "course_lib").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
    )
    assert sum(line.lstrip().startswith(">>> ") for line in lines) == sum(
        len(test.examples) for test in EXAMPLES.values()
    )
