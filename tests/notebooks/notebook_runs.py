"""The two runs of every notebook: as committed, and in the profile smoke with other parameters."""

import os
import subprocess
import sys
from pathlib import Path

from course_lib.runner import list_notebooks, plan
from course_lib.runner.execute import Result, run_notebook

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = list_notebooks(ROOT / "notebooks")

# Another small value for each parameter of each notebook.
OTHER = {
    "00": {"seed": 1, "labels": 200},
    "01": {"seed": 1, "steps": 60, "patience_ms": 1.0},
    "02": {"seed": 1, "temperature": 8.0, "lam": 0.5},
    "03": {"seed": 1, "temperature": 2.0, "sharpness": 20.0},
    "04": {"seed": 1, "labels": 200, "matrix_temperature": 2.0},
    "05": {"seed": 1, "beta": 0.5, "matrix_temperature": 2.0},
    "06": {"seed": 1, "labels": 100},
    "07": {
        **{"seed": 1, "temperature": 2.0, "lam": 0.5, "sharpness": 20.0},
        **{"layer_weight": 0.3, "gamma": 0.01, "rank": 4},
    },
    "08": {"seed": 1, "temperature": 2.0, "lam": 0.5, "margin": 0.5, "tolerance": 0.1},
    "09": {
        **{"seed": 1, "temperature": 2.0, "seeds": 2},
        **{"batch_size": 64, "epochs": 3, "checkpoint_every": 1, "validation": 0.2},
    },
    "10": {"seed": 1, "labels": 200},
    "15": {"seed": 1, "temperature": 4.0, "threshold": 0.3, "tolerance": 6.0},
}


def compare_outputs(path: Path) -> subprocess.CompletedProcess:
    """nbval on the cells tagged nbval-check-output; a claim that does not hold is an error."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-q", "--color=no"]
    command += [
        "-c",
        os.devnull,
        "--rootdir",
        str(path.parent),
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        str(path),
    ]
    environment = os.environ | {"COURSE_CLAIMS": "strict", "COURSE_PROGRESS": "0", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def use_other_parameters(path: Path, folder: Path) -> Result:
    """The notebook in its smallest sizes, with another value of every parameter, into ``folder``."""
    return run_notebook(plan(path, "smoke", OTHER[path.name[:2]]), folder / path.name, threads=1)
