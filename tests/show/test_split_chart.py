"""Both pictures of the split: the parts are those of plain geometry, in Python and computed by the page itself."""

import json
import math
import re

import pytest
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell

from course_lib.errors import CourseError
from course_lib.show import split as module
from course_lib.show.split import card_html, parts_of, split_chart, split_slider

NAMES = ["radius part", "angle part", "squared distance"]
PLACES = [(0.0, 45), (1.0, 30), (2.0, 30), (2.0, -150), (1.5, 120), (3.0, 180), (0.05, -90)]
PHONE = 340


def expected(radius, degrees, teacher=(2.0, 30.0)):
    """By complex numbers, so that the test does not lean on the code that it tests."""
    z_s = radius * complex(math.cos(math.radians(degrees)), math.sin(math.radians(degrees)))
    z_t = teacher[0] * complex(math.cos(math.radians(teacher[1])), math.sin(math.radians(teacher[1])))
    distance, first = abs(z_s - z_t) ** 2, (abs(z_s) - abs(z_t)) ** 2
    return [first, distance - first, distance]


@pytest.mark.parametrize(("radius", "degrees"), PLACES)
def test_parts_are_those_of_plain_geometry(radius, degrees):
    parts = parts_of(radius, degrees, 2.0, 30.0)
    assert list(parts) == NAMES
    assert list(parts.values()) == pytest.approx(expected(radius, degrees), abs=1e-9)


@pytest.mark.parametrize(("radius", "degrees"), PLACES)
def test_moving_the_sliders_redraws_vectors_and_bars(radius, degrees):
    radius_slider, angle_slider, card = split_slider().children
    radius_slider.value, angle_slider.value = radius, degrees
    shown = [float(value) for value in re.findall(r">([\d.]+)</td>", card.value)]
    assert shown == pytest.approx(expected(radius, degrees), abs=0.00501)
    words = re.search(r'aria-label="([^"]+)"', card.value)[1]
    assert all(name in words for name in NAMES)
    widths = [float(value) for value in re.findall(r"width:([\d.]+)%;height", card.value)]
    assert widths == pytest.approx([100 * value / 25 for value in expected(radius, degrees)], abs=0.00501)


def test_the_students_circle_goes_through_the_tip_of_its_vector():
    card = card_html(1.5, 120, 2.0, 30.0)
    radii = [float(value) for value in re.findall(r'<circle r="([\d.]+)" fill="none"', card)]
    tips = [
        (float(x), float(y)) for x, y in re.findall(r'<circle cx="(-?[\d.]+)" cy="(-?[\d.]+)" r="5"', card)
    ]
    assert [math.hypot(*tip) for tip in tips] == pytest.approx(radii, abs=0.02)
    (x_t, y_t), (x_s, y_s) = tips
    assert x_t > 0 > y_t  # the page's second coordinate points down
    assert x_s < 0
    assert y_s < 0


def test_error_is_shown_in_words(monkeypatch):
    widget = split_slider()

    def fail(*arguments):
        raise CourseError("vectors <went> away")

    monkeypatch.setattr(module, "card_html", fail)
    widget.children[0].value = 2.5
    assert "vectors &lt;went&gt; away" in widget.children[2].value


@pytest.mark.parametrize("build", [split_chart, split_slider])
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"teacher_radius": 0.0}, "teacher_radius must be a number from .* to 3, got 0"),
        ({"teacher_radius": 4}, "teacher_radius must .* got 4"),
        ({"teacher_radius": "2"}, "teacher_radius must .* got '2'"),
        ({"teacher_angle": math.nan}, "teacher_angle must .* got nan"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(build, settings, words):
    with pytest.raises(CourseError, match=words):
        build(**settings)


def test_notebook_output_carries_the_chart_and_nothing_else():
    data, _ = DisplayFormatter(parent=InteractiveShell.instance()).format(split_chart())
    assert set(data) == {"application/vnd.vegalite.v5+json", "text/plain"}
    assert not re.search(r"https?:|\$schema", json.dumps(data["application/vnd.vegalite.v5+json"]))
    assert "radius part" in data["text/plain"]


@pytest.fixture
def draw(draw_chart):
    """draw(version=None): the chart in a page as wide as a phone."""
    return lambda version=None: draw_chart(split_chart(), version, viewport=PHONE)


# Version 5 is what JupyterLab draws with, the newest what the website has.
@pytest.mark.parametrize("version", [None, "5.21"])
def test_page_computes_the_parts_by_itself(draw, version):
    page = draw(version)
    for radius, degrees in PLACES:
        page.evaluate(
            "async ([r, a]) => { await window.view.signal('r_s', r).signal('degrees', a).runAsync(); }",
            [radius, degrees],
        )
        words = page.locator("svg").text_content()
        for name, value in zip(NAMES, expected(radius, degrees), strict=True):
            assert name in words
            assert f"{abs(value):.2f}" in words
        assert "student" in words
        assert "teacher" in words


def test_keyboard_moves_the_student(draw):
    page = draw()
    page.keyboard.press("Tab")
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    radius_part = (
        "() => [...document.querySelectorAll('svg text')].some((text) => text.textContent === '0.00')"
    )
    page.wait_for_function(radius_part)


def test_everything_fits_a_phone(draw):
    page = draw()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE
    assert page.locator(".vega-actions").count() == 0
