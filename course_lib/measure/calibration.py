"""Calibration: whether a network that says 80 % is right 80 times of 100, and one number that helps where it is not."""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor

from course_lib.errors import CourseError, check_count
from course_lib.measure.quality import accuracy, checked_pair, confidence

TEMPERATURES = (0.05, 100.0)  # between which the calibrating one is looked for


@dataclass(frozen=True)
class ConfidenceBin:
    """Examples of which a network is about equally sure.

    Attributes:
        confidence: mean of the largest probability.
        accuracy: share of right answers.
        count: number of examples.
    """

    confidence: float
    accuracy: float
    count: int


def confidence_gap(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean confidence − accuracy: above 0 where a network is too sure of itself, below 0 where it is too modest.

    Args:
        logits: (..., N, C).
        labels: (N,) class indices.

    Returns:
        float64, one value per leading index, in [-1, 1]: (...).

    Raises:
        CourseError: as ``accuracy``; a label is missing, or a probability is not a number.
    """
    right = accuracy(logits, labels)
    if labels.ndim != 1 or (labels < 0).any():
        raise CourseError(
            f"labels must be classes of shape (N,), got {tuple(labels.shape)}, or some are missing"
        )
    return confidence(logits.detach().cpu()).mean(dim=-1) - right


def reliability(logits: Tensor, labels: Tensor, *, bins: int = 10) -> list[ConfidenceBin]:
    """Accuracy by confidence, for a reliability diagram; bins without examples are left out.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017.

    Args:
        logits: (N, C).
        labels: (N,) class indices.
        bins: number of equal bins of [0, 1].

    Raises:
        CourseError: shapes do not fit, a probability is not a number, or fewer than one bin.
    """
    logits, labels = checked_pair(logits, labels)
    check_count(bins=bins)
    sure, right = confidence(logits), (logits.argmax(dim=-1) == labels).double()
    place = (sure * bins).long().clamp(max=bins - 1)
    groups = [place == number for number in range(bins)]
    return [
        ConfidenceBin(float(sure[group].mean()), float(right[group].mean()), int(group.sum()))
        for group in groups
        if group.any()
    ]


def calibrating_temperature(logits: Tensor, labels: Tensor) -> float:
    """The one T > 0 for which softmax(z/T) has the least cross-entropy with the labels (temperature scaling).

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017. It changes no answer, only how
    sure the network is; choose it on validation images, never on those that the network was trained on.

    Args:
        logits: (N, C).
        labels: (N,) class indices.

    Returns:
        T, from 0.05 to 100. Where all answers are right, the smaller the better: 0.05.

    Raises:
        CourseError: shapes do not fit, or a probability is not a number.
    """
    logits, labels = checked_pair(logits, labels)
    logits = logits.double()
    confidence(logits)

    def loss(log_temperature: float) -> float:
        return float(F.cross_entropy(logits / math.exp(log_temperature), labels))

    # The loss is convex in 1/T, so that it has one valley in log T, too.
    low, high = (math.log(bound) for bound in TEMPERATURES)
    inside = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return math.exp(min((low, high, float(inside.x)), key=loss))
