"""Noisy copies: the noise has the size that was asked for, and every copy stays with its image."""

import pytest
import torch

from course_lib.data import load, noisy_copies
from course_lib.errors import CourseError


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(50, seed=0)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 2.0])
def test_noise_has_mean_zero_and_the_standard_deviation_that_was_asked_for(train, sigma):
    noisy = noisy_copies(train, sigma, 20, seed=0)
    noise = noisy.inputs.view(50, 20, -1) - train.inputs.view(50, 1, -1)
    assert noise.mean().item() == pytest.approx(0, abs=0.02 * sigma)
    assert noise.std().item() == pytest.approx(sigma, rel=0.02)
    assert (
        noise.flatten(0, 1).std(dim=0).min() > 0.9 * sigma
    )  # on every pixel, also on those that are always empty
    assert noise.abs().max() > 3.5 * sigma  # nothing is clipped


def test_copies_keep_label_and_image_and_have_an_index_of_their_own(train):
    noisy = noisy_copies(train, 0.1, 3, seed=0)
    assert len(noisy) == 150
    assert torch.equal(noisy.index // 3, train.index.repeat_interleave(3))
    assert len(noisy.index.unique()) == 150
    assert torch.equal(noisy.labels, train.labels.repeat_interleave(3))


def test_the_seed_decides(train):
    first, again, other = (noisy_copies(train, 0.1, 2, seed=seed).images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sigma": 0.0}, "sigma must be"),
        ({"copies": 0}, "copies must be an integer of at least 1, got 0"),
        ({"seed": -1}, "seed must be an integer"),
    ],
)
def test_what_makes_no_copies_is_refused(train, settings, words):
    with pytest.raises(CourseError, match=words):
        noisy_copies(train, **{"sigma": 0.1, "copies": 2, "seed": 0} | settings)
