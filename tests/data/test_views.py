"""Views against crops and flips made one by one."""

import pytest
import torch
import torch.nn.functional as F

from course_lib.data import Views
from course_lib.errors import CourseError


@pytest.fixture(scope="module")
def images():
    return torch.randn(6, 3, 8, 10, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("views", "count"),
    [
        (Views(), 162),
        (Views(pad=4, stride=4), 18),
        (Views(pad=1, flip=False), 9),
        (Views(pad=0), 2),
        (Views(pad=0, flip=False), 1),
    ],
)
def test_every_view_is_a_shifted_or_mirrored_copy_and_no_two_are_the_same(images, views, count):
    assert len(views) == count
    seen = []
    for view in range(count):
        found = views.apply(images, torch.full((6,), view))
        place = view // 2 if views.flip else view
        side = 2 * views.pad // views.stride + 1
        down, right = divmod(place, side)
        expected = F.pad(images, (views.pad,) * 4)[:, :, down * views.stride :, right * views.stride :][
            :, :, :8, :10
        ]
        if views.flip and view % 2:
            expected = torch.flip(expected, dims=[3])
        assert torch.equal(found, expected)
        seen.append(found[0])
    assert len({tuple(each.flatten().tolist()) for each in seen}) == count
    assert torch.equal(seen[views.unchanged], images[0])


def test_each_image_gets_its_own_view(images):
    views = Views(pad=2)
    numbers = torch.tensor([0, 7, views.unchanged, 49, 13, 13])
    together = views.apply(images, numbers)
    for place, number in enumerate(numbers):
        alone = views.apply(images[place : place + 1], number[None])
        assert torch.equal(together[place], alone[0])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pad": -1}, "pad must be an integer of at least 0, got -1"),
        ({"stride": 0}, "stride must be an integer of at least 1, got 0"),
        ({"pad": 4, "stride": 3}, "stride must divide pad.* got 3 and 4"),
        ({"pad": True}, "pad must be an integer"),
        ({"flip": "no"}, "flip must be True or False, got 'no'"),
    ],
)
def test_numbers_that_make_no_shifts_are_refused(settings, words):
    with pytest.raises(CourseError, match=words):
        Views(**settings)


@pytest.mark.parametrize("views", [Views(pad=1), Views(pad=1, flip=False)])
@pytest.mark.parametrize("number", [-1, -2, None])
def test_a_view_that_does_not_exist_is_refused(images, views, number):
    number = len(views) if number is None else number
    wanted = torch.tensor([0, 0, 0, number, 0, 0])
    with pytest.raises(CourseError, match=f"view must be from 0 to {len(views) - 1}, got .*{number}"):
        views.apply(images, wanted)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (torch.zeros(6), r"view must be torch.int64 of shape \(6,\).* got torch.float32 \(6,\)"),
        (torch.zeros(5, dtype=torch.int64), r"view must be .* got torch.int64 \(5,\)"),
        (0, "view must be .* got int"),
    ],
)
def test_one_view_is_needed_for_each_image(images, view, words):
    with pytest.raises(CourseError, match=words):
        Views().apply(images, view)
    with pytest.raises(CourseError, match=r"images must have shape \(N, C, H, W\), got \(3, 8, 10\)"):
        Views().apply(images[0], torch.zeros(3, dtype=torch.int64))


def test_no_images_have_no_views(images):
    assert Views().apply(images[:0], torch.zeros(0, dtype=torch.int64)).shape == (0, 3, 8, 10)
