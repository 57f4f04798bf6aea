"""Tiny copies of CIFAR-10 in every form, with the counts that the course expects made equally tiny."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from course_lib.data import cifar10, places

PER_CLASS = {"train": 10, "test": 2}


@pytest.fixture(autouse=True)
def _no_real_folder(tmp_path, monkeypatch):
    """No test sees or writes the data or cache of the machine it runs on."""
    monkeypatch.delenv("COURSE_DATA", raising=False)
    home = tmp_path / "own"
    monkeypatch.setattr(places, "course_folder", lambda: home / "data")
    monkeypatch.setattr(places, "_user_folder", lambda: home / "user")
    home.mkdir()
    return home


@pytest.fixture
def own_data(_no_real_folder):
    """The course's own data folder, not there yet."""
    return _no_real_folder / "data"


@pytest.fixture
def tiny(monkeypatch):
    """CIFAR-10 has few images here; gives a random image per (part, class, number), uint8 (32, 32, 3)."""
    for part, count in PER_CLASS.items():
        monkeypatch.setitem(cifar10.PER_CLASS, part, count)
    random = np.random.default_rng(0)
    return {
        (part, name, number): random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        for part, count in PER_CLASS.items()
        for name in cifar10.CLASSES
        for number in range(count)
    }


@pytest.fixture
def make_tree(tiny, tmp_path):
    """make_tree("name", "png"): an ImageFolder tree of the tiny images."""

    def make(name="my-cifar", suffix="png"):
        folder = tmp_path / name
        for (part, class_name, number), pixels in tiny.items():
            path = folder / part / class_name / f"{number:04}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
        return folder

    return make


@pytest.fixture
def make_tar(tmp_path):
    """make_tar(folder, "name.tar.xz", extra members…): an archive of what the folder holds, in an odd order."""

    def make(folder, name, *extra, prefix=""):
        path = tmp_path / name
        mode = {".tar": "w", ".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz"}[path.suffix]
        with tarfile.open(path, mode) as tar:
            for file in sorted(folder.rglob("*"), reverse=True):
                tar.add(file, f"{prefix}{file.relative_to(folder).as_posix()}", recursive=False)
            for member in extra:
                tar.addfile(member, io.BytesIO(bytes(member.size)))
        return path

    return make


@pytest.fixture
def official(tiny, tmp_path, monkeypatch):
    """The folder of the official files made of the tiny images, and their checksums in place of the real ones."""
    folder = tmp_path / "official" / cifar10.FOLDER
    folder.mkdir(parents=True)
    train = [(cifar10.CLASSES.index(name), x) for (part, name, _), x in tiny.items() if part == "train"]
    test = [(cifar10.CLASSES.index(name), x) for (part, name, _), x in tiny.items() if part == "test"]
    batches = {f"data_batch_{number + 1}": train[number::5] for number in range(5)} | {"test_batch": test}
    for name, rows in batches.items():
        data = np.stack([pixels.transpose(2, 0, 1).reshape(-1) for _, pixels in rows])
        content = pickle.dumps({"data": data, "labels": [label for label, _ in rows]}, protocol=2)
        (folder / name).write_bytes(content)
        monkeypatch.setitem(cifar10.OFFICIAL, name, hashlib.sha256(content).hexdigest())
    return folder
