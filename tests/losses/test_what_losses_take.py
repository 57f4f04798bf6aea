"""Every loss looks at each of its arguments: logits, labels and masks of another kind are one sentence."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from course_lib.errors import CourseError
from course_lib.losses import (
    confidence_weighted_loss,
    double_backpropagation_loss,
    gradient_matching_loss,
    gradient_penalty_loss,
    hard_label_loss,
    input_gradient_loss,
    logit_loss,
    smoothed_label_loss,
    soft_target_loss,
    spherical_soft_target_loss,
)

GOOD, LABELS = torch.zeros(3, 4), torch.tensor([0, 3, 1])
INPUTS = torch.zeros(3, 4, requires_grad=True)

OF_LABELS = {
    "hard": lambda z, c: hard_label_loss(z, c),
    "smoothed": lambda z, c: smoothed_label_loss(z, c, 0.2),
    "confidence weighted": lambda z, c: confidence_weighted_loss(z, GOOD, c),
    "double backpropagation": lambda z, c: double_backpropagation_loss(z, c, INPUTS),
}
OF_TEACHERS = {
    "confidence weighted": lambda z, y: confidence_weighted_loss(z, y, LABELS),
    "logit": logit_loss,
    "soft": lambda z, y: soft_target_loss(z, y, 2.0),
    "spherical": lambda z, y: spherical_soft_target_loss(z, y, 2.0),
}
WITH_MASK = {
    "hard": lambda mask: hard_label_loss(GOOD, LABELS, mask),
    "logit": lambda mask: logit_loss(GOOD, GOOD, mask),
    "soft": lambda mask: soft_target_loss(GOOD, GOOD, 2.0, mask),
}


@pytest.mark.parametrize("name", OF_LABELS)
@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS.float(), r"labels must be torch.int64 .*\(3,\).* got torch.float32 \(3,\)"),
        (LABELS.int(), r"labels must be torch.int64 .* got torch.int32 \(3,\)"),
        (LABELS[:2], r"labels must be torch.int64 .* got torch.int64 \(2,\)"),
        (LABELS[:, None], r"labels must be torch.int64 .* got torch.int64 \(3, 1\)"),
        ([0, 3, 1], "labels must be torch.int64 .* got list"),
    ],
)
def test_labels_are_class_indices_of_each_example(name, labels, words):
    with pytest.raises(CourseError, match=words):
        OF_LABELS[name](INPUTS * 1, labels)


@pytest.mark.parametrize("name", sorted(OF_LABELS.keys() - {"hard"}))
def test_only_hard_labels_may_be_shares(name):
    with pytest.raises(CourseError, match=r"labels must be torch.int64 .* got torch.float32 \(3, 4\)"):
        OF_LABELS[name](INPUTS * 1, torch.full((3, 4), 0.25))


def test_shares_may_be_zero_and_mixed():
    student = torch.tensor([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]])
    labels = torch.tensor([2, 0])
    hard = hard_label_loss(student, labels)
    assert torch.equal(hard_label_loss(student, torch.nn.functional.one_hot(labels, 3).float()), hard)


@pytest.mark.parametrize("name", OF_LABELS)
@pytest.mark.parametrize(
    ("student", "words"),
    [
        (GOOD.long(), "student_logits must be a floating-point tensor.* got torch.int64"),
        ([[1.0, 2.0]], "student_logits must be a floating-point tensor.* got list"),
        (GOOD[:, :1], r"student_logits must have shape .* C ≥ 2.* got \(3, 1\)"),
        (GOOD[:0], r"student_logits must have shape .* N ≥ 1.* got \(0, 4\)"),
    ],
)
def test_what_is_compared_with_labels_are_logits(name, student, words):
    with pytest.raises(CourseError, match=words):
        OF_LABELS[name](student, LABELS)


@pytest.mark.parametrize("name", OF_TEACHERS)
@pytest.mark.parametrize(
    ("student", "teacher", "words"),
    [
        (GOOD.long(), GOOD, "student_logits must be a floating-point tensor.* got torch.int64"),
        (GOOD, GOOD.long(), "teacher_logits must be a floating-point tensor.* got torch.int64"),
        (GOOD, GOOD[:, :3], r"teacher_logits must have the shape of student_logits, \(3, 4\), got \(3, 3\)"),
        (GOOD, [1.0], "teacher_logits must be a floating-point tensor.* got list"),
    ],
)
def test_what_is_compared_with_a_teacher_are_logits_of_one_shape(name, student, teacher, words):
    with pytest.raises(CourseError, match=words):
        OF_TEACHERS[name](student, teacher)


@pytest.mark.parametrize("name", WITH_MASK)
@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.ones(3), r"mask must be a torch.bool tensor of shape \(3,\), got torch.float32 \(3,\)"),
        (torch.ones(3, 4, dtype=torch.bool), r"mask must be .* got torch.bool \(3, 4\)"),
        ([True] * 3, "mask must be .* got list"),
    ],
)
def test_a_mask_is_true_or_false_for_each_example(name, mask, words):
    with pytest.raises(CourseError, match=words):
        WITH_MASK[name](mask)


def test_an_input_gradient_is_that_of_logits_also_of_a_single_one():
    with pytest.raises(CourseError, match=r"student_logits must be a floating-point tensor.* got list"):
        input_gradient_loss([[1.0]], INPUTS)
    assert input_gradient_loss((3 * INPUTS)[:, :1], INPUTS).item() == pytest.approx(9)


def test_gradients_are_matched_at_one_tensor():
    with pytest.raises(CourseError, match="inputs must be one tensor, got list"):
        gradient_matching_loss(INPUTS * 1, [INPUTS], torch.zeros(3, 4, 4), torch.eye(4))


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, value: hard_label_loss(z, value.expand(3, 4)),
        lambda z, value: soft_target_loss(z, GOOD, value),
        lambda z, value: smoothed_label_loss(z, LABELS, value),
        lambda z, value: gradient_penalty_loss(z * z, z, torch.eye(4), value),
    ],
)
def test_a_step_that_is_recorded_is_not_looked_at(loss):
    """What stands for a value in a recording has none yet."""
    student, value = torch.ones(3, 4, requires_grad=True), torch.tensor(0.25)
    replay = make_fx(loss)(student, value)
    assert replay(student, value * 2).item() == pytest.approx(loss(student, value * 2).item())
