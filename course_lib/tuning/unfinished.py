"""What a long command keeps beside its file of results until that is written, so that it can be stopped and go on."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from course_lib.errors import CourseError
from course_lib.files import write_on_trial


@contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """The folder for checkpoints beside the file ``out``; it is removed when the ``with`` block ends without an error.

    Raises:
        CourseError: ``out`` cannot be written, raised before the block is entered; or another process is at work on it.
    """
    folder = out.with_name(f"{out.name}.unfinished")
    lock = FileLock(folder / ".lock", timeout=0)
    if out.is_dir():
        raise CourseError(f"out must be a file to write, got the folder {out}")
    try:
        write_on_trial(folder)
        lock.acquire()
    except Timeout as error:
        raise CourseError(
            f"another process is at work on {out}: wait for it, or name another file"
        ) from error
    except OSError as error:
        raise CourseError(f"out must be a file that can be written, got {out} ({error.strerror})") from error
    written = False
    try:
        yield folder
        written = True
    finally:
        lock.release()
        if written or not any(each.is_dir() for each in folder.iterdir()):
            shutil.rmtree(folder)
