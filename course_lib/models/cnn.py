"""A small convolutional network that is better than any MLP of the course on the digits: their teacher."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from course_lib.errors import CourseError


def cnn_teacher(image_shape: Sequence[int] = (1, 8, 8), num_classes: int = 10) -> nn.Sequential:
    """Three 3×3 convolutions, one pooling and a hidden layer, without batch norm or dropout.

    Their absence is deliberate: every example's logits depend on that example alone, so the teacher's answers can
    be computed once and kept.

    Args:
        image_shape: (C, H, W) of one input; H and W even.
        num_classes: number of logits, at least 2.

    Raises:
        CourseError: the image is not (C, H, W) with even sides, or there are fewer than two classes.
    """
    if len(image_shape) != 3 or min(image_shape) < 1 or image_shape[1] % 2 or image_shape[2] % 2:
        raise CourseError(f"image_shape must be (C, H, W) with even H and W, got {tuple(image_shape)}")
    if num_classes < 2:
        raise CourseError(f"num_classes must be at least 2, got {num_classes}")
    channels, height, width = image_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(channels, 32, 3, padding=1),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(32, 64, 3, padding=1),
        relu2=nn.ReLU(),
        pool=nn.MaxPool2d(2),
        conv3=nn.Conv2d(64, 64, 3, padding=1),
        relu3=nn.ReLU(),
        flatten=nn.Flatten(),
        linear=nn.Linear(64 * (height // 2) * (width // 2), 128),
        relu4=nn.ReLU(),
        logits=nn.Linear(128, num_classes),
    )
    return nn.Sequential(layers)
