"""A small network that searches: convolutions without padding, so that a window gives the same anywhere in an image."""

from torch import Tensor, nn

from course_lib.errors import CourseError, check_count, check_positive

WINDOW = 16  # pixels; what the network looks at for one place of its map
STRIDE = 4  # pixels from one place of the map to the next
_CHANNELS = (32, 64, 128)


class Searcher(nn.Module):
    """Three convolutions and a 1 × 1 convolution for the scores; made by ``searcher``.

    Nothing is padded, so one pass over a large image is exactly the same as the network on every window of it.

    Attributes:
        features: (N, C, H, W) → (N, channels, h, w), one place for every window.
        classifier: the scores of a place, a 1 × 1 convolution.
    """

    def __init__(self, features: nn.Sequential, classifier: nn.Conv2d):
        super().__init__()
        self.features, self.classifier = features, classifier

    def score_map(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) → (N, classes, h, w), h = (H − 16) // 4 + 1, and w likewise.

        Raises:
            CourseError: the image is smaller than a window.
        """
        if min(inputs.shape[2:]) < WINDOW:
            raise CourseError(
                f"inputs must have sides of at least {WINDOW} pixels, got {tuple(inputs.shape[2:])}"
            )
        return self.classifier(self.features(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, 16, 16) → logits (N, classes); of a larger image, the mean of the map over its places."""
        return self.score_map(inputs).mean(dim=(2, 3))


def searcher(num_classes: int, *, channels: int = 1, width: float = 1.0) -> Searcher:
    """A classifier of windows of 16 × 16 pixels that is fully convolutional from the start.

    Args:
        num_classes: number of scores, background included, at least 2.
        channels: of the image.
        width: factor of the three convolutions' channels (32, 64 and 128), rounded, at least one each.

    Raises:
        CourseError: a number that makes no network.
    """
    check_count(2, num_classes=num_classes)
    check_count(channels=channels)
    check_positive(width=width)
    first, second, third = (max(1, round(size * width)) for size in _CHANNELS)
    features = nn.Sequential(
        nn.Conv2d(channels, first, 3),  # 16 → 14
        nn.ReLU(),
        nn.MaxPool2d(2),  # → 7
        nn.Conv2d(first, second, 4),  # → 4
        nn.ReLU(),
        nn.MaxPool2d(2),  # → 2
        nn.Conv2d(second, third, 2),  # → 1
        nn.ReLU(),
    )
    model = Searcher(features, nn.Conv2d(third, num_classes, 1))
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None  # as is the default
            nn.init.zeros_(layer.bias)
    return model
