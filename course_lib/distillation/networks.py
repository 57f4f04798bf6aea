"""Networks, AlexNet or any other: how they are made, and as files, for other distillations and for use."""

import hashlib
import importlib
import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.data import Dataset
from course_lib.errors import CourseError
from course_lib.files import content_hash, save_atomically
from course_lib.models import alexnet, evaluating
from course_lib.saved import load_plain
from course_lib.training.functions import name_of_function

# Of one input, far above any image's: nothing is made for what a file only claims.
_MOST_PIXELS = 2**27


@dataclass(frozen=True)
class Builder:
    """How a network is made, again and again.

    Attributes:
        make: the network, with first weights from PyTorch's generator.
        settings: what a file says about it, as plain values: how ``alexnet`` is called, or the name of a function.
    """

    make: Callable[[], nn.Module]
    settings: Mapping[str, Any]

    @property
    def function(self) -> str | None:
        """The name of the function, None for AlexNet."""
        return self.settings.get("function")


def alexnet_builder(dataset: Dataset, width: float, dropout: float) -> Builder:
    """AlexNet for a data set."""
    settings = settings_of(dataset, width, dropout)
    return Builder(lambda: alexnet(**settings), settings)


def own_builder(function: str | Callable[..., nn.Module], dataset: Dataset, who: str) -> Builder:
    """A network of the user's for a data set.

    Args:
        function: makes it, or its name as "package.module:function". Called with ``image_shape`` and ``num_classes``
            where it has parameters of these names, and with nothing else.
        dataset: what it is for.
        who: "student" or "teacher", for messages.

    Raises:
        CourseError: there is no such function, or it makes no network that turns images of the data set into logits.
    """
    function = function_named(function) if isinstance(function, str) else function
    if isinstance(function, nn.Module) or not callable(function):
        raise CourseError(f"{who} must be a function that makes a network, got a {type(function).__name__}")
    given = _wanted(function, dataset.image_shape, dataset.num_classes)
    made_for = {"image_shape": list(dataset.image_shape), "num_classes": dataset.num_classes}
    builder = Builder(partial(function, **given), {"function": name_of_function(who, function), **made_for})
    with torch.random.fork_rng(()):
        check_network(builder.make(), dataset, who)
    return builder


def channels_last(network: nn.Module) -> nn.Module:
    """The network with the channels last in memory: convolutions of images are faster so, on processors and on GPUs."""
    if any(each.ndim == 5 for each in network.parameters()):  # of volumes, which have a format of their own
        return network
    return network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # no overload has it


def function_named(name: str) -> Callable[..., nn.Module]:
    """What "package.module:function" names.

    Raises:
        CourseError: it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise CourseError(f"a function must be named package.module:function, got {name!r}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise CourseError(f"the function {name!r} cannot be imported: {error}") from error


def check_network(network: nn.Module, dataset: Dataset, who: str) -> None:
    """Refuse a network that does not turn images of the data set into logits, before anything is trained."""
    if not isinstance(network, nn.Module):
        raise CourseError(f"{who} must make a torch.nn.Module, got {type(network).__name__}")
    some = next(network.parameters(), torch.empty(0)).device
    inputs = dataset.train.batch([0, 1]).to(some)
    try:
        with evaluating(network), torch.no_grad():
            logits = network(inputs)
    except Exception as error:  # whatever a stranger's network raises
        raise CourseError(
            f"{who} cannot take inputs {tuple(inputs.shape)} of {dataset.title}: {type(error).__name__}: {error}"
        ) from error
    wanted = (len(inputs), dataset.num_classes)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
        came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise CourseError(f"{who} must give logits of shape {wanted} for {dataset.title}, got {came}")


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
    content = {"settings": dict(settings), "weights": weights, "checksum": _checksum(settings, weights)}
    if not path.is_file() or _checksum_in(path) != content["checksum"]:
        save_atomically(path, content)


def load_network(
    path: str | Path, dataset: Dataset | None = None, *, build: str | Callable[..., nn.Module] | None = None
) -> nn.Module:
    """A teacher or student from a file that a distillation left behind, on the CPU and in eval mode.

    Its inputs are images normalised with mean and standard deviation of the data set's training images, as
    ``Examples.batch`` and ``Examples.inputs`` give them.

    Args:
        path: such as "build/distill/teacher.pt" or "build/distill/student/seed-0.pt".
        dataset: whose images and classes it must be for, if given.
        build: the function that made it, or its name, where it is not AlexNet: a file holds weights, not code.

    Raises:
        CourseError: the file is missing, damaged, holds no such network, one that is not trained to finite weights, or
            one for other images or classes.
    """
    path = Path(path)
    if not path.is_file():
        raise CourseError(f"no network can be read from {path}: it is not a file")
    settings, weights = _content(path)
    made_for = tuple(settings["image_shape"]), settings["num_classes"]
    if build is None and "function" in settings:
        raise CourseError(
            f"{path} holds a network that {settings['function']} made: give that function as build"
        )
    try:
        if build is None:
            with torch.device("meta"):  # where nothing is large
                _check_shapes(alexnet(**settings), weights)
        model = alexnet(**settings) if build is None else _built(build, *made_for)
        model.load_state_dict(weights)
    except Exception as error:  # whatever comes of what a stranger wrote
        raise CourseError(
            f"{path} holds no network of course distill ({type(error).__name__}: {error})"
        ) from error
    if dataset is not None and made_for != (dataset.image_shape, dataset.num_classes):
        raise CourseError(
            f"{path} holds a network for {made_for[0]} and {made_for[1]} classes, not for {dataset.title} with "
            f"{dataset.image_shape} and {dataset.num_classes}"
        )
    return model.eval()


def _built(
    build: str | Callable[..., nn.Module], image_shape: tuple[int, ...], num_classes: int
) -> nn.Module:
    function = function_named(build) if isinstance(build, str) else build
    return function(**_wanted(function, image_shape, num_classes))


def _wanted(function: Callable, image_shape: tuple[int, ...], num_classes: int) -> dict[str, Any]:
    """What of this a function asks for by name."""
    known = {"image_shape": image_shape, "num_classes": num_classes}
    return {name: known[name] for name in inspect.signature(function).parameters if name in known}


def _check_shapes(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not a network's, before it is made as large as its settings say."""
    for name, value in network.state_dict().items():
        if name not in weights or weights[name].shape != value.shape:
            came = tuple(weights[name].shape) if name in weights else "none"
            raise CourseError(f"by its settings {name} has shape {tuple(value.shape)}, got {came}")


def _content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and weights in a file, as they were written."""
    try:
        kept = load_plain(path)
        settings, weights = kept["settings"], kept["weights"]
        # Files of version 0.1.0 have a checksum of the numbers alone.
        whole = kept["checksum"] in (_checksum(settings, weights), content_hash(*weights.values()))
        shape, classes = settings["image_shape"], settings["num_classes"]
        fits = all(type(size) is int and size > 0 for size in (*shape, classes))
        # Each class has at least one weight.
        fits = (
            fits and math.prod(shape) <= _MOST_PIXELS and classes <= sum(map(torch.numel, weights.values()))
        )
    except Exception as error:  # whatever comes of what a stranger wrote
        raise CourseError(
            f"{path} holds no network of course distill ({type(error).__name__}: {error})"
        ) from error
    if not whole or not all(torch.isfinite(value).all() for value in weights.values()):
        raise CourseError(f"{path} is damaged: its content is not what was written, or not finite")
    if not fits:
        raise CourseError(f"{path} holds no network: it claims inputs {shape} and {classes} classes")
    return settings, weights


def _checksum(settings: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """Of settings, names, types, shapes and numbers."""
    names = [(name, str(value.dtype), list(value.shape)) for name, value in weights.items()]
    words = json.dumps([settings, names], sort_keys=True) + content_hash(*weights.values())
    return hashlib.sha256(words.encode()).hexdigest()


def _checksum_in(path: Path) -> str | None:
    """The checksum that a file holds, if it is of any use."""
    try:
        kept = load_plain(path)
    except (CourseError, OSError):
        return None
    return kept.get("checksum") if isinstance(kept, dict) else None
