"""Downloads CIFAR-10's official archive with torchvision, whole and with the right checksum or not at all."""

import contextlib
import hashlib
import io
import socket
import tempfile
from pathlib import Path

from course_lib.errors import CourseError

SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"  # of the archive; torchvision has an MD5
_PATIENCE = 30  # seconds without an answer: a firewall that swallows requests would be waited for without end


def download(folder: Path, *, progress: bool = True) -> Path:
    """Download the archive, about 170 MB, into ``folder``, which is made if needed.

    Raises:
        CourseError: there is no connection, the folder cannot be written, or the download has the wrong checksum.
    """
    from course_lib._torchvision import torchvision  # a slow import

    official = torchvision.datasets.CIFAR10
    quiet = contextlib.nullcontext() if progress else contextlib.redirect_stderr(io.StringIO())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as temporary, _patience(), quiet:
            torchvision.datasets.utils.download_url(official.url, temporary, official.filename)
            archive = Path(temporary) / official.filename
            with archive.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != SHA256:
                raise OSError(f"the download has the SHA-256 {found}, not {SHA256}")
            return archive.replace(folder / official.filename)
    except (OSError, RuntimeError) as error:  # of torchvision, where an answer is cut short
        raise CourseError(
            f"CIFAR-10 could not be downloaded from {official.url} into {folder} ({error}): "
            "try again, or put a copy there, or name one with COURSE_DATA"
        ) from error


@contextlib.contextmanager
def _patience():
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
