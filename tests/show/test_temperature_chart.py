"""The website's slider in a real browser, every host blocked: the page computes softmax(z/T) as PyTorch does."""

import json
import re

import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell

from course_lib import show

CLASSES = ("airplane", "automobile", "bird", "cat")
LOGITS = torch.tensor([[6.0, 2.5, -1.0, 3.0], [-1e4, 1e4, 9990.0, 9996.0], [0.0, 0.5, 0.25, -0.125]])
IMAGES = torch.arange(3 * 64).reshape(3, 1, 8, 8).to(torch.uint8)
LABELS = torch.tensor([0, 1, 3])
PHONE = 340
BARS = "() => window.view.data('softened_0_marks').map((bar) => bar.datum)"


@pytest.fixture(scope="module")
def chart():
    return show.temperature_chart(LOGITS, IMAGES, CLASSES, LABELS)


@pytest.fixture
def draw(draw_chart, chart):
    """draw(version=None): the chart in a page as wide as a phone."""
    return lambda version=None: draw_chart(chart, version, viewport=PHONE, width=220)


# Version 5 is what JupyterLab draws with, the newest what the website has.
@pytest.mark.parametrize("version", [None, "5.21"])
def test_page_computes_softmax_as_pytorch_does(draw, version):
    page = draw(version)
    for index in range(len(LOGITS)):
        for exponent in (-2, -1, 0, 0.5, 1, 2, 3, 4, 4.25):
            page.evaluate(
                "([i, e]) => window.view.signal('image', i).signal('log2_T', e).runAsync()", [index, exponent]
            )
            bars = page.evaluate(BARS)
            assert [bar["class"] for bar in bars] == list(CLASSES)
            assert [bar["true"] for bar in bars] == [place == LABELS[index] for place in range(len(CLASSES))]
            shown = torch.tensor([bar["probability"] for bar in bars], dtype=torch.float64)
            expected = torch.softmax(LOGITS[index].double() / 2**exponent, dim=0)
            torch.testing.assert_close(shown, expected, atol=1e-4, rtol=0)


def test_bars_percentages_and_temperature_are_drawn(draw):
    page = draw()
    page.evaluate("() => window.view.signal('image', 2).signal('log2_T', 2).runAsync()")
    words = page.locator("svg").text_content()
    expected = torch.softmax(LOGITS[2].double() / 4, dim=0)
    for share in expected.tolist():
        assert f"{100 * share:.1f} %" in words
    assert "T = 4.00" in words
    assert "true class: cat" in words
    lengths = page.evaluate("() => window.view.data('softened_0_marks').map((bar) => bar.width)")
    torch.testing.assert_close(torch.tensor(lengths) / sum(lengths), expected.float())


def test_keyboard_moves_the_temperature_and_chooses_the_image(draw):
    page = draw()
    assert "T = 1.00" in page.locator("svg").text_content()
    page.keyboard.press("Tab")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('svg').textContent.includes('T = 2.00')")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.wait_for_function(
        "() => document.querySelector('svg').textContent.includes('true class: automobile')"
    )


def test_picture_is_there_and_everything_fits_a_phone(draw):
    page = draw()
    size = page.evaluate(
        """async () => {
            const picture = new Image();
            picture.src = document.querySelector("svg image").getAttribute("xlink:href")
                ?? document.querySelector("svg image").getAttribute("href");
            await picture.decode();
            return picture.naturalWidth;
        }"""
    )
    assert size >= 128
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE
    assert page.locator(".vega-actions").count() == 0
    # Names of classes are whole: nothing begins left of the drawing.
    left = page.locator("svg").bounding_box()["x"]
    assert all(text.bounding_box()["x"] >= left for text in page.locator("svg text").all())


def test_notebook_output_carries_the_chart_and_nothing_else(chart):
    data, _ = DisplayFormatter(parent=InteractiveShell.instance()).format(chart)
    assert set(data) == {"application/vnd.vegalite.v5+json", "text/plain"}
    spec = json.dumps(data["application/vnd.vegalite.v5+json"])
    assert not re.search(r"https?:|\$schema", spec)
    assert "softmax(z/T)" in data["text/plain"]
