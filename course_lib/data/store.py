"""The decoded images in one file: written whole or not at all, and read only for the source they came from."""

import hashlib
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from course_lib.files import save_atomically
from course_lib.saved import load_plain

_VERSION = 2  # of what is decoded and how; an older file is made again


@dataclass(frozen=True, eq=False)
class Decoded:
    """All images of a data set, train before test.

    Attributes:
        title: what to call this copy in a text.
        images: (N, C, H, W) uint8.
        labels: (N,) int64.
    """

    title: str
    images: Tensor
    labels: Tensor

    def sha256(self) -> str:
        """Hash of labels and pixels: equal copies of a data set have equal ones, on any machine."""
        digest = hashlib.sha256(self.labels.numpy().data)
        digest.update(self.images.numpy().data)
        return digest.hexdigest()


def cache_path(folder: Path, source: Path) -> Path:
    """One file per source path: a source that changes replaces its own file, so that they do not pile up."""
    mark = hashlib.sha256(os.fsencode(source)).hexdigest()[:16]
    return folder / f"cifar10-{mark}.pt"


def source_key(source: Path, files: Iterable[Path]) -> str:
    """Changes whenever one of the source's files is replaced, rewritten, added or removed."""
    digest = hashlib.sha256(f"{_VERSION} {source}".encode())
    for path in files:
        stat = path.stat()
        # The time of the inode's last change cannot be set back, as that of the content can by a copying program.
        entry = f"\n{path} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
        digest.update(entry.encode(errors="surrogateescape"))
    return digest.hexdigest()


def write(path: Path, decoded: Decoded, key: str) -> None:
    """Keep the images in ``path``, to be read with this key only."""
    save_atomically(path, vars(decoded) | {"key": key, "checksum": _checksum(decoded)})


def read(path: Path, key: str, shape: tuple[int, ...]) -> Decoded | None:
    """The stored images, mapped into memory; None where there are none, or others, or damaged ones.

    Args:
        path: as ``cache_path`` gives it.
        key: as ``source_key`` gives it now.
        shape: (N, C, H, W) that the images must have.
    """
    try:
        content = load_plain(path, mmap=True)
        checksum, stored_key = content.pop("checksum"), content.pop("key")
        decoded = Decoded(**content)
        whole = (
            stored_key == key
            and decoded.images.shape == shape
            and decoded.labels.shape == shape[:1]
            and decoded.images.dtype == torch.uint8
            and checksum == _checksum(decoded)
        )
    except Exception:  # whatever is wrong with the file: it can be made again from the source
        return None
    return decoded if whole else None


def _checksum(decoded: Decoded) -> int:
    of_labels = zlib.crc32(decoded.labels.numpy().data, zlib.crc32(decoded.title.encode()))
    return zlib.crc32(decoded.images.numpy().data, of_labels)
