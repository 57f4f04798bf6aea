"""Examples that are read when a batch needs them are those that are read once into memory."""

import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data import Dataset as Source

from course_lib.data import Examples, from_dataset, noisy_copies, streamed
from course_lib.errors import CourseError
from course_lib.training import fingerprints

NUMBERS = torch.Generator().manual_seed(0)
PIXELS = torch.randint(256, (150, 3, 8, 8), dtype=torch.uint8, generator=NUMBERS)
FEATURES = torch.randn(150, 5, generator=NUMBERS)
LABELS = torch.arange(150) % 3
ROWS = [torch.tensor([149, 0, 7]), torch.tensor([[3, 3], [70, 140]]), torch.arange(60, 130)]


class Pictures(Source):
    """Pictures of PIL with plain integers."""

    def __len__(self):
        return len(PIXELS)

    def __getitem__(self, place):
        return Image.fromarray(PIXELS[place].permute(1, 2, 0).numpy()), int(LABELS[place])


class Spoilt(Source):
    """Numbers, but for the one at 70."""

    def __init__(self, spoilt):
        self.spoilt = spoilt

    def __len__(self):
        return 100

    def __getitem__(self, place):
        return self.spoilt() if place == 70 else (torch.zeros(4), 0)


def end_the_process():
    os._exit(1)


def raise_key_error():
    raise KeyError("no such picture")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("source", [Pictures(), TensorDataset(FEATURES, LABELS)])
def test_what_is_streamed_is_what_is_in_memory(source, workers):
    here, there = from_dataset(source), streamed(source, workers=workers)
    assert len(there) == 150
    assert torch.equal(there.labels, here.labels)
    assert torch.equal(there.index, here.index)
    assert torch.equal(fingerprints(there), fingerprints(here))
    assert there.images.dtype == here.images.dtype
    for own, other in zip(there.scale, here.scale, strict=True):
        assert torch.equal(own, other)
    for rows, inputs in zip(ROWS, there.batches(ROWS), strict=True):
        assert torch.equal(inputs, here.batch(rows))
        assert torch.equal(there.batch(rows), inputs)
    assert torch.equal(there.spread(40), here.spread(40))


def test_parts_of_it_are_streamed_too():
    here, there = from_dataset(Pictures()), streamed(Pictures(), workers=0)
    few, several = (each.subset(30, seed=1).take([20, 4, 11]) for each in (here, there))
    assert torch.equal(several.batch([1, 0]), few.batch([1, 0]))
    assert torch.equal(several.labels, few.labels)
    assert torch.equal(several.index, few.index)
    assert torch.equal(fingerprints(several), fingerprints(few))
    assert repr(several) == "Streamed(3 of (3, 8, 8), cpu)"
    assert several.to("cpu") is several
    assert there.batch([]).shape == (0, 3, 8, 8)


def test_other_sets_may_be_put_on_the_scale_of_the_training_images():
    first = streamed(Pictures(), workers=0)
    other = streamed(TensorDataset(PIXELS[:10] // 2, LABELS[:10]), workers=0, mean=first.mean, std=first.std)
    expected = Examples(PIXELS[:10] // 2, LABELS[:10], mean=first.mean, std=first.std)
    assert torch.equal(other.batch(range(10)), expected.inputs)


def test_reading_ahead_leaves_the_global_random_state_alone():
    there = streamed(Pictures(), workers=0)
    before = torch.get_rng_state()
    list(there.batches(ROWS))
    assert torch.equal(torch.get_rng_state(), before)


def test_workers_read_no_further_ahead_than_they_are_asked_to():
    there, asked = streamed(TensorDataset(FEATURES, LABELS), workers=1, prefetch=3), []

    def rows():
        for place in range(20):
            asked.append(place)
            yield torch.tensor([place])

    batches = there.batches(rows())
    next(batches)
    assert len(asked) == 4
    batches.close()


def test_arrays_in_a_file_are_examples_too(tmp_path):
    np.save(tmp_path / "features.npy", FEATURES.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "features.npy", mmap_mode="c"))
    assert torch.equal(Examples(inputs=mapped, labels=LABELS).batch(ROWS[1]), FEATURES[ROWS[1]])


class Endless(IterableDataset):
    def __iter__(self):
        yield FEATURES[0], 0


class Random(Source):
    def __len__(self):
        return 20

    def __getitem__(self, place):
        return torch.rand(3), 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: streamed(DataLoader(Pictures())), r"got a DataLoader: give loader\.dataset"),
        (lambda: streamed(Endless()), "dataset must have a length of at least 1"),
        (lambda: streamed([]), "dataset must have a length of at least 1"),
        (lambda: streamed(Pictures(), workers=-1), "workers must be an integer of at least 0, got -1"),
        (lambda: streamed(Pictures(), prefetch=0), "prefetch must be an integer of at least 1, got 0"),
        (
            lambda: streamed(Random(), workers=0).batch([5, 6]),
            "dataset must give the same input each time, but input 5 has changed since it was read through",
        ),
        (lambda: streamed(Pictures(), workers=0).batch([150]), "positions from 0 to 149, got 150 to 150"),
        (lambda: streamed(Pictures(), workers=0).batch([0.5]), "index must hold integers"),
        (lambda: streamed(Pictures(), workers=0).inputs, "examples must be in memory for this"),
        (lambda: noisy_copies(streamed(Pictures(), workers=0), 1.0, 2, 0), "examples must be in memory"),
        (
            lambda: streamed(Spoilt(lambda: (torch.zeros(4, dtype=torch.int64), 0)), workers=0),
            r"dataset must give inputs of one type, got torch\.int64 at 70 after torch\.float32",
        ),
    ],
)
def test_what_cannot_be_streamed_is_answered_in_a_sentence(wrong, words):
    with pytest.raises(CourseError, match=words):
        wrong()


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (raise_key_error, r"^dataset\[70\] cannot be read: KeyError: 'no such picture'$"),
        (
            lambda: (torch.zeros(5), 0),
            r"^dataset must give examples of one shape, got the input \(5,\) at 70 after",
        ),
        (lambda: torch.zeros(4), r"^dataset must give pairs \(input, label\), got Tensor$"),
        (lambda: (torch.zeros(4), "seven"), r"^dataset must give pictures, tensors or numbers, got str$"),
    ],
)
def test_what_goes_wrong_in_a_worker_is_one_sentence(workers, spoilt, words):
    with pytest.raises(CourseError, match=words):
        streamed(Spoilt(spoilt), workers=workers)
    with pytest.raises(CourseError, match=words):
        from_dataset(Spoilt(spoilt), workers=workers)


def test_a_request_to_end_is_left_to_the_process_that_trains():
    """A cluster sends it to the workers, too, and the last steps before a checkpoint need their data."""

    def asked_to_end():
        os.kill(os.getpid(), signal.SIGTERM)
        return torch.ones(4), 0

    there = streamed(Spoilt(asked_to_end), workers=1)
    assert len(there) == 100


def test_a_worker_that_dies_is_said_to():
    with pytest.raises(CourseError, match="a worker process that reads the data has ended"):
        streamed(Spoilt(end_the_process), workers=1)
