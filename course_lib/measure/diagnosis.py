"""Four numbers that tell why a student is as good as it is: under-training, overfitting, imitation, confidence."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.data import Examples
from course_lib.errors import CourseError
from course_lib.measure.calibration import confidence_gap
from course_lib.measure.quality import accuracy, agreement
from course_lib.training import Run, Runs
from course_lib.training import teacher_logits as logits_of


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Four numbers of every student, each (students,) float64.

    Attributes:
        train: share of right answers on the student's own training images; far below 1, it is under-trained.
        test: share of right answers on test images; far below ``train``, it overfits.
        agreement: share of test images on which it gives the teacher's answer. It follows accuracy where both are often
            right; only what goes beyond that of an equally good student on labels is imitation. None where no teacher
            was given.
        confidence_gap: mean confidence − accuracy on test images; above 0, it is too sure of itself.
    """

    train: Tensor
    test: Tensor
    agreement: Tensor | None
    confidence_gap: Tensor


def diagnose(
    students: Runs | Run | nn.Module,
    seen: Examples | Sequence[Examples],
    test: Examples,
    teacher_logits: Tensor | None = None,
) -> Diagnosis:
    """The four diagnostic numbers of students.

    Args:
        students: what ``fit_many`` or ``fit`` gave, or a network.
        seen: the images they were trained on with labels; one set for all, or one per student.
        test: images that they were not trained on.
        teacher_logits: the teacher's for ``test``, (N, C), for the agreement.

    Raises:
        CourseError: not one set of training images for all, or one per student.

    Examples:
        >>> found = measure.diagnose(models.small_mlp(), digits.train, digits.test)
        >>> 0 <= found.test.item() <= 1
        True
    """
    networks = _networks(students)
    sets = [seen] * len(networks) if isinstance(seen, Examples) else list(seen)
    if len(sets) != len(networks):
        raise CourseError(f"seen must be one set, or one per student ({len(networks)}), got {len(sets)} sets")
    fitted = [
        accuracy(logits_of(network, own), own.labels) for network, own in zip(networks, sets, strict=True)
    ]
    answers = torch.stack([logits_of(network, test) for network in networks])  # (students, N, C)
    return Diagnosis(
        train=torch.stack(fitted),
        test=accuracy(answers, test.labels),
        agreement=None if teacher_logits is None else agreement(answers, teacher_logits),
        confidence_gap=confidence_gap(answers, test.labels),
    )


def _networks(students: Runs | Run | nn.Module) -> list[nn.Module]:
    if isinstance(students, Runs):
        return [students.model(number) for number in range(len(students))]
    network = students.model if isinstance(students, Run) else students
    if not isinstance(network, nn.Module):
        raise CourseError(
            f"students must be what fit or fit_many gave, or a network, got {type(students).__name__}"
        )
    return [network]
