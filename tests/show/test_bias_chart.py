"""The chart of a raised logit: its accuracies are those of plain counting, and the page follows the slider."""

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.show import bias_chart

PHONE = 340
# Two networks, four images. Class 2 wins where b exceeds the gap to the largest other logit: 1, 4, 2, 6 in the first
# network, 3 in all images of the second.
LABELS = torch.tensor([2, 2, 0, 1])
GAPS = torch.tensor([[1.0, 4.0, 2.0, 6.0], [3.0, 3.0, 3.0, 3.0]])
OTHERS = torch.tensor([[0, 1, 0, 1], [1, 0, 0, 0]])  # the largest other logit's class
LOGITS = torch.zeros(2, 4, 3).scatter(2, OTHERS[..., None], GAPS[..., None])
LOGITS = LOGITS - 10 * (torch.arange(3) == 1 - OTHERS[..., None])


def rows(chart):
    return {(row["b"], row["group"]): row["right"] for row in chart.spec["datasets"]["accuracies"]}


@pytest.mark.parametrize(
    ("b", "eights", "others", "everything"),
    # at 0: images 3 and 4 of network 1, image 3 of network 2
    [(0.0, 0, 75, 37.5), (1.5, 25, 75, 50), (2.5, 25, 50, 37.5), (3.5, 75, 25, 50), (6.5, 100, 0, 50)],
)
def test_accuracies_are_those_of_counting(b, eights, others, everything):
    found = rows(bias_chart(LOGITS, LABELS, 2, "eights"))
    assert [found[b, group] for group in ("eights", "all other images", "all images")] == [
        eights,
        others,
        everything,
    ]


def test_the_logits_stay_what_they_were():
    before = LOGITS.double()
    given = before.clone()
    bias_chart(given, LABELS, 2, "eights")
    assert torch.equal(given, before)


@pytest.mark.parametrize(
    ("labels", "class_index", "words"),
    [
        (LABELS, 3, "class_index must be an integer from 0 to 2, got 3"),
        (LABELS, True, "class_index must be an integer"),
        (torch.tensor([0, 1, 0, 1]), 2, "labels must hold images of class 2 and of others, got 0 of 4"),
        (torch.full((4,), 2), 2, "got 4 of 4"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(labels, class_index, words):
    with pytest.raises(CourseError, match=words):
        bias_chart(LOGITS, labels, class_index, "eights")


# Version 5 is what JupyterLab draws with, the newest what the website has.
@pytest.mark.parametrize("version", [None, "5.21"])
def test_page_follows_the_slider(draw_chart, version):
    page = draw_chart(bias_chart(LOGITS, LABELS, 2, "eights"), version, viewport=PHONE)
    assert "37.5 %" in page.locator("svg").text_content()
    page.evaluate("async () => { await window.view.signal('b', 3.5).runAsync(); }")
    words = page.locator("svg").text_content()
    assert "75.0 %" in words
    assert "37.5 %" not in words
    page.keyboard.press("Tab")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("() => document.querySelector('svg').textContent.includes('100.0 %')")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= PHONE
