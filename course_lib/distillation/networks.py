"""Trained networks as files: a teacher for other distillations, students to be used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_lib.data import Dataset
from course_lib.errors import CourseError
from course_lib.files import save_atomically
from course_lib.models import alexnet


def settings_of(dataset: Dataset, width: float, dropout: float) -> dict[str, Any]:
    """What ``alexnet`` is called with for a data set, as values that a file can hold."""
    return {
        "image_shape": list(dataset.image_shape),
        "num_classes": dataset.num_classes,
        "width": width,
        "dropout": dropout,
    }


def save_network(path: Path, model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Write a network's settings and weights, for ``load_network``.

    Raises:
        CourseError: the file cannot be written.
    """
    weights = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    save_atomically(path, {"settings": dict(settings), "weights": weights})


def load_network(path: str | Path, dataset: Dataset | None = None) -> nn.Module:
    """A teacher or student from a file that a distillation left behind, on the CPU and in eval mode.

    Its inputs are images normalised with mean and standard deviation of the data set's training images, as
    ``Examples.batch`` and ``Examples.inputs`` give them.

    Args:
        path: such as "build/distill/teacher.pt" or "build/distill/student/seed-0.pt".
        dataset: whose images and classes it must be for, if given.

    Raises:
        CourseError: the file is missing, holds no such network, or one for other images or classes.
    """
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"path must be the file of a network, got {path}, which is none")
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        settings = kept["settings"]
        made_for = tuple(settings["image_shape"]), settings["num_classes"]
        model = alexnet(**settings)
        model.load_state_dict(kept["weights"])
    except Exception as error:  # whatever comes of what a stranger wrote
        raise CourseError(f"{path} holds no network of course distill ({type(error).__name__})") from error
    if dataset is not None and made_for != (dataset.image_shape, dataset.num_classes):
        raise CourseError(
            f"{path} holds a network for {made_for[0]} and {made_for[1]} classes, not for {dataset.title} with "
            f"{dataset.image_shape} and {dataset.num_classes}"
        )
    return model.eval()
