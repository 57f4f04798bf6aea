"""Names, places and records: what the `course data` command shows, and where copies are looked for."""

import hashlib
import re
from pathlib import Path

import pytest
from sklearn.datasets import load_digits

from course_lib import files
from course_lib.data import available, cifar10, fetch, load, places, verify
from course_lib.errors import CourseError


@pytest.mark.parametrize("call", [load, fetch, verify])
@pytest.mark.parametrize(
    ("name", "guess"),
    [("cifar", "'cifar10'"), ("CIFAR10", "'cifar10'"), ("CIFAR-10", "'cifar10'"), ("digit", "'digits'")],
)
def test_a_wrong_name_is_answered_with_a_guess(call, name, guess):
    message = f"name must be one of 'digits', 'cifar10', got '{name}'; did you mean {guess}?"
    with pytest.raises(CourseError, match=f"^{re.escape(message)}$"):
        call(name)


@pytest.mark.parametrize("name", ["zebra", "", 3, None])
def test_a_hopeless_name_is_answered_without(name):
    with pytest.raises(CourseError, match=f"got {name!r}$"):
        load(name)


def test_digits_are_always_there():
    record = available()[0]
    assert (record.name, record.ready, record.fix, record.required) == ("digits", True, "", True)
    assert fetch("digits") == record
    assert "scikit-learn" in str(record)


def test_cifar10_is_optional_and_says_how_to_get_it(own_data):
    record = available()[1]
    assert (record.name, record.ready, record.required) == ("cifar10", False, False)
    assert str(own_data) in record.where
    assert "course data fetch cifar10" in record.fix
    assert not own_data.exists()


def test_a_copy_is_found_without_being_read(own_data):
    own_data.mkdir()
    (own_data / "cifar-10-python.tar.gz").write_text("not looked at")
    record = available()[1]
    assert record.ready
    assert record.where == str(own_data / "cifar-10-python.tar.gz")


def test_course_data_names_a_file_or_a_folder(make_tree, make_tar, monkeypatch):
    tree = make_tree()
    for root in (tree, make_tar(tree, "c.tar.xz"), make_tar(tree, "c.tar")):
        monkeypatch.setenv("COURSE_DATA", str(root))
        assert available()[1].where == str(root)
        assert len(load("cifar10").test) == 20


def test_a_copy_in_the_data_folder_is_used(make_tree, own_data):
    make_tree().rename(own_data.parent / "moved-cifar")
    own_data.mkdir()
    (own_data.parent / "moved-cifar").rename(own_data / "cifar10")
    assert len(load("cifar10").test) == 20


def test_the_argument_goes_before_the_variable(make_tree, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "nowhere"))
    assert len(load("cifar10", root=make_tree()).test) == 20
    with pytest.raises(CourseError, match=r"COURSE_DATA \(.*nowhere\) does not exist"):
        load("cifar10")


def test_a_named_place_without_a_copy_is_no_reason_to_download(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    for call in (load, fetch, verify):
        with pytest.raises(CourseError, match=r"COURSE_DATA \(.*\) holds no copy"):
            call("cifar10")
    record = available()[1]
    assert not record.ready
    assert "COURSE_DATA" in record.fix


def test_an_empty_variable_is_as_good_as_none(monkeypatch, own_data):
    monkeypatch.setenv("COURSE_DATA", "")
    assert places.data_root() == places.Root(own_data)


def test_fetch_decodes_a_copy_that_is_there(make_tree, own_data):
    tree = make_tree()
    record = fetch("cifar10", root=tree, progress=False)
    assert record.ready
    assert str(record) == f"cifar10 is ready: {tree}"
    assert len(list(tree.rglob("*.pt"))) == 1


def test_verify_tells_the_hash_of_labels_and_pixels(official, tiny):
    found = verify("cifar10", root=official)
    keys = [key for start in range(5) for key in [k for k in tiny if k[0] == "train"][start::5]]
    keys += [key for key in tiny if key[0] == "test"]
    names = sorted({name for _, name, _ in tiny})
    digest = hashlib.sha256(b"".join(names.index(key[1]).to_bytes(8, "little") for key in keys))
    digest.update(b"".join(tiny[key].transpose(2, 0, 1).tobytes() for key in keys))
    assert found.sha256 == digest.hexdigest()
    assert (found.title, found.examples, found.where) == ("CIFAR-10", 120, str(official))
    assert digest.hexdigest() in str(found)


def test_verify_reads_past_the_cache(make_tree, monkeypatch):
    tree = make_tree()
    load("cifar10", root=tree)
    monkeypatch.setattr(cifar10, "prepare", lambda *_, **__: pytest.fail("the cache was asked"))
    assert verify("cifar10", root=tree).examples == 120


def test_verify_counts_the_digits(monkeypatch):
    assert verify("digits").examples == 1797
    bunch = load_digits()
    bunch.images = bunch.images[1:]
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: bunch)
    with pytest.raises(CourseError, match="digits must be 1797 images, got 1796"):
        verify("digits")


class TestCourseFolder:
    """The real search for the course's folder, which the other tests replace."""

    @pytest.fixture(autouse=True)
    def _search(self, monkeypatch):
        monkeypatch.undo()

    def test_it_is_found_from_within_the_course(self, tmp_path, monkeypatch):
        inside = tmp_path / "notebooks"
        for folder in (inside, tmp_path / "data", tmp_path / "course_lib"):
            folder.mkdir()
        (tmp_path / "data" / "README.md").write_text("# Data")
        monkeypatch.delenv("COURSE_DATA", raising=False)
        monkeypatch.chdir(inside)
        assert places.data_root().path == tmp_path / "data"

    def test_it_is_found_from_anywhere_where_the_library_is_used_from_the_course(self, tmp_path, monkeypatch):
        monkeypatch.delenv("COURSE_DATA", raising=False)
        monkeypatch.chdir(tmp_path)
        assert places.data_root().path == Path(places.__file__).parents[2] / "data"

    def test_without_the_course_it_is_in_the_person_s_cache(self, tmp_path, monkeypatch):
        monkeypatch.delenv("COURSE_DATA", raising=False)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(files, "LIBRARY", tmp_path / "a" / "course_lib")
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert places.data_root().path == tmp_path / "cache" / "small-from-big"
