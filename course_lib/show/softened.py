"""What both temperature sliders share: checked answers, softmax(z/T), and pictures that a page can carry."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses.common import check_labels, check_logits, check_positive
from course_lib.show.figures import as_pictures

# Sliders move log2 T, so that T = 1, 2, 4, 8 and 16 are hit exactly.
LOWEST, HIGHEST, STEP = -2.0, 4.375, 0.125
_FRAME = 204  # grey
_SIDE = 128  # a picture is enlarged to at least this many pixels, because browsers smooth small ones


@dataclass(frozen=True)
class Answers:
    """A network's answers to some images.

    Attributes:
        logits: float64, (N, C).
        pictures: (N,) data URIs of PNG images.
        classes: (C,) names.
        labels: (N,) true classes as indices.
    """

    logits: Tensor
    pictures: list[str]
    classes: list[str]
    labels: list[int]

    def name(self, index: int) -> str:
        """The name of an image in the menu, never the same one twice."""
        return f"{index + 1}: {self.classes[self.labels[index]]}"


def answers_of(logits: Tensor, images: Tensor, classes: Sequence[str], labels: Tensor) -> Answers:
    """Check what a slider was given.

    Args:
        logits: (N, C), floating point and finite.
        images: uint8, (N, C', H, W) with C' = 1 or 3.
        classes: (C,) names.
        labels: int64, (N,) true classes.

    Raises:
        CourseError: a shape, type or value is something else.
    """
    check_logits(logits=logits)
    check_labels(labels, logits)
    if not logits.isfinite().all():
        raise CourseError("logits must be finite, got NaN or infinity")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise CourseError(
            f"labels must lie between 0 and {logits.shape[1] - 1}, got {labels.min()} to {labels.max()}"
        )
    if len(classes) != logits.shape[1]:
        raise CourseError(
            f"classes must name the {logits.shape[1]} columns of logits, got {len(classes)} names"
        )
    pictures = as_pictures(images)
    if len(pictures) != len(logits):
        raise CourseError(f"images must be as many as the {len(logits)} rows of logits, got {len(pictures)}")
    return Answers(
        logits.detach().cpu().double(),
        [data_uri(picture) for picture in pictures],
        [str(name) for name in classes],
        labels.tolist(),
    )


def softened(logits: Tensor, temperature: float) -> Tensor:
    """softmax(z/T) over the last dimension, in float64.

    Raises:
        CourseError: T is not a positive finite number.
    """
    check_positive(temperature=temperature)
    return torch.softmax(logits.double() / temperature, dim=-1)


def data_uri(picture: np.ndarray) -> str:
    """A uint8 image, (H, W) or (H, W, 3), as the data URI of a PNG, framed, its pixels squares."""
    factor = math.ceil(_SIDE / max(picture.shape[:2]))
    enlarged = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    framed = np.pad(enlarged, ((1, 1), (1, 1), (0, 0))[: picture.ndim], constant_values=_FRAME)
    file = io.BytesIO()
    Image.fromarray(framed).save(file, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
