"""Every notebook, run twice: as committed, with its outputs compared; and with other parameters, free of errors.

Both need minutes of one core, so they are run a few at a time, each with its share of the cores.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output

from course_lib.runner import list_notebooks, plan
from course_lib.runner.execute import run_notebook
from course_lib.runner.find import default_parameters

NOTEBOOKS = list_notebooks(Path(__file__).resolve().parents[2] / "notebooks")
WORKERS = max(1, min(4, os.cpu_count() or 1))
THREADS = max(1, (os.cpu_count() or 1) // WORKERS)

# Another small value for each parameter of each notebook.
OTHER = {
    "00": {"seed": 1, "labels": 200},
    "01": {"seed": 1, "steps": 60, "patience_ms": 1.0},
    "02": {"seed": 1, "temperature": 8.0, "lam": 0.5},
    "03": {"seed": 1, "temperature": 2.0, "sharpness": 20.0},
    "04": {"seed": 1, "temperature": 8.0, "lam": 1.0, "matrix_temperature": 2.0},
    "05": {"seed": 1, "beta": 0.5, "lam": 1.0, "matrix_temperature": 2.0},
    "06": {"seed": 1, "temperature": 2.0, "labels": 100},
    "07": {"seed": 1, "temperature": 2.0, "lam": 0.5, "sharpness": 20.0, "rank": 4},
    "08": {"seed": 1, "temperature": 2.0, "lam": 0.5, "smoothing": 0.2, "tolerance": 0.1},
    "09": {"seed": 1, "temperature": 2.0, "seeds": 2},
    "10": {"seed": 1, "labels": 200},
}

pytestmark = pytest.mark.timeout(900)


def compare_outputs(path, folder):
    """nbval on the cells tagged nbval-check-output; a claim that does not hold is an error."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q", "--color=no"]
    command += ["-c", os.devnull, "--rootdir", str(path.parent), "-p", "no:cacheprovider", str(path)]
    environment = os.environ | {
        "COURSE_CLAIMS": "strict",
        "COURSE_PROGRESS": "0",
        "OMP_NUM_THREADS": str(THREADS),
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def use_other_parameters(path, folder):
    return run_notebook(plan(path, parameters=OTHER[path.name[:2]]), folder / path.name, threads=THREADS)


WORK = {"test_outputs_are_as_committed": compare_outputs, "test_other_parameters": use_other_parameters}


@pytest.fixture(scope="session")
def outcomes(request, tmp_path_factory):
    """The runs that the chosen tests wait for, begun together."""
    folder = tmp_path_factory.mktemp("other")
    chosen = [
        (item.originalname, item.callspec.params["path"]) for item in request.session.items if has_run(item)
    ]
    pool = ThreadPoolExecutor(WORKERS)
    yield {(name, path): pool.submit(WORK[name], path, folder) for name, path in chosen}
    pool.shutdown(cancel_futures=True)


def has_run(item):
    return getattr(item, "originalname", None) in WORK and "path" in item.callspec.params


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_as_committed(path, outcomes):
    done = outcomes["test_outputs_are_as_committed", path].result()
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_other_parameters(path, outcomes):
    result = outcomes["test_other_parameters", path].result()
    assert result.failure is None, f"{result.failure}\n{result.failure.traceback}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_is_tried_with_another_value(path):
    defaults = default_parameters(path)
    assert OTHER[path.name[:2]].keys() == defaults.keys() - {"profile"}
    assert plan(path, parameters=OTHER[path.name[:2]]).changed == OTHER[path.name[:2]]


def test_a_changed_output_is_noticed_where_it_is_compared(make_notebook, tmp_path):
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
        assert compare_outputs(path, tmp_path).returncode == code


def test_a_claim_that_does_not_hold_is_an_error_here(make_notebook, tmp_path):
    path = make_notebook("00_n", "from course_lib.measure import claim\nclaim('one is two', 1 == 2)")
    done = compare_outputs(path, tmp_path)
    assert done.returncode == 1
    assert "ClaimError" in done.stdout
