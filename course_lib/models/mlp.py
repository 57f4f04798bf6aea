"""A big and a small fully connected network: the same idea at two sizes, so that only size differs."""

import math
from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from course_lib.errors import CourseError


def mlp(image_shape: Sequence[int], hidden: Sequence[int], num_classes: int) -> nn.Sequential:
    """Fully connected ReLU network on flattened images, layers ``linear1``, ``relu1``, …, ``logits``.

    Args:
        image_shape: (C, H, W) of one input.
        hidden: width of each hidden layer, at least one.
        num_classes: number of logits, at least 2.

    Raises:
        CourseError: a size is not a positive integer, or there are fewer than two classes.
    """
    sizes = [*image_shape, *hidden, num_classes]
    if not hidden or any(not isinstance(size, int) or size < 1 for size in sizes) or num_classes < 2:
        raise CourseError(
            "image_shape, hidden and num_classes must be positive integers with num_classes ≥ 2, "
            f"got {tuple(image_shape)}, {tuple(hidden)} and {num_classes}"
        )
    layers: list[tuple[str, nn.Module]] = [("flatten", nn.Flatten())]
    width = math.prod(image_shape)
    for number, size in enumerate(hidden, start=1):
        layers += [(f"linear{number}", nn.Linear(width, size)), (f"relu{number}", nn.ReLU())]
        width = size
    layers.append(("logits", nn.Linear(width, num_classes)))
    return nn.Sequential(OrderedDict(layers))


def big_mlp(image_shape: Sequence[int] = (1, 8, 8), num_classes: int = 10) -> nn.Sequential:
    """The big half of the pair: three hidden layers of 512."""
    return mlp(image_shape, (512, 512, 512), num_classes)


def small_mlp(image_shape: Sequence[int] = (1, 8, 8), num_classes: int = 10) -> nn.Sequential:
    """The small half, and the course's student: two hidden layers of 16 (1,482 parameters on the digits)."""
    return mlp(image_shape, (16, 16), num_classes)
