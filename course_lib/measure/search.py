"""From maps of scores to what is found on canvases, over thresholds; and the searcher that needs no network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.data import Examples
from course_lib.data.canvases import Canvases
from course_lib.errors import CourseError, check_count
from course_lib.measure.detection import Detections, find_peaks, pooled, score_detections


@dataclass(frozen=True, eq=False)
class Found:
    """What is found on one canvas, the most certain first.

    Attributes:
        places: row and column in pixels, (F, 2).
        labels: (F,) int64.
        scores: probabilities that there is an object, (F,).
    """

    places: Tensor
    labels: Tensor
    scores: Tensor

    def above(self, threshold: float) -> "Found":
        """Those with a score of at least ``threshold``."""
        kept = self.scores >= threshold
        return Found(self.places[kept], self.labels[kept], self.scores[kept])


def read_maps(
    maps: Tensor, *, window: int, stride: int, lowest: float = 0.01, distance: int = 2
) -> list[Found]:
    """Objects on the maps of several canvases.

    The score of a place is the probability that it is not background; an object is a peak of the score, its class the
    best of the others, its place the middle of its window.

    Args:
        maps: logits, (N, classes + 1, h, w); the last class is background.
        window: side of a window in pixels.
        stride: pixels from one place of the map to the next.
        lowest: smallest score of an object. For a higher threshold, ``Found.above`` gives what this would.
        distance: as in ``find_peaks``, in places.

    Raises:
        CourseError: not maps with two classes or more, or a number out of range.
    """
    if not isinstance(maps, Tensor) or not maps.is_floating_point() or maps.ndim != 4 or maps.shape[1] < 2:
        came = f"{maps.dtype} {tuple(maps.shape)}" if isinstance(maps, Tensor) else type(maps).__name__
        raise CourseError(f"maps must be floating-point logits (N, classes + 1, h, w), got {came}")
    check_count(window=window, stride=stride)
    found = []
    for shares in maps.softmax(dim=1):
        scores = 1 - shares[-1]
        peaks = find_peaks(scores, lowest, distance)
        rows, columns = peaks.unbind(dim=1)
        labels = shares[:-1, rows, columns].argmax(dim=0)
        found.append(Found(peaks * stride + window / 2, labels, scores[rows, columns]))
    return found


def count_found(
    found: Sequence[Found], canvases: Canvases, thresholds: Iterable[float], tolerance: float
) -> dict[float, Detections]:
    """The counts of all canvases together, by threshold.

    Args:
        found: one for each canvas.
        canvases: with the truth.
        thresholds: of the score.
        tolerance: largest distance in pixels, as in ``match_places``.

    Raises:
        CourseError: not one ``Found`` for each canvas.
    """
    if len(found) != len(canvases):
        raise CourseError(f"found must be one for each of the {len(canvases)} canvases, got {len(found)}")
    return {
        threshold: pooled(
            score_detections(kept.places, kept.labels, centres, labels, tolerance)
            for kept, centres, labels in zip(
                (each.above(threshold) for each in found), canvases.centres, canvases.labels, strict=True
            )
        )
        for threshold in thresholds
    }


def linear_searcher(windows: Examples, stride: int) -> nn.Conv2d:
    """Logistic regression on the pixels of windows, as a convolution: the searcher that needs no network.

    A linear classifier of windows is one kernel as large as a window for each class.

    Args:
        windows: labelled windows; every class from 0 to the largest must occur.
        stride: pixels from one place of its map to the next.

    Raises:
        CourseError: a class does not occur.
    """
    from sklearn.linear_model import LogisticRegression  # a slow import

    labels, (channels, height, width) = windows.labels, windows.images.shape[1:]
    classes = int(labels.max()) + 1
    if len(labels.unique()) < classes:
        raise CourseError(f"windows must have an example of each of {classes} classes, one is missing")
    model = LogisticRegression(max_iter=2000).fit(windows.inputs.flatten(1).numpy(), labels.numpy())
    layer = nn.Conv2d(channels, classes, (height, width), stride=stride)
    assert layer.bias is not None  # as is the default
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(model.coef_).view_as(layer.weight))
        layer.bias.copy_(torch.from_numpy(model.intercept_))
    return layer.requires_grad_(False)
