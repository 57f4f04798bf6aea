"""Downloads CIFAR-10's official archive with torchvision, whole and with the right checksum or not at all."""

import contextlib
import io
import socket
import tempfile
from pathlib import Path

from course_lib.errors import CourseError

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
            torchvision.datasets.utils.download_url(
                official.url, temporary, official.filename, official.tgz_md5
            )
            return (Path(temporary) / official.filename).replace(folder / official.filename)
    except (OSError, RuntimeError) as error:  # torchvision answers a wrong checksum with RuntimeError
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
