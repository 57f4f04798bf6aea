"""Reads files out of a tar archive straight into memory, and refuses archives that are damaged or not to be trusted."""

import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from course_lib.errors import CourseError
from course_lib.progress import progress_bar

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz")
_FORMATS = ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ\x00", lzma.open))
_MOST = 2**26  # bytes that are read at once, of a header or a file
_DAMAGE = (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError)


def read_archive(
    path: Path, size_limit: Callable[[PurePosixPath], int], total_limit: int, *, progress: bool = True
) -> dict[PurePosixPath, bytes]:
    """The contents of the files that are wanted, by their name in the archive. Nothing is unpacked to the disk.

    Args:
        path: a tar archive, plain or compressed.
        size_limit: most bytes that a file of this name may have; 0 for a file that is not wanted.
        total_limit: most bytes that all wanted files may have, as they are all held in memory.
        progress: show a bar.

    Raises:
        CourseError: the archive is truncated or damaged, the files are too large, or a member leaves the
            archive's folder or is a link.
    """
    found = {}
    try:
        size = path.stat().st_size // 1024
        with (
            path.open("rb") as raw,
            _open(raw) as tar,
            progress_bar(f"Reading {path.name} (KiB)", size, progress) as advance,
        ):
            seen = total = 0
            while (member := tar.next()) is not None:
                # Otherwise the headers of all members stay in memory.
                tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue]  # the stubs leave it out
                name = _checked_name(member, path)
                limit = size_limit(name) if member.isfile() else 0
                if limit:
                    total += member.size
                    _check_size(member, limit, total, total_limit, path)
                    content = tar.extractfile(member)
                    assert content is not None  # only a file has a limit
                    found[name] = content.read()
                position = raw.tell() // 1024
                advance(position - seen)
                seen = position
            _check_end(tar)
    except _DAMAGE as error:
        reason = (
            (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        )  # tarfile lists all it tried
        raise CourseError(
            f"{path} cannot be read as an archive; it is truncated or damaged ({reason}): "
            "copy or download it again"
        ) from error
    return found


def _open(raw: BinaryIO) -> tarfile.TarFile:
    """The archive, whatever it is compressed with."""
    begin = raw.read(6)
    raw.seek(0)
    unpack = next((unpack for magic, unpack in _FORMATS if begin.startswith(magic)), None)
    plain = raw if unpack is None else cast(BinaryIO, unpack(raw))
    return tarfile.open(fileobj=_InPieces(plain), mode="r:")


class _InPieces(io.RawIOBase):
    """A file that is not read in larger pieces than an image file needs.

    tarfile reads a long name, or another header, of whatever size it claims, and a few compressed bytes can be many.
    """

    def __init__(self, file: BinaryIO):
        super().__init__()
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _MOST:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _check_end(tar: tarfile.TarFile) -> None:
    """tarfile takes a damaged header, or the end of the file, for the end of the archive: that is a block of zeros."""
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it does not end as an archive does")
    while tar.fileobj.read(2**20):  # to the end of the compressed stream, where its checksum stands
        pass


def _checked_name(member: tarfile.TarInfo, path: Path) -> PurePosixPath:
    name = PurePosixPath(member.name.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise CourseError(f"{path} is refused: its member {member.name!r} leaves the folder of the archive")
    if not (member.isfile() or member.isdir()):
        raise CourseError(f"{path} is refused: its member {member.name!r} is a link or device, not a file")
    return name


def _check_size(member: tarfile.TarInfo, limit: int, total: int, total_limit: int, path: Path) -> None:
    if member.size > limit:
        raise CourseError(
            f"{path} holds {member.name!r} of {member.size} bytes; at most {limit} were expected"
        )
    if total > total_limit:
        raise CourseError(f"{path} holds more than {total_limit} bytes of images: it is another data set")
