"""A trained network, examined: the numbers that a report holds about it."""

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from course_lib.data import Dataset
from course_lib.distillation.report import Student
from course_lib.measure import accuracy, scores
from course_lib.training import Run, shared_logits


def examined(run: Run, dataset: Dataset, of_teacher: Tensor, fabric: Fabric) -> Student:
    """What the report says about a network.

    Args:
        run: its training.
        dataset: whose validation and test images it is asked about.
        of_teacher: the teacher's logits of the test images.
        fabric: whose processes share the work.
    """
    test = scores(shared_logits(run.model, dataset.test, fabric), dataset.test.labels, of_teacher)
    assert test.agreement is not None  # with a teacher
    validation = shared_logits(run.model, dataset.validation, fabric)
    return Student(
        seed=run.seed,
        parameters=sum(each.numel() for each in run.model.parameters()),
        test_accuracy=100 * test.accuracy,
        test_loss=test.loss,
        test_agreement=100 * test.agreement,
        test_calibration_error=100 * test.calibration_error,
        validation_accuracy=100 * float(accuracy(validation, dataset.validation.labels)),
        seconds=run.seconds,
        steps=len(next(iter(run.history.values()), ())),
        watched=run.watched,
        losses={name: _thinned(values) for name, values in run.history.items()},
    )


def _thinned(values: Any, points: int = 50) -> list[float]:
    """Means over at most ``points`` equal stretches of the training, for a figure."""
    stretches = torch.as_tensor(values).tensor_split(min(points, len(values)))
    return [float(f"{float(each.mean()):.5g}") for each in stretches]
