"""Checkpoints with a checksum that fits and a content that does not: one sentence each, and no memory for claims."""

import io
import math
import os

import pytest
import torch

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.models import mlp
from course_lib.training import Checkpoints, Recipe, fit, hard_labels, load_weights
from course_lib.training import checkpoint as module

resource = pytest.importorskip("resource")

RECIPE = Recipe(steps=4, batch_size=8, lr=0.1, optimizer="momentum")


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.take(torch.arange(16))


def plain(train, places=None):

    return fit(lambda: mlp((1, 8, 8), (4,), 10), hard_labels(), train, RECIPE, checkpoints=places)


@pytest.fixture
def finished(train, tmp_path):
    places = Checkpoints(tmp_path / "kept", every=2)
    plain(train, places)
    return places


def reseal(path, change):
    """Change the content and put a checksum on it that fits."""
    content = torch.load(io.BytesIO(module._payload(path)), weights_only=True)
    change(content)
    with path.open("wb") as file:
        module._write(file, content)


def change_weight(content, value):
    content["parts"]["weights"]["linear1.weight"] = value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(identity=[]), "not hold what|AttributeError"),
        (lambda content: content.update(identity={"recipe": 3}), "not hold what a checkpoint does: identity"),
        (
            lambda content: content.update(teacher={"logits": "good"}),
            "not hold what a checkpoint does: teacher",
        ),
        (lambda content: content.update(done="4"), "not hold what a checkpoint does: done"),
        (lambda content: content.update(done=-4), "not hold what a checkpoint does: done"),
        (lambda content: content.update(done=3), "not hold what a checkpoint does: record"),
        (lambda content: content.update(seconds=math.nan), "not hold what a checkpoint does: seconds"),
        (lambda content: content.update(seconds="soon"), "not hold what a checkpoint does: seconds"),
        (lambda content: content.update(record=torch.zeros(4)), "not hold what a checkpoint does: record"),
        (lambda content: content.update(parts={}), "KeyError: 'weights'"),
        (lambda content: content.update(random=[None]), "TypeError"),
        (lambda content: content["parts"].pop("optimizer"), "KeyError: 'optimizer'"),
        (lambda content: content["parts"].update(optimizer={}), "KeyError"),
        (lambda content: content["random"][0].update(cpu=torch.zeros(3)), "TypeError|RuntimeError"),
        (lambda content: content.update(random=[]), "IndexError"),
        (
            lambda content: change_weight(content, torch.zeros(1, 64)),
            r"linear1.weight must have shape \(4, 64\), got \(1, 64\)",
        ),
        (lambda content: change_weight(content, None), "AttributeError"),
        (lambda content: content["parts"]["weights"].pop("linear1.weight"), "KeyError: 'linear1.weight'"),
    ],
)
def test_nonsense_under_a_checksum_that_fits_is_one_sentence(change, words, finished, train):
    path = finished.files()[0]
    reseal(path, change)
    with pytest.raises(CourseError, match=f"{path.name} holds no training that can go on .*({words})"):
        plain(train, finished)


def test_what_is_whole_goes_on_after_such_a_change(finished, train):
    """The change alone is not what is refused."""
    reseal(finished.files()[0], lambda content: None)
    expected, found = plain(train).model.state_dict(), plain(train, finished).model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.parametrize("magic", [b"", module._MAGIC, module._MAGIC + b"0" * 64])
def test_a_file_of_holes_takes_no_memory(magic, tmp_path, monkeypatch):
    """Ten gigabytes that are not there: what does not begin as a checkpoint is not read, the rest not kept."""
    path = tmp_path / "step-0000000001.ckpt"
    path.write_bytes(magic)
    os.truncate(path, 2**26 if magic else 10**10)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CourseError, match=r"is damaged or was changed|is not a checkpoint"):
        load_weights(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
