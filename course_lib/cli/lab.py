"""`course lab`: JupyterLab with the course's notebooks, after a check of what they need."""

import os
import sys
from typing import Annotated

import typer

from course_lib.errors import CourseError

START = "00"


def lab(
    context: typer.Context,
    notebook: Annotated[
        str, typer.Argument(help='The notebook to open, by number ("02"), name or path.')
    ] = START,
) -> None:
    """Open JupyterLab in the notebooks folder; options of JupyterLab, such as --no-browser, are passed on."""
    from course_lib import runner
    from course_lib.cli import asked
    from course_lib.cli.environment import lab_checks

    for item in lab_checks():
        if not item.ok:
            raise CourseError(f"JupyterLab cannot run the notebooks: {item.name}: {item.found}. {item.fix}")
    from course_lib.runner.kernel import SPIN_COUNT  # needs the packages just checked

    # What looks like an option came without a notebook.
    options = [notebook, *context.args] if notebook.startswith("-") else context.args
    wanted = START if notebook.startswith("-") else notebook
    folder = runner.course_root() / "notebooks"
    with asked():
        (path,) = runner.select(folder, [wanted])
    os.chdir(folder)
    environment = os.environ | {
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel of this environment, not one in the user's home folder
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", SPIN_COUNT),
    }
    sys.stdout.flush()
    # Not as a file to open: that is lost with --no-browser, and where the address is typed in.
    start = f"--LabApp.default_url=/lab/tree/{path.name}"
    os.execve(sys.executable, [sys.executable, "-m", "jupyterlab", start, *options], environment)
