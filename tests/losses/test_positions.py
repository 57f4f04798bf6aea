"""Sequences and maps: a class at every position, positions that do not count, shares of classes instead of one."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from course_lib.errors import CourseError
from course_lib.losses import NO_LABEL, hard_label_loss, logit_loss, soft_target_loss

SHAPES = {"examples": (6, 5), "sequences": (4, 7, 5), "maps": (2, 5, 3, 4)}


def numbers(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def as_rows(logits):
    """All positions below each other, (M, C), by the definition of each shape."""
    return logits.permute(0, 2, 3, 1).flatten(0, 2) if logits.ndim == 4 else logits.flatten(0, -2)


def positions(shape):
    return {2: shape[:1], 3: shape[:2], 4: (shape[0], *shape[2:])}[len(shape)]


@pytest.fixture(params=SHAPES)
def shape(request):
    return SHAPES[request.param]


def classes(shape):
    return torch.randint(0, 5, positions(shape), generator=torch.Generator().manual_seed(2))


def some(shape):
    return torch.rand(positions(shape), generator=torch.Generator().manual_seed(3)) < 0.6


def test_labels_are_cross_entropy_at_every_position(shape):
    logits, labels = numbers(shape), classes(shape)
    wanted = F.cross_entropy(as_rows(logits), labels.flatten())
    torch.testing.assert_close(hard_label_loss(logits, labels), wanted)


def test_positions_without_label_or_outside_the_mask_do_not_count(shape):
    logits, labels, mask = numbers(shape), classes(shape), some(shape)
    wanted = F.cross_entropy(as_rows(logits)[mask.flatten()], labels[mask])
    torch.testing.assert_close(hard_label_loss(logits, labels, mask), wanted)
    unknown = labels.masked_fill(~mask, NO_LABEL)
    torch.testing.assert_close(hard_label_loss(logits, unknown), wanted)
    torch.testing.assert_close(F.cross_entropy(as_rows(logits), unknown.flatten()), wanted)


def test_nothing_that_counts_costs_nothing(shape):
    logits = numbers(shape).requires_grad_()
    loss = hard_label_loss(logits, torch.full(positions(shape), NO_LABEL))
    (slope,) = torch.autograd.grad(loss, logits)
    assert loss == 0
    assert not slope.any()


def test_shares_of_classes_are_cross_entropy_with_probabilities(shape):
    logits, place = numbers(shape), 1 if len(shape) == 4 else -1
    shares = numbers(shape, seed=4).softmax(dim=place)
    wanted = F.cross_entropy(as_rows(logits), as_rows(shares))
    torch.testing.assert_close(hard_label_loss(logits, shares), wanted)


@pytest.mark.parametrize("loss", [logit_loss, lambda s, t, mask=None: soft_target_loss(s, t, 3.0, mask)])
def test_losses_of_a_teacher_are_the_loss_of_all_positions_that_count(loss, shape):
    student, teacher, mask = numbers(shape), numbers(shape, seed=1), some(shape)
    torch.testing.assert_close(loss(student, teacher), loss(as_rows(student), as_rows(teacher)))
    rows = (as_rows(each)[mask.flatten()] for each in (student, teacher))
    torch.testing.assert_close(loss(student, teacher, mask), loss(*rows))


def test_gradients_are_those_of_finite_differences(shape):
    student, teacher, mask, labels = numbers(shape), numbers(shape, seed=1), some(shape), classes(shape)
    for loss in (
        lambda z: hard_label_loss(z, labels, mask),
        lambda z: soft_target_loss(z, teacher, 3.0, mask),
        lambda z: logit_loss(z, teacher, mask),
    ):
        assert gradcheck(loss, student.clone().requires_grad_())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z, c: hard_label_loss(z, c[:, :3]), r"indices of shape \(4, 7\), or shares .*got .*\(4, 3\)"),
        (lambda z, c: hard_label_loss(z, c, torch.ones(4, 7)), r"mask must be a torch.bool .*\(4, 7\), got"),
        (lambda z, c: hard_label_loss(z[..., :1], c), "C ≥ 2"),
        (lambda z, c: soft_target_loss(z, z[:, :3], 2.0), "the shape of student_logits"),
        (lambda z, c: logit_loss(z, z.long()), "teacher_logits must be a floating-point tensor"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, message):
    with pytest.raises(CourseError, match=message) as caught:
        call(numbers((4, 7, 5)), classes((4, 7, 5)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("student", "teacher", "words"),
    [
        (
            (4, 7, 5),
            torch.zeros(4, 7, 5).long(),
            r"teacher_logits must be .*\(4, 7, 5\), got torch.int64 \(4, 7, 5\)",
        ),
        (
            (4, 7, 5),
            torch.zeros(4, 7, 6),
            r"teacher_logits must be .*\(4, 7, 5\), got torch.float32 \(4, 7, 6\)",
        ),
        ((4, 7, 5), [1.0], r"teacher_logits must be .*\(4, 7, 5\), got list"),
        ((0, 7, 5), torch.zeros(0, 7, 5), r"N ≥ 1 and C ≥ 2, got \(0, 7, 5\)"),
        ((4, 7, 1), torch.zeros(4, 7, 1), r"N ≥ 1 and C ≥ 2, got \(4, 7, 1\)"),
        ((4, 1, 7, 5), torch.zeros(4, 1, 7, 5), r"N ≥ 1 and C ≥ 2, got \(4, 1, 7, 5\)"),
    ],
)
def test_logits_of_sequences_and_maps_are_looked_at(student, teacher, words):
    for loss in (logit_loss, lambda z, y: soft_target_loss(z, y, 2.0)):
        with pytest.raises(CourseError, match=words):
            loss(torch.zeros(student), teacher)


def test_one_position_and_two_classes_will_do():
    assert logit_loss(torch.ones(1, 1, 2), torch.zeros(1, 1, 2)) == 2
    assert logit_loss(torch.ones(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)) == 2
