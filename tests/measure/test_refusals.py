"""What must not be scored: broken logits, labels of no class, and differences that are rounding alone."""

import math

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.measure import (
    accuracy,
    agreement,
    calibrating_temperature,
    compare,
    confidence_gap,
    confusion,
    confusion_shares,
    cost,
    expected_calibration_error,
    find_peaks,
    load_curve,
    match_places,
    pair_correlation,
    read_maps,
    reliability,
    score_detections,
    scores,
)

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


SCORES = [
    accuracy,
    confusion,
    expected_calibration_error,
    scores,
    confidence_gap,
    reliability,
    calibrating_temperature,
    confusion_shares,
]


@pytest.mark.parametrize("score", SCORES)
def test_what_is_scored_are_tensors_of_logits_and_of_class_indices(score):
    for labels in (LABELS.float(), LABELS.bool(), LABELS + 0j):
        with pytest.raises(
            CourseError, match=f"labels must be class indices, whole numbers, got {labels.dtype}"
        ):
            score(LOGITS, labels)
    with pytest.raises(CourseError, match="labels must be a tensor, got list"):
        score(LOGITS, [0, 1, 2])
    with pytest.raises(CourseError, match="logits must be a tensor, got list"):
        score([[1.0, 0.0]], LABELS)


def test_masks_and_teachers_are_tensors_too():
    with pytest.raises(CourseError, match=r"mask must be a torch.bool tensor, got list"):
        accuracy(LOGITS, LABELS, [True] * 3)
    with pytest.raises(CourseError, match=r"mask must be a torch.bool tensor, got torch.float32"):
        accuracy(LOGITS, LABELS, torch.ones(3))
    with pytest.raises(CourseError, match="teacher_logits must be a tensor, got list"):
        agreement(LOGITS, [1.0])
    with pytest.raises(CourseError, match="student_logits must be a tensor, got list"):
        agreement([1.0], LOGITS)
    with pytest.raises(CourseError, match=r"labels \(N,\) with N ≥ 1, got .*\(\)"):
        accuracy(LOGITS, torch.tensor(1))


@pytest.mark.parametrize("score", [confidence_gap, reliability, calibrating_temperature])
def test_an_infinite_logit_has_no_confidence(score):
    with pytest.raises(CourseError, match="largest number that is finite, got infinity"):
        score(LOGITS + math.inf, LABELS)
    score(torch.tensor([[0.0, -math.inf, 1.0]] * 3), torch.tensor([0, 2, 2]))  # a class that is ruled out


def test_a_confidence_gap_needs_the_label_of_every_example():
    with pytest.raises(CourseError, match=r"labels must be classes of shape \(N,\)"):
        confidence_gap(LOGITS, torch.tensor([0, 1, -100]))
    with pytest.raises(CourseError, match=r"labels must be classes of shape \(N,\), got \(2, 3\)"):
        confidence_gap(LOGITS.expand(2, 3, 3), LABELS.expand(2, 3))


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1, "long"])
@pytest.mark.parametrize("measure", [lambda *given, seconds: load_curve(*given, [1], seconds=seconds), cost])
def test_a_time_that_never_ends_is_not_begun(seconds, measure):
    with pytest.raises(CourseError, match=f"seconds must be a finite number of at least 0, got {seconds!r}"):
        measure(nn.Linear(2, 2), torch.zeros(1, 2), seconds=seconds)


PLACES = torch.rand(2, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: pair_correlation([1], torch.rand(3, 3)), "first must be a tensor of numbers, got list"),
        (lambda: pair_correlation(torch.rand(3, 3), BROKEN), "second must be a tensor of numbers, got NaN"),
        (lambda: find_peaks(torch.rand(3, 3), math.nan), "threshold must be a number, got nan"),
        (lambda: find_peaks(torch.rand(3, 3), "high"), "threshold must be a number, got 'high'"),
        (lambda: match_places(PLACES * math.nan, PLACES, 1.0), "found must hold numbers, got NaN"),
        (
            lambda: score_detections(PLACES, [0, 1], PLACES, LABELS[:2], 1.0),
            r"found_labels must hold one class per place, \(2,\), got list",
        ),
        (
            lambda: read_maps(torch.zeros(1, 3, 4, 4).long(), window=4, stride=2),
            r"maps must be floating-point logits .* got torch.int64 \(1, 3, 4, 4\)",
        ),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(call, words):
    with pytest.raises(CourseError, match=words):
        call()
