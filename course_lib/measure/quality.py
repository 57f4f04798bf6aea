"""How good a network's answers are: accuracy, agreement with the teacher, calibration, confusion.

Logits and labels may lie on different devices: everything is computed on the CPU, in float64 where it matters.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.data import Examples
from course_lib.errors import CourseError, check_count
from course_lib.losses import NO_LABEL, hard_label_loss
from course_lib.training import teacher_logits as logits_of


@dataclass(frozen=True)
class Scores:
    """What a network achieves on a set of examples.

    Attributes:
        loss: cross-entropy with the labels, in nats, mean over examples.
        accuracy: share of right answers.
        agreement: share of examples on which it gives the teacher's answer, None where no teacher was given.
        calibration_error: expected calibration error with 15 bins.
        confusion: counts, (C, C), a row per true class.
    """

    loss: float
    accuracy: float
    agreement: float | None
    calibration_error: float
    confusion: Tensor


def accuracy(logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Share of right answers, of examples or of positions.

    Args:
        logits: (..., N, C), any number of leading dimensions, e.g. one for the students; of sequences (..., N, L, C),
            of maps (..., N, C, H, W).
        labels: class indices, (N,), (N, L) or (N, H, W); -100 where there is none, which then does not count.
        mask: torch.bool, in the shape of the labels: which of them count. All if None.

    Returns:
        float64, one value per leading index: (...).

    Raises:
        CourseError: the shapes or types do not fit, nothing counts, a label is not a class, or a logit is NaN.

    Examples:
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
        >>> measure.accuracy(logits, labels)
        tensor(0.5000, dtype=torch.float64)
    """
    logits, labels = _on_cpu(logits, labels)
    if mask is not None and (not isinstance(mask, Tensor) or mask.dtype != torch.bool):
        raise CourseError(
            f"mask must be a torch.bool tensor, got {mask.dtype if isinstance(mask, Tensor) else type(mask).__name__}"
        )
    if labels.ndim == 3 and logits.ndim >= 4:
        logits = logits.movedim(-3, -1)  # the classes of maps come after the examples
    fits = logits.ndim > labels.ndim >= 1 and logits.shape[-labels.ndim - 1 : -1] == labels.shape
    if not fits or not len(labels) or (mask is not None and mask.shape != labels.shape):
        raise CourseError(
            f"logits must have shape (..., N, C) and labels (N,) with N ≥ 1, "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    counted = labels != NO_LABEL if mask is None else (labels != NO_LABEL) & mask.cpu()
    if not counted.any():
        raise CourseError("labels must hold at least one class that counts, got none")
    flat, known = logits.flatten(-labels.ndim - 1, -2), counted.flatten()
    flat, labels = flat[..., known, :], labels.flatten()[known]
    _check_values(flat, labels)
    return (flat.argmax(dim=-1) == labels).double().mean(dim=-1)


def agreement(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Share of examples on which student (..., N, C) and teacher (N, C) choose the same class, shape (...).

    Stanton et al., "Does Knowledge Distillation Really Work?", 2021.

    Raises:
        CourseError: the shapes do not fit.
    """
    for name, value in (("student_logits", student_logits), ("teacher_logits", teacher_logits)):
        if not isinstance(value, Tensor):
            raise CourseError(f"{name} must be a tensor, got {type(value).__name__}")
    if student_logits.ndim < 2 or student_logits.shape[-2:] != teacher_logits.shape:
        raise CourseError(
            f"student_logits must have shape (..., N, C) and teacher_logits (N, C), "
            f"got {tuple(student_logits.shape)} and {tuple(teacher_logits.shape)}"
        )
    if teacher_logits.isnan().any():
        raise CourseError("teacher_logits must be numbers, got NaN")
    return accuracy(student_logits, teacher_logits.argmax(dim=-1))


def expected_calibration_error(logits: Tensor, labels: Tensor, *, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy over equal bins of confidence, weighted by their share of examples.

    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017.

    Args:
        logits: (N, C).
        labels: (N,) class indices.
        bins: number of bins of [0, 1].

    Returns:
        A number in [0, 1]; 0 is perfect.

    Raises:
        CourseError: shapes do not fit, a probability is not a number, or fewer than one bin.
    """
    logits, labels = checked_pair(logits, labels)
    check_count(bins=bins)
    sure = confidence(logits)
    place = (sure * bins).long().clamp(max=bins - 1)  # complete certainty belongs to the last bin
    gaps = sure - (logits.argmax(dim=-1) == labels).double()
    return float(gaps.new_zeros(bins).index_add(0, place, gaps).abs().sum() / len(labels))


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """How often each true class (row) was answered with each class (column), counts (C, C) int64.

    Raises:
        CourseError: logits are not (N, C), or labels not (N,).
    """
    logits, labels = checked_pair(logits, labels)
    classes = logits.shape[-1]
    pairs = labels.long() * classes + logits.argmax(dim=-1)
    return pairs.bincount(minlength=classes**2).view(classes, classes)


def evaluate(model: nn.Module, examples: Examples, teacher_logits: Tensor | None = None) -> Scores:
    """All scores of a network on a set of examples, in eval mode and without gradients.

    Args:
        model: network with logits (N, C).
        examples: labelled examples.
        teacher_logits: the teacher's logits for the same examples, (N, C), for the agreement.
    """
    return scores(logits_of(model, examples), examples.labels, teacher_logits)


def scores(logits: Tensor, labels: Tensor, teacher_logits: Tensor | None = None) -> Scores:
    """All scores of logits (N, C) that a network gave for examples with labels (N,).

    Args:
        logits: of the network.
        labels: class indices.
        teacher_logits: the teacher's for the same examples, (N, C), for the agreement.

    Raises:
        CourseError: a shape or type does not fit, a label is not a class, or a logit is NaN.
    """
    logits, labels = checked_pair(logits, labels)
    return Scores(
        loss=float(hard_label_loss(logits, labels)),
        accuracy=float(accuracy(logits, labels)),
        agreement=None if teacher_logits is None else float(agreement(logits, teacher_logits)),
        calibration_error=expected_calibration_error(logits, labels),
        confusion=confusion(logits, labels),
    )


def checked_pair(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, C) and labels (N,) of the same examples, on the CPU and without graph; refuses anything else."""
    logits, labels = _on_cpu(logits, labels)
    if logits.ndim != 2 or labels.ndim != 1 or len(logits) != len(labels) or len(labels) == 0:
        raise CourseError(
            f"logits must have shape (N, C) and labels (N,) with N ≥ 1, "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    _check_values(logits, labels)
    return logits, labels


def confidence(logits: Tensor) -> Tensor:
    """The largest probability of each example of (..., N, C), (..., N) float64."""
    largest = torch.softmax(logits.double(), dim=-1).amax(dim=-1)
    if largest.isnan().any():
        raise CourseError("logits must have a largest number that is finite, got infinity")
    return largest


def _on_cpu(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    for name, value in (("logits", logits), ("labels", labels)):
        if not isinstance(value, Tensor):
            raise CourseError(f"{name} must be a tensor, got {type(value).__name__}")
    if labels.dtype == torch.bool or labels.is_floating_point() or labels.is_complex():
        raise CourseError(f"labels must be class indices, whole numbers, got {labels.dtype}")
    return logits.detach().cpu(), labels.cpu()


def _check_values(logits: Tensor, labels: Tensor) -> None:
    if logits.isnan().any():  # argmax would take NaN for the largest, and a broken network would score
        raise CourseError("logits must be numbers, got NaN")
    low, high = torch.aminmax(labels)
    if low < 0 or high >= logits.shape[-1]:
        raise CourseError(f"labels must lie between 0 and {logits.shape[-1] - 1}, got {low} to {high}")
