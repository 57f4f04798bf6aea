"""Showing where packages for notebooks are missing: what needs none of them works, the rest says what to install."""

import json
import subprocess
import sys

import pytest

WIDGETS = ("temperature_slider", "split_slider", "tuning_panel")
pytestmark = pytest.mark.xdist_group("missing packages")  # the child imports the library once

CODE = f"""
import contextlib, io, json, sys
sys.modules.update({{"ipywidgets": None, "altair": None, "IPython": None}})
from course_lib import show
from course_lib.errors import CourseError

told = {{}}
try:
    show.temperature_chart
except CourseError as error:
    told["temperature_chart"] = str(error)
told["bundle"] = show.predict("Is it?", ["yes", "no"], key="it", guess="no")._repr_mimebundle_()
with contextlib.redirect_stdout(io.StringIO()) as printed:
    show.predicted("it", "yes")
told["predicted"] = printed.getvalue().strip()
del sys.modules["altair"]  # the widgets miss ipywidgets alone
for name in {WIDGETS}:
    told[name] = repr(getattr(show, name)("anything", seeds=2))  # a notebook goes on
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_chart_is_refused_with_what_to_install(told):
    assert told["temperature_chart"].startswith(
        "show.temperature_chart needs the package altair; install the extra"
    )
    assert "small-from-big[course]" in told["temperature_chart"]


@pytest.mark.parametrize("widget", WIDGETS)
def test_in_place_of_a_widget_stands_what_to_install(told, widget):
    assert f"show.{widget} needs the package ipywidgets; install the extra" in told[widget]
    assert "small-from-big[course]" in told[widget]


def test_a_prediction_is_text_without_ipywidgets(told):
    assert set(told["bundle"]) == {"text/plain", "text/html"}
    assert told["predicted"] == "✘ wrong: You guessed “no”; the runs say “yes”."
