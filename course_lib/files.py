"""Files: where the course's folder is, writing so that a file is whole or not there, and recognising content."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from course_lib.errors import CourseError

if TYPE_CHECKING:
    import torch  # only where it is needed: what runs notebooks does without it

LIBRARY = Path(__file__).resolve().parent
PART = ".part-"  # how the names of files begin that are being written


def folder_around(is_wanted: Callable[[Path], object], start: Path | None = None) -> Path | None:
    """The first folder that is wanted, from ``start`` or the present one upwards, or else the library's own."""
    start = (start or Path.cwd()).resolve()
    return next((folder for folder in (start, *start.parents, LIBRARY.parent) if is_wanted(folder)), None)


def save_atomically(path: Path, content: object) -> None:
    """``torch.save`` beside the place and then rename: a reader sees the whole file or none.

    Raises:
        CourseError: the file cannot be written; an earlier file in its place is still there.
    """
    import torch

    write_atomically(path, lambda file: torch.save(content, file))


def write_json(path: Path, content: Any) -> None:
    """Readable JSON in UTF-8, whole or not at all; errors as in ``write_atomically``."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Text in UTF-8, whole or not at all; errors as in ``write_atomically``."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file beside the place, then rename it: a reader sees the whole file or none.

    Raises:
        CourseError: the file cannot be written; an earlier file in its place is still there.
    """
    try:
        _write(path, write)
    except Exception as error:
        # torch.save answers a full disk with a RuntimeError about something else.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise CourseError(f"cannot write {path}: {cause.strerror or cause}") from error


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=PART)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name with nothing behind it
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)  # mkstemp's files are for their owner only
        Path(temporary).replace(path)
        _sync_names(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _sync_names(folder: Path) -> None:
    """Keep a power cut from undoing the renaming; Windows has no such call."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_on_trial(folder: Path) -> None:
    """Make the folder where there is none, and write a megabyte to it: nothing else shows that a quota is used up.

    Raises:
        OSError: that fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as trial:
        trial.write(os.urandom(1_000_000))  # some disks would not store zeros
        trial.flush()


def clear_unfinished(folder: Path) -> None:
    """Remove what processes that were killed while they wrote have left in a folder; nobody may be writing there."""
    for part in folder.glob(f"{PART}*"):
        if part.is_file():
            part.unlink(missing_ok=True)


def content_hash(*tensors: "torch.Tensor") -> str:
    """A hash of the content of tensors, without their shapes: 64 hexadecimal digits."""
    import torch

    whole = hashlib.sha256()
    for tensor in tensors:
        whole.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return whole.hexdigest()
