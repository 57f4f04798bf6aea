"""Figures of the website: small files that look as they did; photographs stay as they were."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from course_lib.site.pictures import small_png


def png(pixels):
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "png")
    return written.getvalue()


def seen(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


@pytest.fixture
def chart():
    figure = Figure(dpi=120)
    ax = figure.subplots()
    for power in range(1, 6):
        ax.plot([0, 1, 2], [0, power, power**2], marker="o", label=f"power {power}")
    ax.legend()
    written = io.BytesIO()
    figure.savefig(written, format="png", facecolor="white")
    return written.getvalue()


def test_a_chart_becomes_smaller_and_looks_the_same(chart):
    small = small_png(chart)
    assert len(small) < len(chart) / 2
    assert seen(small).shape == seen(chart).shape
    difference = np.abs(seen(small) - seen(chart))
    assert difference.mean() < 0.5
    assert (difference.max(axis=2) > 32).mean() < 1e-3  # here and there a shade in the edge of a line


def test_a_photograph_stays_as_it_was():
    photograph = png(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    assert small_png(photograph) == photograph


def test_a_transparent_picture_stays_as_it_was():
    pixels = np.full((40, 40, 4), 200, dtype=np.uint8)
    pixels[:20, :, 3] = 0
    assert small_png(png(pixels)) == png(pixels)
