"""Which folders are read and written: the data root, the copy that a person named, and the cache."""

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from course_lib.files import folder_around

VARIABLE = "COURSE_DATA"


@dataclass(frozen=True)
class Root:
    """Where data sets are looked for.

    Attributes:
        path: a folder, or one file of data.
        named_by: "root" or "COURSE_DATA" where a person named it, and empty for the course's own folder.
    """

    path: Path
    named_by: str = ""

    def __str__(self) -> str:
        return f"{self.named_by} ({self.path})" if self.named_by else str(self.path)


def data_root(root: str | Path | None = None) -> Root:
    """The argument if given, else what COURSE_DATA names, else the data folder of the course."""
    if root is not None:
        return Root(_absolute(root), "root")
    if os.environ.get(VARIABLE):
        return Root(_absolute(os.environ[VARIABLE]), VARIABLE)
    return Root(course_folder())


def cache_folder(root: Root) -> Path | None:
    """The first folder for decoded images that can be written to, None where there is none.

    Nothing is written beside a copy that COURSE_DATA names: it may be a USB stick or a shared disk.
    """
    for folder in _cache_folders(root):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            continue
    return None


def _cache_folders(root: Root) -> Iterator[Path]:
    if root.named_by == "root" and root.path.is_dir():
        yield root.path / "cache"
    yield course_folder() / "cache"
    yield _user_folder() / "cache"


def course_folder() -> Path:
    """``data/`` of the course's folder, around the present folder or the library, else one in the person's cache."""
    found = folder_around(
        lambda folder: (folder / "data" / "README.md").is_file() and (folder / "course_lib").is_dir()
    )
    return found / "data" if found else _user_folder()


def _user_folder() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "small-from-big"


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().resolve()
