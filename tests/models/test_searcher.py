"""The searcher: one pass is the same as all windows, because nothing is padded."""

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.models import STRIDE, WINDOW, searcher


def test_the_map_of_an_image_is_the_network_on_each_of_its_windows():
    torch.manual_seed(0)
    network = searcher(5, channels=2, width=1 / 4).double()
    image = torch.randn(1, 2, 27, 40, dtype=torch.float64)
    found = network.score_map(image)
    assert found.shape == (1, 5, (27 - 16) // 4 + 1, (40 - 16) // 4 + 1)
    for row in range(found.shape[2]):
        for column in range(found.shape[3]):
            top, left = row * STRIDE, column * STRIDE
            window = image[:, :, top : top + WINDOW, left : left + WINDOW]
            torch.testing.assert_close(network(window)[0], found[0, :, row, column])


def test_sizes_follow_the_width():
    assert sum(p.numel() for p in searcher(11, width=1 / 8).parameters()) == 1275
    tiny = [each for each in searcher(3, width=1e-6).modules() if isinstance(each, nn.Conv2d)]
    assert [each.out_channels for each in tiny] == [1, 1, 1, 3]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_classes": 1}, "num_classes must be an integer of at least 2, got 1"),
        ({"num_classes": 2, "channels": 0}, "channels must be an integer of at least 1, got 0"),
        ({"num_classes": 2, "width": 0}, "width must be a finite number above 0, got 0"),
    ],
)
def test_bad_numbers_are_answered_in_one_sentence(settings, words):
    with pytest.raises(CourseError, match=words):
        searcher(**settings)


def test_an_image_smaller_than_a_window_is_refused():
    with pytest.raises(CourseError, match=r"at least 16 pixels, got \(20, 15\)"):
        searcher(3).score_map(torch.zeros(1, 1, 20, 15))
