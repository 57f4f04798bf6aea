"""AlexNet: torchvision's for photographs of 224 pixels, the same five and three layers for small images."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError, check_below_one, check_positive

_CHANNELS = (64, 192, 384, 256, 256)
_HIDDEN = 4096
_SMALLEST_LARGE = 63  # pixels; below, torchvision's three poolings leave nothing


class AlexNet(nn.Module):
    """Five convolutions and three dense layers; made by ``alexnet``. Modules are named as torchvision names them.

    Attributes:
        features: the convolutional part, (N, C', H', W').
        avgpool: brings a large image's features to ``grid``; the identity at the training size.
        classifier: the dense part.
        grid: (H', W') that the first dense layer is made for.
    """

    def __init__(
        self, features: nn.Sequential, avgpool: nn.Module, classifier: nn.Sequential, grid: tuple[int, int]
    ):
        super().__init__()
        self.features, self.avgpool, self.classifier, self.grid = features, avgpool, classifier, grid

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) → logits (N, classes)."""
        return self.classifier(torch.flatten(self.avgpool(self.features(inputs)), 1))


class FullyConvolutional(nn.Module):
    """An AlexNet whose dense layers are convolutions; made by ``fully_convolutional``.

    At the training size its logits are the AlexNet's. A larger image gives a map of scores, one vector of logits for
    every place where the trained window fits (Long, Shelhamer and Darrell 2015).
    """

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential):
        super().__init__()
        self.features, self.classifier = features, classifier

    def score_map(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) → (N, classes, h, w), with h = w = 1 at the training size.

        Raises:
            CourseError: the image is smaller than those of the training.
        """
        features = self.features(inputs)
        window = next(layer for layer in self.classifier if isinstance(layer, nn.Conv2d)).kernel_size
        if features.shape[2] < window[0] or features.shape[3] < window[1]:
            raise CourseError(
                f"inputs must be at least as large as the training images; {tuple(inputs.shape[2:])} gives features of "
                f"{tuple(features.shape[2:])}, and the window is {tuple(window)}"
            )
        return self.classifier(features)

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) → logits (N, classes): the mean of the map over its places."""
        return self.score_map(inputs).mean(dim=(2, 3))


def alexnet(
    image_shape: Sequence[int] = (3, 224, 224),
    num_classes: int = 1000,
    *,
    width: float = 1.0,
    dropout: float = 0.5,
    batch_norm: bool = False,
) -> AlexNet:
    """AlexNet (Krizhevsky, Sutskever and Hinton 2012) with the widths of torchvision's.

    Images of 63 pixels and more get torchvision's network: its weights can be loaded as they are. For smaller ones the
    first convolution is 3 × 3 with stride 1 and the poolings are padded, so that three of them divide the sides by 8.
    First weights are drawn as He et al. (2015) propose; with PyTorch's default, which torchvision's network has,
    signals fade over eight layers.

    Args:
        image_shape: (C, H, W) of one input; sides below 63 must be multiples of 8.
        num_classes: number of logits, at least 2.
        width: factor of all channels and hidden units, rounded, at least one each; a student has a small one.
        dropout: probability before the first two dense layers. 0 leaves no dropout in the network, as training many
            students at once needs.
        batch_norm: a batch norm (Ioffe and Szegedy 2015) behind each convolution, which AlexNet was made too early for:
            it learns faster and to a higher accuracy. The layers behind it have other numbers than torchvision's.

    Raises:
        CourseError: a size or a number that makes no network.
    """
    sizes = [*image_shape, num_classes]
    if (
        len(image_shape) != 3
        or any(not isinstance(size, int) or size < 1 for size in sizes)
        or num_classes < 2
    ):
        raise CourseError(
            "image_shape must be (C, H, W) and num_classes at least 2, all positive integers, "
            f"got {tuple(image_shape)} and {num_classes!r}"
        )
    check_positive(width=width)
    check_below_one(dropout=dropout)
    channels, *sides = image_shape
    large = min(sides) >= _SMALLEST_LARGE
    if not large and any(side % 8 for side in sides):
        raise CourseError(
            f"image_shape must have sides of at least {_SMALLEST_LARGE} pixels or multiples of 8, "
            f"got {tuple(image_shape)}"
        )
    widths = [max(1, round(size * width)) for size in _CHANNELS]
    hidden = max(1, round(_HIDDEN * width))
    grid = (6, 6) if large else (sides[0] // 8, sides[1] // 8)
    model = AlexNet(
        _features(channels, widths, large, batch_norm),
        nn.AdaptiveAvgPool2d(grid) if large else nn.Identity(),
        nn.Sequential(
            _dropout(dropout),
            nn.Linear(widths[-1] * grid[0] * grid[1], hidden),
            nn.ReLU(),
            _dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        ),
        grid,
    )
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None  # as is the default
            nn.init.zeros_(layer.bias)
    return model


def _features(channels: int, widths: Sequence[int], large: bool, batch_norm: bool) -> nn.Sequential:
    def pool() -> nn.Module:
        return nn.MaxPool2d(3, 2) if large else nn.MaxPool2d(3, 2, padding=1)

    def convolution(before: int, after: int, size: int, padding: int, stride: int = 1) -> list[nn.Module]:
        # ReLUs not in place, unlike torchvision's: losses of activations and gradients need what comes in.
        norm = [nn.BatchNorm2d(after)] if batch_norm else []
        return [nn.Conv2d(before, after, size, stride, padding), *norm, nn.ReLU()]

    first, second, third, fourth, fifth = widths
    start = {"size": 11, "stride": 4, "padding": 2} if large else {"size": 3, "padding": 1}
    return nn.Sequential(
        *convolution(channels, first, **start),
        pool(),
        *convolution(first, second, 5, padding=2),
        pool(),
        *convolution(second, third, 3, padding=1),
        *convolution(third, fourth, 3, padding=1),
        *convolution(fourth, fifth, 3, padding=1),
        pool(),
    )


def _dropout(probability: float) -> nn.Module:
    # The place is kept: the layers behind it have the same names with and without.
    return nn.Dropout(probability) if probability else nn.Identity()


def fully_convolutional(model: AlexNet) -> FullyConvolutional:
    """The same network with its dense layers as convolutions, weights copied; ``model`` stays as it is.

    The first dense layer becomes a convolution as large as the features, the others 1 × 1. (The adaptive pooling of the
    large form, the identity at 224 pixels, is left out: larger images must give more places, not coarser features.)

    Raises:
        CourseError: the model is not an ``AlexNet``.
    """
    if not isinstance(model, AlexNet):
        raise CourseError(f"model must be an AlexNet, as made by alexnet(), got {type(model).__name__}")
    layers: list[nn.Module] = []
    window = model.grid
    for layer in model.classifier:
        if isinstance(layer, nn.Linear):
            layers.append(_convolution(layer, window))
            window = (1, 1)
        else:
            layers.append(copy.deepcopy(layer))
    return FullyConvolutional(copy.deepcopy(model.features), nn.Sequential(*layers))


def _convolution(dense: nn.Linear, window: tuple[int, int]) -> nn.Conv2d:
    convolution = nn.Conv2d(dense.in_features // (window[0] * window[1]), dense.out_features, window)
    convolution = convolution.to(dense.weight)
    assert convolution.bias is not None  # as is the default
    with torch.no_grad():
        # Flattening lays channels, rows and columns out in this order.
        convolution.weight.copy_(dense.weight.view_as(convolution.weight))
        convolution.bias.copy_(dense.bias)
    return convolution
