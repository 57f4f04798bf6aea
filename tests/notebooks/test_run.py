"""Every notebook, run twice: as committed, with its outputs compared; and small, with other parameters, free of errors.

These runs take longest, and begin first (conftest.py).
"""

import nbformat
import pytest
from nbformat.v4 import new_output
from notebook_runs import NOTEBOOKS, OTHER, compare_outputs, use_other_parameters

from course_lib.runner import plan
from course_lib.runner.find import default_parameters

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_as_committed(path):
    done = compare_outputs(path)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_small_with_other_parameters(path, tmp_path):
    result = use_other_parameters(path, tmp_path)
    assert result.failure is None, f"{result.failure}\n{result.failure.traceback}"
    assert not result.lost_claims


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_is_tried_with_another_value(path):
    defaults = default_parameters(path)
    assert OTHER[path.name[:2]].keys() == defaults.keys() - {"profile"}
    assert plan(path, parameters=OTHER[path.name[:2]]).changed == OTHER[path.name[:2]]


def test_a_changed_output_is_noticed_where_it_is_compared(make_notebook):
    path = make_notebook(
        "00_n", ("print(seed)", ["nbval-check-output"]), "import random; print(random.random())"
    )
    notebook = nbformat.read(path, as_version=4)
    cells = notebook.cells[2:]
    for number, cell in enumerate(notebook.cells[1:], 1):
        cell.execution_count = number
    for text, code in (("0\n", 0), ("1\n", 1)):
        cells[0].outputs = [new_output("stream", name="stdout", text=text)]
        cells[1].outputs = [new_output("stream", name="stdout", text="0.5\n")]
        nbformat.write(notebook, path)
        assert compare_outputs(path).returncode == code


def test_a_claim_that_does_not_hold_is_an_error_here(make_notebook):
    path = make_notebook("00_n", "from course_lib.measure import claim\nclaim('one is two', 1 == 2)")
    done = compare_outputs(path)
    assert done.returncode == 1
    assert "ClaimError" in done.stdout
