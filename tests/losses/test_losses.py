"""Losses against closed forms and float64 finite differences, and the properties the course teaches about them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.errors import CourseError
from course_lib.losses import (
    angle_loss,
    confidence_weighted_loss,
    double_backpropagation_loss,
    hard_label_loss,
    logit_loss,
    magnitude_loss,
    radius_loss,
    smoothed_label_loss,
    soft_target_loss,
    spherical_soft_target_loss,
)
from course_lib.losses.common import at_labels, check_finite, check_positive

LOSSES = {
    "hard": lambda z, y, c: hard_label_loss(z, c),
    "smoothed": lambda z, y, c: smoothed_label_loss(z, c, 0.2),
    "confidence weighted": lambda z, y, c: confidence_weighted_loss(z, y, c),
    "logit": lambda z, y, c: logit_loss(z, y),
    "soft T=1": lambda z, y, c: soft_target_loss(z, y, 1.0),
    "soft T=4": lambda z, y, c: soft_target_loss(z, y, 4.0),
    "soft T=0.5": lambda z, y, c: soft_target_loss(z, y, 0.5),
}


def example(seed=0, n=5, classes=4, scale=3.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    student = scale * torch.randn(n, classes, generator=generator, dtype=dtype)
    teacher = scale * torch.randn(n, classes, generator=generator, dtype=dtype)
    labels = torch.randint(classes, (n,), generator=generator)
    return student, teacher, labels


def softmax(row, temperature=1.0):
    """Plain Python, so that the tests do not lean on the code they test."""
    top = max(row)
    weights = [math.exp((value - top) / temperature) for value in row]
    return [weight / sum(weights) for weight in weights]


def test_hard_label_loss_is_the_mean_negative_log_probability_of_the_label():
    student, _, labels = example()
    rows = student.tolist()
    expected = -sum(math.log(softmax(row)[c]) for row, c in zip(rows, labels.tolist(), strict=True)) / len(
        rows
    )
    assert hard_label_loss(student, labels).item() == pytest.approx(expected, rel=1e-12)


def test_smoothed_label_loss_is_the_cross_entropy_with_labels_mixed_with_even_shares():
    student, _, labels = example()
    rows, smoothing = student.tolist(), 0.2
    total = 0.0
    for row, c in zip(rows, labels.tolist(), strict=True):
        targets = [(1 - smoothing) * (place == c) + smoothing / len(row) for place in range(len(row))]
        total -= sum(share * math.log(q) for share, q in zip(targets, softmax(row), strict=True))
    assert smoothed_label_loss(student, labels, smoothing).item() == pytest.approx(
        total / len(rows), rel=1e-12
    )
    assert torch.equal(smoothed_label_loss(student, labels, 0.0), hard_label_loss(student, labels))


def test_confidence_weighted_loss_is_the_cross_entropy_weighted_by_the_teachers_largest_probability():
    student, teacher, labels = example()
    weights = [max(softmax(row)) for row in teacher.tolist()]
    losses = [-math.log(softmax(row)[c]) for row, c in zip(student.tolist(), labels.tolist(), strict=True)]
    expected = sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)
    assert confidence_weighted_loss(student, teacher, labels).item() == pytest.approx(expected, rel=1e-12)
    even = torch.zeros_like(teacher)
    assert confidence_weighted_loss(student, even, labels).item() == pytest.approx(
        hard_label_loss(student, labels).item(), rel=1e-12
    )


def test_logit_loss_sums_over_classes_and_averages_over_examples():
    student = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    teacher = torch.tensor([[0.0, 4.0], [3.0, 0.0]])
    assert logit_loss(student, teacher).item() == (1 + 4 + 9) / 2


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 20.0])
def test_soft_target_loss_is_the_divergence_times_the_temperature_squared(temperature):
    student, teacher, _ = example()
    expected = 0.0
    for q_row, p_row in zip(student.tolist(), teacher.tolist(), strict=True):
        q, p = softmax(q_row, temperature), softmax(p_row, temperature)
        expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / len(student)
    expected *= temperature**2
    assert soft_target_loss(student, teacher, temperature).item() == pytest.approx(expected, rel=1e-10)


def test_the_divergence_is_taken_from_the_teacher_to_the_student():
    confident, flat = torch.tensor([[8.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    # KL(teacher ‖ student) punishes a student that is sure where the teacher is not: log(1/2) against log q = −8.
    assert soft_target_loss(confident, flat, 1.0).item() == pytest.approx(4 - math.log(2), abs=1e-3)
    assert soft_target_loss(flat, confident, 1.0).item() == pytest.approx(math.log(2), abs=4e-3)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_against_float64_finite_differences(name):
    student, teacher, labels = example(seed=1)
    loss = LOSSES[name]
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(student, teacher, labels), student)
    step = 1e-6
    with torch.no_grad():
        for i in range(student.shape[0]):
            for j in range(student.shape[1]):
                bump = torch.zeros_like(student)
                bump[i, j] = step
                above, below = loss(student + bump, teacher, labels), loss(student - bump, teacher, labels)
                difference = (above - below).item() / (2 * step)
                assert gradient[i, j].item() == pytest.approx(difference, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", LOSSES)
def test_second_derivatives_exist(name):
    student, teacher, labels = example(seed=2, n=3)
    student.requires_grad_()
    assert torch.autograd.gradgradcheck(lambda z: LOSSES[name](z, teacher, labels), student)


logits = st.lists(st.lists(st.floats(-30, 30), min_size=3, max_size=3), min_size=2, max_size=2)


@given(logits, logits, st.floats(0.25, 50), st.floats(-100, 100))
def test_soft_targets_do_not_see_a_shift_of_all_logits(student, teacher, temperature, shift):
    student, teacher = (torch.tensor(value, dtype=torch.float64) for value in (student, teacher))
    before = soft_target_loss(student, teacher, temperature)
    assert torch.allclose(
        soft_target_loss(student + shift, teacher, temperature), before, rtol=1e-6, atol=1e-7
    )
    assert torch.allclose(
        soft_target_loss(student, teacher - shift, temperature), before, rtol=1e-6, atol=1e-7
    )


@given(logits, logits, st.floats(0.25, 50))
def test_soft_target_loss_is_never_negative_and_zero_at_equality(student, teacher, temperature):
    student, teacher = (torch.tensor(value, dtype=torch.float64) for value in (student, teacher))
    assert soft_target_loss(student, teacher, temperature) >= -1e-10
    assert soft_target_loss(teacher, teacher, temperature) == 0


def test_zero_of_the_soft_target_loss_is_a_minimum():
    _, teacher, _ = example(seed=3)
    student = teacher.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(soft_target_loss(student, teacher, 3.0), student)
    assert gradient.abs().max() < 1e-12


def test_temperature_squared_keeps_the_scale_of_the_gradient():
    student, teacher, _ = example(seed=4, scale=1.0)
    student.requires_grad_()
    norms = []
    for temperature in (10.0, 100.0):
        (gradient,) = torch.autograd.grad(soft_target_loss(student, teacher, temperature), student)
        norms.append(gradient.norm().item())
    assert norms[1] == pytest.approx(norms[0], rel=0.1)


@pytest.mark.parametrize("classes", [2, 10])
def test_limit_of_high_temperature_is_the_centred_logit_loss_over_2c(classes):
    student, teacher, _ = example(seed=5, classes=classes)
    centred = logit_loss(student - student.mean(1, keepdim=True), teacher - teacher.mean(1, keepdim=True))
    assert soft_target_loss(student, teacher, 1e4).item() == pytest.approx(
        centred.item() / (2 * classes), rel=1e-3
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_extreme_logits_give_finite_values_and_gradients(name, dtype):
    student = torch.tensor([[1e4, -1e4, 0.0]], dtype=dtype, requires_grad=True)
    teacher = torch.tensor([[-1e4, 1e4, 0.0]], dtype=dtype)
    value = LOSSES[name](student, teacher, torch.tensor([1]))
    (gradient,) = torch.autograd.grad(value, student)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(name, dtype):
    student, teacher, labels = example(seed=6)
    student, teacher = student.to(dtype), teacher.to(dtype)
    value = LOSSES[name](student, teacher, labels)
    assert value.dtype == torch.float32
    # The same half-precision inputs, computed exactly: only float32 rounding may differ.
    assert value.item() == pytest.approx(
        LOSSES[name](student.double(), teacher.double(), labels).item(), rel=1e-5
    )


@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"confidence weighted"}))  # weighs its examples
def test_a_batch_is_the_mean_of_its_examples(name):
    student, teacher, labels = example(seed=7)
    single = [
        LOSSES[name](student[i : i + 1], teacher[i : i + 1], labels[i : i + 1]) for i in range(len(student))
    ]
    assert LOSSES[name](student, teacher, labels).item() == pytest.approx(torch.stack(single).mean().item())


@pytest.mark.parametrize("name", LOSSES)
def test_losses_work_under_vmap(name):
    batches = [example(seed=seed) for seed in range(3)]
    stacked = [torch.stack(part) for part in zip(*batches, strict=True)]
    together = torch.vmap(LOSSES[name])(*stacked)
    assert together.tolist() == pytest.approx([LOSSES[name](*batch).item() for batch in batches])


GOOD = torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: logit_loss(GOOD, torch.zeros(3, 5)),
            r"teacher_logits must have the shape .*\(3, 4\), got \(3, 5\)",
        ),
        (
            lambda: logit_loss(GOOD, GOOD.long()),
            "teacher_logits must be a floating-point tensor.*torch.int64",
        ),
        (lambda: logit_loss([1.0], GOOD), "student_logits must be a floating-point tensor.*list"),
        (lambda: logit_loss(torch.zeros(4), torch.zeros(4)), r"N ≥ 1 and C ≥ 2, got \(4,\)"),
        (lambda: logit_loss(torch.zeros(0, 4), torch.zeros(0, 4)), r"got \(0, 4\)"),
        (lambda: soft_target_loss(GOOD[:, :1], GOOD[:, :1], 1.0), r"C ≥ 2, got \(3, 1\)"),
        (lambda: soft_target_loss(GOOD, GOOD, 0.0), "temperature must be a finite number above 0, got 0.0"),
        (lambda: soft_target_loss(GOOD, GOOD, -1), "temperature .* got -1"),
        (lambda: soft_target_loss(GOOD, GOOD, math.nan), "temperature .* got nan"),
        (lambda: soft_target_loss(GOOD, GOOD, math.inf), "temperature .* got inf"),
        (lambda: soft_target_loss(GOOD, GOOD, "4"), "temperature .* got '4'"),
        (lambda: hard_label_loss(GOOD, torch.zeros(3)), "labels must be torch.int64 .* got torch.float32"),
        (lambda: hard_label_loss(GOOD, torch.zeros(2, dtype=torch.long)), r"shape \(3,\), .*got .*\(2,\)"),
        (lambda: hard_label_loss(GOOD, [0, 1, 2]), "labels .* got list"),
        (lambda: smoothed_label_loss(GOOD, torch.zeros(3).long(), 1.0), r"smoothing .* \[0, 1\), got 1.0"),
        (lambda: smoothed_label_loss(GOOD, torch.zeros(3).long(), "a"), "smoothing .* got 'a'"),
        (lambda: soft_target_loss(GOOD, GOOD, torch.tensor(0.0)), "temperature .* above 0, got 0.0"),
        (lambda: soft_target_loss(GOOD, GOOD, torch.tensor(-2.0)), "temperature .* above 0, got -2.0"),
        (lambda: soft_target_loss(GOOD, GOOD, torch.ones(3)), r"temperature must be a single number.*\(3,\)"),
        (
            lambda: spherical_soft_target_loss(GOOD, GOOD, torch.tensor(-2.0)),
            "temperature .* above 0, got -2.0",
        ),
        (
            lambda: smoothed_label_loss(GOOD, torch.zeros(3).long(), torch.tensor(2.0)),
            r"smoothing .* \[0, 1\), got 2.0",
        ),
        (lambda: hard_label_loss(GOOD, -GOOD - 1), "labels must be shares of the classes.* got -1"),
        (lambda: hard_label_loss(GOOD, GOOD * math.nan), "labels must be shares of the classes.* got nan"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, words):
    with pytest.raises(CourseError, match=words):
        call()


@pytest.mark.parametrize(
    "loss",
    [*LOSSES.values(), lambda z, y, c: spherical_soft_target_loss(z, y, 2.0)]
    + [lambda z, y, c, each=each: each(z, y) for each in (radius_loss, angle_loss, magnitude_loss)],
)
def test_no_gradient_flows_to_the_teacher(loss):
    student, teacher, labels = example()
    student, teacher = student.requires_grad_(), teacher.requires_grad_()
    slopes = torch.autograd.grad(loss(student, teacher, labels), [student, teacher], allow_unused=True)
    assert slopes[0].any()
    assert slopes[1] is None


WITH_LABELS = {
    "hard": lambda z, c: hard_label_loss(z, c),
    "smoothed": lambda z, c: smoothed_label_loss(z, c, 0.2),
    "confidence weighted": lambda z, c: confidence_weighted_loss(z, z, c),
    "double backpropagation": lambda z, c: double_backpropagation_loss(z * 1, c, z),
}


@pytest.mark.parametrize("name", WITH_LABELS)
@pytest.mark.parametrize("label", [4, -1, -100])
def test_a_label_that_is_not_a_class_is_refused(name, label):
    if (name, label) == ("hard", -100):  # there it says that nobody knows the class
        assert hard_label_loss(GOOD, torch.tensor([0, 3, label])) > 0
        return
    logits = GOOD.clone().requires_grad_()
    with pytest.raises(CourseError, match=f"labels must be classes from 0 to 3, got .*index {label} "):
        WITH_LABELS[name](logits, torch.tensor([0, 3, label]))


def test_a_label_that_is_not_a_class_is_refused_of_many_students_at_once():
    labels = torch.tensor([[0, 3, 1], [0, 4, 1]])
    with pytest.raises(CourseError, match="labels must be classes from 0 to 3"):
        torch.vmap(hard_label_loss)(GOOD.expand(2, 3, 4), labels)


def test_an_error_of_pytorchs_own_stays_what_it_is():
    with pytest.raises(RuntimeError, match="same number of dimensions"):
        at_labels(GOOD.t(), torch.zeros(3, 1, dtype=torch.int64))


def test_what_cannot_be_seen_is_not_looked_at():
    check_finite(values=torch.empty(3, device="meta"))  # as on a GPU, looking would be an error here
    check_positive(temperature=torch.empty((), device="meta"))
    student, teacher, labels = example(seed=9)
    for loss in (
        lambda value: soft_target_loss(student, teacher, value),
        lambda value: smoothed_label_loss(student, labels, value),
    ):
        together = torch.vmap(loss)(torch.tensor([0.25, 0.5]))
        assert together.tolist() == pytest.approx([loss(0.25).item(), loss(0.5).item()])


MIXED = [(torch.float32, torch.float64), (torch.float32, torch.bfloat16), (torch.bfloat16, torch.float64)]


@pytest.mark.parametrize(("own", "teachers"), MIXED)
@pytest.mark.parametrize("name", sorted(LOSSES.keys() - {"hard", "smoothed"}))
def test_student_and_teacher_of_different_precision_are_computed_in_the_wider_one(name, own, teachers):
    student, teacher, labels = example(seed=8)
    student, teacher = student.to(own), teacher.to(teachers)
    value = LOSSES[name](student, teacher, labels)
    wanted = LOSSES[name](student.double(), teacher.double(), labels)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert value.dtype == torch.promote_types(torch.promote_types(own, teachers), torch.float32)
