"""The cache of decoded images is used for the very copy it came from, is never half-written, and repairs itself."""

import os
import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib.data import cifar10, fetch, load, places, store
from course_lib.errors import CourseError


@pytest.fixture
def decoded(monkeypatch):
    """Lists the copies that were decoded, that is, not found in the cache."""
    copies, read = [], cifar10.read
    monkeypatch.setattr(
        cifar10, "read", lambda source, **rest: copies.append(source.name) or read(source, **rest)
    )
    return copies


def caches(folder):
    return sorted(
        path.name for path in folder.rglob("*") if path.suffix == ".pt" or path.name.startswith(".part-")
    )


def pixels(dataset):
    return torch.cat([dataset.train.images, dataset.validation.images, dataset.test.images])


def test_a_copy_is_decoded_once(make_tree, decoded):
    tree = make_tree()
    first, second = load("cifar10", root=tree), load("cifar10", root=tree)
    assert decoded == [tree.name]
    assert torch.equal(pixels(first), pixels(second))
    assert second.title == first.title


def test_the_images_do_not_depend_on_the_cache_file_any_more(make_tree, tmp_path):
    tree = make_tree()
    load("cifar10", root=tree)
    dataset = load("cifar10", root=tree)
    before = pixels(dataset).clone()
    for path in tmp_path.rglob("*.pt"):
        path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(pixels(dataset), before)


def test_another_copy_has_its_own_cache(make_tree, make_tar, official, decoded):
    tree = make_tree()
    roots = [tree, make_tar(tree, "c.tar.xz"), official]
    titles = [load("cifar10", root=root).title for root in roots + roots]
    assert titles == ["CIFAR-10 (PNG copy)", "CIFAR-10 (PNG copy)", "CIFAR-10"] * 2
    assert len(decoded) == 3


def test_an_archive_replaced_by_one_of_equal_size_and_time_is_decoded_anew(make_tree, make_tar, decoded):
    tree = make_tree()
    path = make_tar(tree, "c.tar")
    before, stat = pixels(load("cifar10", root=path)), path.stat()
    shutil.rmtree(tree / "train" / "cat")
    shutil.copytree(tree / "train" / "dog", tree / "train" / "cat")
    content = make_tar(tree, "d.tar").read_bytes()[: stat.st_size].ljust(stat.st_size, b"\0")
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert not torch.equal(pixels(load("cifar10", root=path)), before)
    assert decoded == ["c.tar", "c.tar"]


def test_a_changed_image_in_a_tree_is_seen(make_tree, tmp_path, decoded):
    tree = make_tree()
    load("cifar10", root=tree)
    Image.fromarray(np.full((32, 32, 3), 9, np.uint8)).save(tree / "test" / "airplane" / "0000.png")
    assert (load("cifar10", root=tree).test.images[0] == 9).all()
    assert len(caches(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "pixel", "pickle", "shape", "title"])
def test_a_damaged_cache_is_made_anew(make_tree, tmp_path, decoded, damage):
    tree = make_tree()
    before = pixels(load("cifar10", root=tree))
    (path,) = tmp_path.rglob("*.pt")
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pixel":
        changed = bytearray(content)
        changed[len(content) // 2] ^= 1
        path.write_bytes(changed)
    elif damage == "pickle":
        torch.save({"images": places.Root(tree)}, path)
    elif damage == "title":
        torch.save(torch.load(path, weights_only=True) | {"title": "another copy"}, path)
    else:
        stored = torch.load(path, weights_only=True)
        torch.save(stored | {"images": stored["images"].view(-1, 3, 16, 64)}, path)
    assert torch.equal(pixels(load("cifar10", root=tree)), before)
    assert decoded == [tree.name] * 2
    load("cifar10", root=tree)
    assert len(decoded) == 2


def test_a_cache_is_whole_or_not_there(make_tree, tmp_path, monkeypatch):
    def stop(content, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch("cifar10", root=make_tree())
    assert caches(tmp_path) == []


def test_a_full_disk_costs_the_cache_and_not_the_images(make_tree, tmp_path, monkeypatch):
    def full(content, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(UserWarning, match=r"decoded again each time: cannot write .*No space left"):
        assert len(load("cifar10", root=make_tree()).test) == 20
    assert caches(tmp_path) == []


def test_where_the_cache_lies(make_tree, own_data, tmp_path, monkeypatch):
    make_tree()
    load("cifar10", root=tmp_path)
    assert len(caches(tmp_path / "cache")) == 1
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    load("cifar10")
    assert len(caches(own_data / "cache")) == 1
    assert len(caches(tmp_path / "cache")) == 1


def block(folder):
    """Make a folder impossible; permissions would not stop an administrator."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")


def test_nothing_is_written_into_a_named_copy(make_tree, tmp_path, monkeypatch):
    tree = make_tree()
    before = sorted(tree.rglob("*"))
    monkeypatch.setenv("COURSE_DATA", str(tree))
    load("cifar10")
    assert sorted(tree.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_passed_over(make_tree, own_data):
    tree = make_tree()
    block(own_data / "cache")
    block(tree.parent / "cache")
    load("cifar10", root=tree.parent)
    assert len(caches(own_data.parent / "user")) == 1


def test_without_any_folder_to_write_it_still_loads(make_tree, own_data, tmp_path, decoded):
    tree = make_tree()
    for folder in (tree / "cache", own_data / "cache", own_data.parent / "user"):
        block(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load("cifar10", root=tree)
        load("cifar10", root=tree)
    assert decoded == [tree.name] * 2


def test_a_bad_copy_leaves_the_cache_of_the_good_one(make_tree, make_tar, decoded):
    tree = make_tree()
    path = make_tar(tree, "c.tar.gz")
    good = path.read_bytes()
    before = pixels(load("cifar10", root=path))
    path.write_bytes(good[:-1000])
    with pytest.raises(CourseError, match="damaged"):
        load("cifar10", root=path)
    path.write_bytes(good)
    assert torch.equal(pixels(load("cifar10", root=path)), before)


def test_the_key_names_the_version_of_the_decoding(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("a")
    before = store.source_key(path, [path])
    assert store.source_key(path, [path]) == before
    monkeypatch.setattr(store, "_VERSION", -1)
    assert store.source_key(path, [path]) != before
