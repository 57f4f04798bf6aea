"""A reliability diagram has a dot per bin where it was measured, larger for more examples."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from course_lib import show
from course_lib.errors import CourseError
from course_lib.measure import ConfidenceBin
from course_lib.show.style import BLUE, VERMILION

BINS = [ConfidenceBin(0.55, 0.4, 20), ConfidenceBin(0.75, 0.9, 40), ConfidenceBin(0.95, 0.9, 1200)]


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_dots_stand_at_confidence_and_accuracy_and_tell_over_from_underconfidence(ax):
    show.reliability(ax, BINS)
    places = np.concatenate([dot.get_offsets() for dot in ax.collections])
    np.testing.assert_allclose(places, [(each.confidence, each.accuracy) for each in BINS])
    colors = [to_hex(dot.get_facecolor()[0]) for dot in ax.collections]
    assert colors == [VERMILION, BLUE, VERMILION]
    areas = [dot.get_sizes()[0] for dot in ax.collections]
    assert areas[0] <= areas[1] < areas[2]
    assert [text.get_text() for text in ax.texts][:3] == ["20", "40", "1,200"]
    diagonal, *distances = ax.lines
    np.testing.assert_allclose(diagonal.get_xydata(), [(0, 0), (1, 1)])
    np.testing.assert_allclose(distances[1].get_ydata(), [0.75, 0.9])


@pytest.mark.parametrize("wrong", [[], [0.5], None])
def test_refuses_other_things(ax, wrong):
    with pytest.raises(CourseError, match=r"bins must be what measure\.reliability returned"):
        show.reliability(ax, wrong)
