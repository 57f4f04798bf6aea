"""Canvases to search on: where the objects lie, that they do not touch, and which window belongs to which object."""

import pytest
import torch

from course_lib.data import Examples, load
from course_lib.data.canvases import Canvases, cut_windows, scatter
from course_lib.errors import CourseError


@pytest.fixture(scope="module")
def digits():
    return load("digits").train


@pytest.fixture(scope="module")
def canvases(digits):
    return scatter(digits, canvases=6, objects=4, size=40, gap=3, seed=1)


def corner(centre):
    return (centre - 4).long().tolist()


def test_objects_lie_where_the_centres_say_and_all_else_is_black(digits, canvases):
    known = {
        image.numpy().tobytes(): int(label) for image, label in zip(digits.images, digits.labels, strict=True)
    }
    for image, centres, labels in zip(canvases.images, canvases.centres, canvases.labels, strict=True):
        rest = image.clone()
        for centre, label in zip(centres, labels, strict=True):
            top, left = corner(centre)
            pixels = image[:, top : top + 8, left : left + 8].contiguous()
            assert known[pixels.numpy().tobytes()] == label
            rest[:, top : top + 8, left : left + 8] = 0
        assert (rest == 0).all()


def test_the_gap_is_kept_and_can_be_reached(digits):
    for gap in (0, 3):
        made = scatter(digits, canvases=40, objects=6, size=56, gap=gap, seed=2)
        apart = (
            (made.centres[:, :, None] - made.centres[:, None]).abs().amax(dim=-1)
        )  # rows or columns, (N, K, K)
        others = apart[~torch.eye(6, dtype=torch.bool).expand_as(apart)]
        assert others.min() == 8 + gap


def test_every_place_can_be_taken(digits):
    made = scatter(digits, canvases=400, objects=1, size=12, seed=3)
    corners = made.centres[:, 0] - 4
    assert {tuple(each) for each in corners.tolist()} == {(r, c) for r in range(5) for c in range(5)}


def test_the_seed_alone_decides(digits, canvases):
    torch.manual_seed(99)
    again = scatter(digits, canvases=6, objects=4, size=40, gap=3, seed=1)
    assert torch.equal(again.images, canvases.images)
    assert torch.equal(again.centres, canvases.centres)
    other = scatter(digits, canvases=6, objects=4, size=40, gap=3, seed=2)
    assert not torch.equal(other.images, canvases.images)


def test_black_is_zero_and_objects_have_the_scale_of_the_examples(digits, canvases):
    assert len(canvases) == 6
    assert canvases.inputs[canvases.images == 0].abs().max() == 0
    white = canvases.inputs[canvases.images == 255]
    torch.testing.assert_close(white, torch.full_like(white, 1 / float(digits.std)))


def by_hand(centres, labels, size=40, window=16, stride=8):
    """The window's number and class for every object that lies in the middle of one, one axis at a time."""
    edge, wide = (window - stride) / 2, (size - window) // stride + 1
    found = {}
    for (row, column), label in zip(centres.tolist(), labels.tolist(), strict=True):
        fits = [
            (j, i)
            for j in range(wide)
            for i in range(wide)
            if stride * j + edge <= row < stride * j + edge + stride
            and stride * i + edge <= column < stride * i + edge + stride
        ]
        assert len(fits) <= 1
        for j, i in fits:
            found[j * wide + i] = label
    return found


def test_a_window_has_the_class_of_the_object_in_its_middle(canvases):
    windows = cut_windows(canvases, window=16, stride=8, background=10)
    assert len(windows) == 6 * 4 * 4
    for canvas in range(6):
        labels = windows.labels[16 * canvas : 16 * canvas + 16]
        expected = by_hand(canvases.centres[canvas], canvases.labels[canvas])
        assert {place: int(labels[place]) for place in range(16) if labels[place] != 10} == expected
        for place in range(16):
            top, left = 8 * (place // 4), 8 * (place % 4)
            piece = canvases.images[canvas, :, top : top + 16, left : left + 16]
            assert torch.equal(windows.images[16 * canvas + place], piece)
    torch.testing.assert_close(windows.inputs[:1], canvases.inputs[:1, :, :16, :16])


def test_windows_may_be_as_small_as_their_stride():
    centre = torch.tensor([[[4.0, 12.0]]])
    canvas = Canvases(
        torch.zeros(1, 1, 16, 16, dtype=torch.uint8), centre, torch.tensor([[7]]), torch.ones(1)
    )
    assert cut_windows(canvas, window=8, stride=8, background=10).labels.tolist() == [10, 7, 10, 10]
    # Off the middle of every window: half of it is cut off on either side.
    assert cut_windows(canvas, window=16, stride=1, background=10).labels.tolist() == [10]


def test_colour_images_can_be_scattered():
    images = torch.randint(1, 255, (3, 3, 4, 6), dtype=torch.uint8)
    examples = Examples(images, torch.arange(3), torch.arange(3), torch.zeros(3), torch.ones(3))
    made = scatter(examples, canvases=1, objects=1, size=8, seed=0)
    assert made.images.shape == (1, 3, 8, 8)
    assert (made.images > 0).sum() == 3 * 4 * 6
    rows = (made.images[0, 0] > 0).any(dim=1).nonzero().flatten()
    assert made.centres[0, 0, 0] == rows[0] + 2


def test_objects_stay_away_from_the_edge_and_may_come_as_near_as_asked(digits):
    made = scatter(digits, canvases=200, objects=1, size=20, edge=3, seed=4)
    corners = made.centres[:, 0] - 4
    assert (corners.min(), corners.max()) == (3, 20 - 8 - 3)


def test_clutter_is_examples_with_their_halves_exchanged_and_no_object(digits):
    made = scatter(digits, canvases=5, objects=1, size=32, gap=1, clutter=2, seed=5)
    assert made.labels.shape == (5, 1)
    halves = [torch.cat([image[:, :, 4:], image[:, :, :4]], dim=2) for image in digits.images]
    broken = {each.contiguous().numpy().tobytes() for each in halves}
    for image, centre in zip(made.images, made.centres, strict=True):
        top, left = corner(centre[0])
        image[:, top : top + 8, left : left + 8] = 0
        pieces = image.unfold(1, 8, 1).unfold(2, 8, 1).flatten(1, 2)[0]  # (places, 8, 8)
        found = [piece.sum() for piece in pieces if piece.contiguous().numpy().tobytes() in broken]
        assert sum(found) == image.sum()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"clutter": -1}, "clutter must be an integer of at least 0, got -1"),
        ({"edge": 5}, "size must be an integer of at least 18, got 16"),
        ({"canvases": 0}, "canvases must be an integer of at least 1, got 0"),
        ({"objects": 1.5}, "objects must be an integer of at least 1, got 1.5"),
        ({"size": 7}, "size must be an integer of at least 8, got 7"),
        ({"gap": -1}, "gap must be an integer of at least 0, got -1"),
        (
            {"objects": 10},
            r"objects must find room: 10 of 8 × 8 pixels with a gap of 0 do not .* side 16, \d did",
        ),
        ({"seed": -1}, "seed must be an integer"),
    ],
)
def test_bad_settings_are_answered_in_one_sentence(digits, settings, words):
    with pytest.raises(CourseError, match=words):
        scatter(digits, **({"canvases": 1, "objects": 1, "size": 16} | settings))


def test_bad_windows_are_answered_in_one_sentence(digits, canvases):
    with pytest.raises(
        CourseError, match="window must lie between stride and the canvas's 40 pixels, got 48 and 8"
    ):
        cut_windows(canvases, window=48, stride=8, background=10)
    with pytest.raises(CourseError, match="got 8 and 16"):
        cut_windows(canvases, window=8, stride=16, background=10)
    crowded = scatter(digits, canvases=5, objects=8, size=40, seed=0)
    with pytest.raises(CourseError, match="at most one object in the middle of a window"):
        cut_windows(crowded, window=24, stride=24, background=10)
