"""Examples keep image, label and position together, normalise by the train split, and refuse bad input."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data import Examples, noisy_copies
from course_lib.data import examples as module
from course_lib.data.canvases import scatter
from course_lib.data.dataset import assemble
from course_lib.data.pixels import channel_statistics
from course_lib.errors import CourseError


def make(count=12, classes=3, seed=0, channels=2):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, channels, 4, 5), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % classes
    mean, std = torch.tensor([0.2, 0.6][:channels]), torch.tensor([0.5, 0.1][:channels])
    return Examples(images, labels, torch.arange(count) + 100, mean, std)


def expected(examples):
    pixels = examples.images.double() / 255
    return (pixels - examples.mean.double()[:, None, None]) / examples.std.double()[:, None, None]


@pytest.fixture(params=["kept", "made per batch"])
def either_size(request, monkeypatch):
    """Both ways to normalise: all images at once and kept, or those of a batch."""
    if request.param == "made per batch":
        monkeypatch.setattr(module, "_KEPT", 0)
    return request.param


def test_inputs_are_normalised_per_channel(either_size):
    examples = make()
    assert examples.inputs.dtype == torch.float32
    assert torch.allclose(examples.inputs.double(), expected(examples), atol=1e-5)


def test_inputs_of_a_small_set_are_computed_once():
    examples = make()
    assert examples.inputs is examples.inputs


def test_inputs_of_a_large_set_are_not_kept(monkeypatch):
    monkeypatch.setattr(module, "_KEPT", make().images.numel() * 4 - 1)
    examples = make()
    assert examples.inputs is not examples.inputs


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3), (0,)])
def test_a_batch_has_the_shape_of_its_index(either_size, shape):
    examples = make()
    index = torch.randint(12, shape, generator=torch.Generator().manual_seed(1))
    batch = examples.batch(index)
    assert batch.shape == (*shape, 2, 4, 5)
    assert torch.allclose(batch.double(), expected(examples)[index], atol=1e-5)


def test_a_batch_does_not_lend_out_the_kept_inputs():
    examples = make()
    before = examples.inputs.clone()
    examples.batch([0, 1]).zero_()
    assert torch.equal(examples.inputs, before)


def test_take_keeps_image_label_and_position_together():
    taken = make().take([7, 2, 2])
    assert taken.index.tolist() == [107, 102, 102]
    assert taken.labels.tolist() == [1, 2, 2]
    assert torch.equal(taken.images, make().images[[7, 2, 2]])
    assert torch.equal(taken.inputs, make().inputs[[7, 2, 2]])


def test_take_of_nothing_is_empty():
    assert len(make().take([])) == 0


@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_subset_is_balanced_and_free_of_repeats(counts, share, seed):
    labels = torch.repeat_interleave(torch.arange(len(counts)) * 3, torch.tensor(counts))
    images = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    examples = Examples(images, labels, torch.arange(len(labels)), torch.zeros(1), torch.ones(1))
    n = len(counts) + round(share * (len(labels) - len(counts)))
    subset = examples.subset(n, seed)
    assert len(subset) == n
    assert len(subset.index.unique()) == n
    taken = [
        (int((subset.labels == label).sum()), count)
        for label, count in zip(labels.unique(), counts, strict=True)
    ]
    most = max(count for count, _ in taken)
    assert all(count >= most - 1 or count == there for count, there in taken)
    assert torch.equal(subset.labels, labels[subset.index])


def test_a_subset_depends_on_its_seed():
    examples = make(60)
    chosen = {tuple(examples.subset(10, seed).index.tolist()) for seed in range(20)}
    assert len(chosen) == 20
    assert torch.equal(examples.subset(10, 3).index, examples.subset(10, 3).index)


def test_which_class_gets_one_more_depends_on_the_seed():
    examples = make(60)
    assert len({tuple(examples.subset(4, seed).labels.bincount().tolist()) for seed in range(20)}) == 3


def test_a_smaller_subset_lies_within_a_larger_one():
    sets = [set(make(60).subset(n, 5).index.tolist()) for n in (3, 10, 11, 40, 60)]
    assert all(small < large for small, large in pairwise(sets))


def test_to_moves_every_tensor():
    moved = make().to("meta")
    assert {getattr(moved, name).device.type for name in ("images", "labels", "index", "mean", "std")} == {
        "meta"
    }


def test_to_where_it_is_keeps_the_inputs():
    examples = make()
    assert examples.to("cpu") is examples


def test_channel_statistics_agree_with_a_plain_computation():
    images = make(50).images
    mean, std = channel_statistics(images)
    pixels = images.double() / 255
    assert torch.allclose(mean.double(), pixels.mean((0, 2, 3)), atol=1e-7)
    assert torch.allclose(std.double(), pixels.std((0, 2, 3), correction=0), atol=1e-7)


def test_a_channel_of_one_colour_gives_finite_inputs():
    mean, std = channel_statistics(torch.full((3, 1, 2, 2), 7, dtype=torch.uint8))
    assert torch.isfinite((torch.full((1,), 7 / 255) - mean) / std).all()


def test_mean_and_std_come_from_the_train_part_alone():
    images = torch.cat([make(6).images, torch.full((6, 2, 4, 5), 255, dtype=torch.uint8)])
    parts = [torch.arange(6), torch.arange(6, 9), torch.arange(9, 12)]
    dataset = assemble("name", "title", ["a", "b"], images, torch.zeros(12, dtype=torch.int64), parts)
    mean, std = channel_statistics(make(6).images)
    for part in (dataset.train, dataset.validation, dataset.test):
        assert torch.equal(part.mean, mean)
        assert torch.equal(part.std, std)
    assert (dataset.image_shape, dataset.num_classes) == ((2, 4, 5), 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.subset(2, 0), r"n must be an integer from 3 .* to 12 .*, got 2"),
        (lambda e: e.subset(13, 0), r"to 12 \(all\), got 13"),
        (lambda e: e.subset(5.0, 0), r"n must be an integer .*, got 5.0"),
        (lambda e: e.subset(5, -1), "seed must be an integer from 0 .*, got -1"),
        (lambda e: e.subset(5, "a"), "seed must be an integer .*, got 'a'"),
        (lambda e: e.take([12]), "positions from 0 to 11, got 12 to 12"),
        (lambda e: e.take([-1]), "positions from 0 to 11, got -1 to -1"),
        (lambda e: e.take([[1]]), r"list of positions \(n,\), got shape \(1, 1\)"),
        (lambda e: e.take([0.5]), "index must hold integers, got torch.float32"),
        (lambda e: e.take([True] * 12), "index must hold integers, got torch.bool"),
        (lambda e: e.batch([12]), "positions from 0 to 11, got 12 to 12"),
        (lambda e: e.batch([-1, 3]), "positions from 0 to 11, got -1 to 3"),
        (
            lambda e: Examples(e.images.float(), e.labels, e.index, e.mean, e.std),
            "mean and std go with uint8 images",
        ),
        (
            lambda e: Examples(e.images[0], e.labels, e.index, e.mean, e.std),
            r"\(N, C, H, W\), got .*\(2, 4, 5\)",
        ),
        (
            lambda e: Examples(e.images, e.labels[1:], e.index, e.mean, e.std),
            r"labels must have shape \(12,\)",
        ),
        (lambda e: Examples(e.images, e.labels, e.index, e.mean[1:], e.std), r"mean must have shape \(2,\)"),
        (
            lambda e: Examples(e.images, e.labels, e.index, e.mean, torch.tensor([0.5, 0.0])),
            r"std must be above 0 in every channel, got \[0.5, 0.0\]",
        ),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, message):
    with pytest.raises(CourseError, match=message) as caught:
        call(make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "made_of_pixels",
    [
        lambda points: noisy_copies(points, 0.1, 2, seed=0),
        lambda points: scatter(points, canvases=1, objects=1, size=20),
    ],
)
def test_what_is_made_of_pixels_refuses_other_inputs(made_of_pixels):
    points = Examples(inputs=torch.randn(4, 1, 8, 8), labels=torch.arange(4))
    with pytest.raises(CourseError, match=r"examples must be uint8 images \(N, C, H, W\), got torch.float32"):
        made_of_pixels(points)
