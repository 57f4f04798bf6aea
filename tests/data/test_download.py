"""torchvision's own download, from a server on this machine that has a tiny official archive."""

import functools
import hashlib
import http.server
import socket
import threading

import pytest

from course_lib._torchvision import torchvision
from course_lib.data import cifar10, fetch, load, verify
from course_lib.errors import CourseError


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.server.requests.append(self.path)
        super().do_GET()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """A client that hangs up first, as urllib may, is no business of the test's standard error."""


@pytest.fixture
def server(tmp_path):
    """A web server for the folder tmp_path/web; .requests lists what was asked for."""
    (tmp_path / "web").mkdir()
    handler = functools.partial(_Handler, directory=tmp_path / "web")
    with _Server(("127.0.0.1", 0), handler) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def archive(server, official, make_tar, monkeypatch):
    """The archive on the server, expected there with its checksum."""
    path = make_tar(official.parent, f"web/{cifar10.ARCHIVE}")
    url = f"http://127.0.0.1:{server.server_port}/{cifar10.ARCHIVE}"
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", url)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr("course_lib.data.download.SHA256", digest)
    return path


def files(folder):
    return sorted(path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file())


def test_load_downloads_once(archive, server, own_data, capfd):
    assert load("cifar10").title == "CIFAR-10"
    asked = len(server.requests)
    assert asked
    assert files(own_data) == ["cache", cifar10.ARCHIVE]
    assert (own_data / cifar10.ARCHIVE).read_bytes() == archive.read_bytes()
    load("cifar10")
    fetch("cifar10")
    verify("cifar10")
    assert len(server.requests) == asked


@pytest.mark.parametrize("progress", [True, False])
def test_fetch_shows_a_bar_only_if_asked(archive, own_data, capfd, progress):
    record = fetch("cifar10", progress=progress)
    assert record.ready
    assert record.where == str(own_data / cifar10.ARCHIVE)
    assert bool(capfd.readouterr().err) == progress


def refuses(message):
    for call in (load, fetch):
        with pytest.raises(CourseError, match=message) as caught:
            call("cifar10")
        assert "\n" not in str(caught.value)


def test_a_wrong_checksum_leaves_nothing(archive, own_data, monkeypatch):
    archive.write_bytes(archive.read_bytes() + b"more")
    refuses(
        "could not be downloaded from http://127.0.0.1.*the download has the SHA-256.*name one with COURSE_DATA"
    )
    assert list(own_data.iterdir()) == []


def test_a_file_that_is_not_on_the_server_leaves_nothing(archive, own_data):
    archive.unlink()
    refuses("could not be downloaded .*404")
    assert list(own_data.iterdir()) == []


def test_without_a_connection_it_says_what_else_can_be_done(archive, own_data, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/{cifar10.ARCHIVE}"
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", url)
        refuses("could not be downloaded .*try again, or put a copy there, or name one with COURSE_DATA")
    assert list(own_data.iterdir()) == []
    assert socket.getdefaulttimeout() is None


def test_a_folder_that_cannot_be_made_is_said(archive, own_data):
    own_data.write_text("a file where the folder should be")
    refuses("could not be downloaded|is not an archive")


def test_verify_downloads_nothing(archive, server, own_data):
    with pytest.raises(CourseError, match="does not exist"):
        verify("cifar10")
    assert server.requests == []
