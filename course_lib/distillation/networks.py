"""Trained networks as files: a teacher for other distillations, students to be used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_lib.data import Dataset
from course_lib.errors import CourseError
from course_lib.files import content_hash, save_atomically
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
    content = {"settings": dict(settings), "weights": weights, "checksum": content_hash(*weights.values())}
    if not path.is_file() or _read(path).get("checksum") != content["checksum"]:
        save_atomically(path, content)


def load_network(path: str | Path, dataset: Dataset | None = None) -> nn.Module:
    """A teacher or student from a file that a distillation left behind, on the CPU and in eval mode.

    Its inputs are images normalised with mean and standard deviation of the data set's training images, as
    ``Examples.batch`` and ``Examples.inputs`` give them.

    Args:
        path: such as "build/distill/teacher.pt" or "build/distill/student/seed-0.pt".
        dataset: whose images and classes it must be for, if given.

    Raises:
        CourseError: the file is missing, damaged, holds no such network, one that is not trained to finite weights, or
            one for other images or classes.
    """
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"no network can be read from {path}: it is not a file")
    kept = _read(path)
    try:
        settings, weights = kept["settings"], kept["weights"]
        made_for = tuple(settings["image_shape"]), settings["num_classes"]
        model = alexnet(**settings)
        model.load_state_dict(weights)
        whole = kept["checksum"] == content_hash(*weights.values())
    except Exception as error:  # whatever comes of what a stranger wrote
        raise CourseError(f"{path} holds no network of course distill ({type(error).__name__})") from error
    if not whole or not all(torch.isfinite(value).all() for value in weights.values()):
        raise CourseError(f"{path} is damaged: its weights are not those that were written, or not finite")
    if dataset is not None and made_for != (dataset.image_shape, dataset.num_classes):
        raise CourseError(
            f"{path} holds a network for {made_for[0]} and {made_for[1]} classes, not for {dataset.title} with "
            f"{dataset.image_shape} and {dataset.num_classes}"
        )
    return model.eval()


def _read(path: Path) -> dict[str, Any]:
    """What a file holds, if it is of any use."""
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever is thrown by what a stranger wrote
        return {}
    return kept if isinstance(kept, dict) else {}
