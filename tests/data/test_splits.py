"""Splits are complete, disjoint, stratified and chosen by the seed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data import load
from course_lib.data.splits import stratified_split
from course_lib.errors import CourseError


@given(
    counts=st.lists(st.integers(9, 30), min_size=2, max_size=5),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 2**32 - 1),
)
def test_parts_never_overlap_and_leave_nothing_out(counts, shares, seed):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    fewest, most = len(counts), len(labels) // 3
    second, third = (fewest + int(share * (most - fewest)) for share in shares)
    sizes = (len(labels) - second - third, second, third)
    parts = stratified_split(labels, sizes, seed)
    assert [len(part) for part in parts] == list(sizes)
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(len(labels)))


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_digits_are_cut_as_promised(seed):
    digits = load("digits", seed=seed)
    parts = (digits.train, digits.validation, digits.test)
    assert [len(part) for part in parts] == [1200, 200, 397]
    assert torch.equal(torch.cat([part.index for part in parts]).sort().values, torch.arange(1797))
    whole = torch.cat([part.labels for part in parts]).bincount() / 1797
    for part in parts:
        assert torch.allclose(part.labels.bincount() / len(part), whole, atol=0.006)


def test_each_part_of_digits_depends_on_the_seed():
    first, second, again = load(seed=0), load(seed=1), load(seed=0)
    for part in ("train", "validation", "test"):
        assert not torch.equal(getattr(first, part).index, getattr(second, part).index)
        assert torch.equal(getattr(first, part).index, getattr(again, part).index)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.0, "0", None, True])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(CourseError, match="seed must be an integer from 0"):
        load("digits", seed=seed)


def test_another_share_for_validation_leaves_the_test_images_alone():
    usual, other = load("digits", seed=3), load("digits", seed=3, validation=0.1)
    assert (len(other.train), len(other.validation)) == (1260, 140)
    assert torch.equal(other.test.images, usual.test.images)
    assert torch.equal(other.test.index, usual.test.index)
    seen = torch.cat([other.train.index, other.validation.index, other.test.index])
    assert torch.equal(seen.sort().values, torch.arange(1797))
    assert other.validation.labels.bincount().tolist() == [14] * 10
    inputs = other.train.inputs
    assert abs(float(inputs.mean())) < 1e-5, "normalised by its own training images"
    for part in (other.train, other.validation):
        whole = load("digits", seed=0)
        known = {
            int(i): image
            for each in (whole.train, whole.validation, whole.test)
            for i, image in zip(each.index, each.images, strict=True)
        }
        assert all(
            torch.equal(known[int(i)], image) for i, image in zip(part.index, part.images, strict=True)
        )
    again, third = load("digits", seed=3, validation=0.1), load("digits", seed=4, validation=0.1)
    assert torch.equal(again.train.index, other.train.index)
    assert not torch.equal(third.train.index, other.train.index)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "validation must be a number between 0 and 1, got 0.0"),
        ("a tenth", "validation must be a number between 0 and 1, got 'a tenth'"),
        (0.005, "validation must leave an image of each of the 10 classes on both sides, got 0.005 of 1400"),
        (0.995, "on both sides, got 0.995 of 1400 images"),
    ],
)
def test_shares_that_leave_nothing_are_refused(share, words):
    with pytest.raises(CourseError, match=words):
        load("digits", validation=share)
