"""The two runs of every notebook, in processes of their own, which no other test's environment or folder reaches."""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from course_lib.runner import list_notebooks, plan
from course_lib.runner.execute import Result, run_notebook

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
    "05": {"seed": 1, "beta": 0.5, "matrix_temperature": 2.0},
    "06": {"seed": 1, "labels": 100},
    "07": {"seed": 1, "temperature": 2.0, "lam": 0.5, "sharpness": 20.0, "rank": 4},
    "08": {"seed": 1, "temperature": 2.0, "lam": 0.5, "smoothing": 0.2, "tolerance": 0.1},
    "09": {
        **{"seed": 1, "temperature": 2.0, "seeds": 2},
        **{"batch_size": 64, "epochs": 10, "checkpoint_every": 5, "validation": 0.2},
    },
    "10": {"seed": 1, "labels": 200},
}


def compare_outputs(path: Path, folder: Path) -> subprocess.CompletedProcess:
    """nbval on the cells tagged nbval-check-output; a claim that does not hold is an error."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q", "--color=no"]
    command += ["-c", os.devnull, "--rootdir", str(path.parent), "-p", "no:cacheprovider", str(path)]
    environment = os.environ | {
        "COURSE_CLAIMS": "strict",
        "COURSE_PROGRESS": "0",
        "OMP_NUM_THREADS": str(THREADS),
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def use_other_parameters(path: Path, folder: Path) -> Result:
    return run_notebook(plan(path, parameters=OTHER[path.name[:2]]), folder / path.name, threads=THREADS)


WORK = {"test_outputs_are_as_committed": compare_outputs, "test_other_parameters": use_other_parameters}


def begin(chosen: list[tuple[str, Path]]) -> tuple[ProcessPoolExecutor, dict[tuple[str, Path], Future]]:
    """Start what the chosen tests, (name, notebook) each, wait for."""
    folder = Path(tempfile.mkdtemp(prefix="notebooks-"))
    pool = ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn"))
    return pool, {(name, path): pool.submit(WORK[name], path, folder) for name, path in chosen}
