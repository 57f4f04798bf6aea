"""The λ slider in a real browser, every host blocked: losses and gradients are those of the library and of autograd."""

import re

import pytest
import torch

from course_lib import show
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss, soft_target_loss
from course_lib.show.mix import LAMS, gradients

CLASSES = ("airplane", "automobile", "bird", "cat")
STUDENT = torch.tensor([[2.0, 2.5, -1.0, 0.5], [-1e3, 1e3, 990.0, 996.0], [0.0, 0.5, 0.25, -0.125]])
TEACHER = torch.tensor([[6.0, 2.5, -1.0, 3.0], [9.0, -3.0, 0.0, 1.0], [-1e3, 1e3, 990.0, 996.0]])
IMAGES = torch.arange(3 * 64).reshape(3, 1, 8, 8).to(torch.uint8)
LABELS = torch.tensor([0, 1, 3])
NUMBERS = ("hard", "soft", "mix", "hard_loss", "soft_loss")


def by_autograd(image, lam, temperature):
    """The gradients of both weighted parts, (C,) each, and the losses, of one image in double precision."""
    point = STUDENT[image : image + 1].double().requires_grad_()
    losses = (
        hard_label_loss(point, LABELS[image : image + 1]),
        soft_target_loss(point, TEACHER[image : image + 1].double(), temperature),
    )
    hard, soft = (
        weight * torch.autograd.grad(loss, point)[0][0]
        for weight, loss in zip((1 - lam, lam), losses, strict=True)
    )
    return hard, soft, *(float(loss.detach()) for loss in losses)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0, 20.0])
def test_gradients_are_those_of_autograd(temperature):
    hard, soft = gradients(STUDENT.double(), TEACHER.double(), LABELS, temperature)
    for image in range(3):
        expected = by_autograd(image, 0.5, temperature)
        torch.testing.assert_close(0.5 * hard[image], expected[0])
        torch.testing.assert_close(0.5 * soft[image], expected[1])


def test_steps_of_lambda_go_from_the_labels_to_the_teacher():
    assert sorted(set(LAMS)) == LAMS
    assert (LAMS[0], LAMS[-1]) == (0, 1)
    assert {0.001, 0.5, 0.75, 0.9, 0.99, 0.999} <= {round(lam, 3) for lam in LAMS}


# Version 5 is what JupyterLab draws with, the newest what the website has.
@pytest.mark.parametrize("version", [None, "5.21"])
def test_page_computes_losses_and_gradients_by_itself(draw_chart, version):
    page = draw_chart(show.mix_chart(STUDENT, TEACHER, IMAGES, CLASSES, LABELS), version)
    for image in range(3):
        for place in (0, 1, 30, 70, len(LAMS) - 2, len(LAMS) - 1):
            for exponent in (-2, 0, 2, 4.375):
                shown = page.evaluate(
                    """async (signals) => {
                        for (const [name, value] of Object.entries(signals)) view.signal(name, value);
                        await view.runAsync();
                        return view.data("gradients_marks").map((mark) => mark.datum);
                    }""",
                    {"image": image, "place": place, "log2_T": exponent},
                )
                lam = LAMS[place]
                hard, soft, hard_loss, soft_loss = by_autograd(image, lam, 2**exponent)
                columns = {
                    name: torch.tensor([row[name] for row in shown], dtype=torch.float64) for name in NUMBERS
                }
                expected = {"hard": hard, "soft": soft, "mix": hard + soft}
                for name, values in expected.items():
                    torch.testing.assert_close(columns[name], values, atol=1e-4, rtol=0)
                assert columns["hard_loss"].tolist() == pytest.approx([hard_loss] * 4, abs=1e-4)
                assert columns["soft_loss"].tolist() == pytest.approx([soft_loss] * 4, abs=1e-4)
                total = (1 - lam) * hard_loss + lam * soft_loss
                assert shown[0]["sentence"].endswith(f"(soft) = {total:.3f}.")


def test_bars_and_losses_are_drawn(draw_chart):
    page = draw_chart(show.mix_chart(STUDENT, TEACHER, IMAGES, CLASSES, LABELS))
    hard, soft, hard_loss, soft_loss = by_autograd(0, 0.5, 4.0)
    words = page.locator("svg").text_content()
    assert "λ = 0.5, T = 4.00" in words
    assert "true class: airplane" in words
    assert f"hard part: 0.5 · {hard_loss:.3f}" in words
    assert f"mix: {0.5 * hard_loss + 0.5 * soft_loss:.3f}" in words
    for value in (hard + soft).tolist():
        assert f"{value:+.3f}".replace("-", "−") in words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"teacher_logits": TEACHER[:2]}, "teacher_logits"),
        ({"teacher_logits": TEACHER * float("inf")}, "teacher_logits must be finite"),
        ({"student_logits": STUDENT[:, :3]}, "classes must name|labels must lie"),
        ({"classes": CLASSES[:2]}, "classes must name the 4 columns"),
        ({"images": IMAGES[:1]}, "images must be as many"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(settings, words):
    given = {
        "student_logits": STUDENT,
        "teacher_logits": TEACHER,
        "images": IMAGES,
        "classes": CLASSES,
        "labels": LABELS,
    }
    with pytest.raises(CourseError, match=words):
        show.mix_chart(**given | settings)


def test_every_name_of_show_can_be_had_twice():
    # A module of the same name would take the function's place after the first time.
    for _ in range(2):
        assert [
            name for name in show.__all__ if name != "METHODS" and not callable(getattr(show, name))
        ] == []


def test_the_specification_names_no_host():
    spec = show.mix_chart(STUDENT, TEACHER, IMAGES, CLASSES, LABELS).spec
    assert not re.search(r"https?:|\$schema", str(spec))
