"""What must not be scored: broken logits, labels of no class, and differences that are rounding alone."""

import math

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.measure import accuracy, agreement, compare, confusion, expected_calibration_error, load_curve

LOGITS = torch.eye(3)
LABELS = torch.arange(3)
BROKEN = torch.full((3, 3), math.nan)


@pytest.mark.parametrize("score", [accuracy, confusion, expected_calibration_error])
def test_nan_is_no_answer(score):
    with pytest.raises(CourseError, match="logits must be numbers, got NaN"):
        score(BROKEN, LABELS)


@pytest.mark.parametrize("score", [accuracy, confusion, expected_calibration_error])
@pytest.mark.parametrize("labels", [[0, 1, 3], [-1, 0, 1]])
def test_labels_must_be_classes(score, labels):
    with pytest.raises(CourseError, match="labels must lie between 0 and 2"):
        score(LOGITS, torch.tensor(labels))


def test_agreement_needs_a_teacher_with_the_same_classes_and_finite_answers():
    with pytest.raises(CourseError, match="student_logits must have shape"):
        agreement(LOGITS, torch.eye(3, 4))
    with pytest.raises(CourseError, match="teacher_logits must be numbers"):
        agreement(LOGITS, BROKEN)


def test_rounding_beats_nobody():
    assert compare([0.1 + 0.2] * 3, [0.3] * 3).verdict == "NO DIFFERENCE"
    assert compare([1e-9] * 3, [2e-9] * 3).verdict == "WORSE"


def test_true_is_no_batch_size():
    with pytest.raises(CourseError, match="batch sizes must be integers"):
        load_curve(nn.Linear(2, 2), torch.zeros(1, 2), [True])
