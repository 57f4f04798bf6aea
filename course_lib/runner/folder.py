"""The folder that a run writes to: for one run at a time, and known to be fit before anything runs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from course_lib.errors import CourseError
from course_lib.files import clear_unfinished, write_on_trial

NEEDED_SPACE = 100e6  # bytes; executed notebooks and website take half of it


@contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Keep a build folder for one run inside the ``with`` block; what a killed one left unfinished there is removed.

    Raises:
        CourseError: the folder cannot be written to, the disk is full, or another run is at work there.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    check_writable(folder)
    try:
        lock.acquire()
    except Timeout as error:
        raise CourseError(
            f"another run is at work in {folder}: wait for it, or name another folder with --output"
        ) from error
    try:
        for place in (folder, folder / "notebooks"):
            clear_unfinished(place)
        for unfinished in (folder / "notebooks").glob(".*.ipynb"):
            unfinished.unlink()
        yield
    finally:
        lock.release()


def check_writable(folder: Path) -> None:
    """Make the folder where there is none, and write to it on trial.

    Raises:
        CourseError: that fails, or there is too little space.
    """
    try:
        write_on_trial(folder)
        free = shutil.disk_usage(folder).free
        if free < NEEDED_SPACE:
            raise CourseError(
                f"the disk of {folder} has {free / 1e6:.0f} MB left, and a run needs {NEEDED_SPACE / 1e6:.0f} MB: "
                "make room, or name a folder on another disk with --output"
            )
    except OSError as error:
        raise CourseError(
            f"cannot write to {folder}: {error.strerror or error}; name another folder with --output"
        ) from error
