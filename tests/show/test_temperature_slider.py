"""The slider of a running notebook: the bars are softmax(z/T), and an error is a sentence in the widget."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import show
from course_lib.errors import CourseError
from course_lib.show import slider
from course_lib.show.softened import answers_of, data_uri, softened

LOGITS = torch.tensor([[6.0, 2.5, -1.0], [-1e4, 1e4, 9990.0], [0.0, 0.5, 0.25]])
IMAGES = torch.arange(3 * 64).reshape(3, 1, 8, 8).to(torch.uint8)
CLASSES = ("zero", "<one>", "two")
LABELS = torch.tensor([0, 1, 1])


def given(**changed):
    return {"logits": LOGITS, "images": IMAGES, "classes": CLASSES, "labels": LABELS} | changed


def percentages(card):
    return [float(number) for number in re.findall(r">([\d.]+) %<", card)]


def expected(index, temperature):
    z = LOGITS[index].numpy().astype(float) / temperature
    weights = np.exp(z - z.max())
    return 100 * weights / weights.sum()


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0, 20.0])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_moving_the_slider_redraws_the_bars(index, temperature):
    widget = show.temperature_slider(**given())
    slide, choice, card = widget.children
    choice.value, slide.value = index, temperature
    np.testing.assert_allclose(percentages(card.value), expected(index, temperature), atol=0.0501)
    assert f"T = {temperature:.2f}" in card.value
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%;height", card.value)]
    np.testing.assert_allclose(widths, expected(index, temperature), atol=1e-3)


def test_choices_are_named_once_each_and_class_names_escaped():
    widget = show.temperature_slider(**given())
    names = [name for name, _ in widget.children[1].options]
    assert len(set(names)) == 3
    widget.children[1].value = 2
    assert "true class: &lt;one&gt;" in widget.children[2].value


def test_where_widgets_cannot_be_shown_words_say_what_to_do():
    bundle = show.temperature_slider(**given())._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "running kernel" in bundle["text/plain"]
    assert "course check" in bundle["text/plain"]


def test_slider_is_logarithmic_over_the_promised_range():
    slide = show.temperature_slider(**given()).children[0]
    assert slide.base**slide.min == 0.25
    assert 20 <= slide.base**slide.max < 21


def test_error_is_shown_in_words(monkeypatch):
    widget = show.temperature_slider(**given())

    def fail(*arguments):
        raise CourseError("logits <went> away")

    monkeypatch.setattr(slider, "card_html", fail)
    widget.children[0].value = 2.0
    assert "logits &lt;went&gt; away" in widget.children[2].value
    assert "Traceback" not in widget.children[2].value


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_softened_refuses_other_temperatures(temperature):
    with pytest.raises(CourseError, match="temperature must"):
        softened(LOGITS, temperature)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("logits", LOGITS[0]),
        ("logits", LOGITS.log()),
        ("images", IMAGES[:2]),
        ("images", IMAGES.float()),
        ("classes", ("a", "b")),
        ("labels", torch.tensor([0, 1, 3])),
        ("labels", torch.tensor([0, -1, 1])),
        ("labels", LABELS[:2]),
    ],
)
@pytest.mark.parametrize("kind", ["temperature_slider", "temperature_chart"])
def test_both_sliders_refuse_what_does_not_fit(kind, name, value):
    with pytest.raises(CourseError, match=name):
        getattr(show, kind)(**given(**{name: value}))


def test_half_precision_is_softened_exactly():
    answers = answers_of(LOGITS.half(), IMAGES, CLASSES, LABELS)
    assert answers.logits.dtype == torch.float64
    np.testing.assert_allclose(softened(answers.logits[0], 2.0), expected(0, 2.0) / 100, atol=1e-12)


@pytest.mark.parametrize("shape", [(8, 8), (5, 7), (32, 32, 3), (200, 100)])
def test_picture_carries_every_pixel(shape):
    picture = (np.arange(np.prod(shape)) * 7 % 256).astype(np.uint8).reshape(shape)
    kind, _, content = data_uri(picture).partition(",")
    assert kind == "data:image/png;base64"
    decoded = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))[1:-1, 1:-1]
    factor = decoded.shape[0] // shape[0]
    assert max(decoded.shape) >= 128
    for row, column in np.ndindex(factor, factor):
        np.testing.assert_array_equal(decoded[row::factor, column::factor], picture)
