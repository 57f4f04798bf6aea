"""What the studies of AlexNet on photographs share: networks, and teachers that are trained once and kept in a file."""

import logging
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from course_lib.data import Dataset, Examples, Views
from course_lib.distillation import load_network
from course_lib.distillation.networks import save_network, settings_of
from course_lib.models import alexnet
from course_lib.training import Recipe, fit, hard_labels
from studies.study import ROOT

FOLDER = ROOT / "build" / "studies"  # teachers and their answers, both remade if they are gone
PRECISION = "bf16-mixed"


def make_fabric() -> Fabric:
    """One CPU at the studies' precision; Fabric's own messages are silenced."""
    logging.getLogger("lightning").setLevel(logging.ERROR)
    FOLDER.mkdir(parents=True, exist_ok=True)
    return Fabric(accelerator="cpu", devices=1, precision=PRECISION)


def network(dataset: Dataset, width: float, dropout: float = 0.0) -> nn.Module:
    """An AlexNet for these images, in the memory format that convolutions on a CPU like best."""
    return alexnet(**settings_of(dataset, width, dropout)).to(memory_format=torch.channels_last)


def teacher(
    path: Path, dataset: Dataset, taught: Examples, settings: dict[str, Any], fabric: Fabric
) -> nn.Module:
    """The AlexNet in ``path``, trained on hard labels if the file is not there.

    Args:
        path: of the network.
        dataset: gives the shape of the images.
        taught: what it learns from.
        settings: width, dropout, epochs, batch_size, lr, schedule, views (whether images are shifted and mirrored)
            and seed.
        fabric: of the training.
    """
    width, dropout = settings["width"], settings["dropout"]
    if not path.is_file():
        steps = settings["epochs"] * (len(taught) // settings["batch_size"])
        recipe = Recipe(steps, settings["batch_size"], lr=settings["lr"], schedule=settings["schedule"])
        run = fit(
            lambda: network(dataset, width, dropout),
            hard_labels(),
            taught,
            recipe,
            seed=settings["seed"],
            views=Views() if settings["views"] else None,
            fabric=fabric,
        )
        save_network(path, run.model, settings_of(dataset, width, dropout))
    return load_network(path, dataset).to(memory_format=torch.channels_last)
