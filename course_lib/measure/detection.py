"""From a map of scores to objects, and how many of them are right: peaks, matching with the truth, counts."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from course_lib.errors import CourseError, check_count, check_number, check_positive


@dataclass(frozen=True)
class Detections:
    """How well objects were found on one image, or on several together.

    Attributes:
        found: number of detections.
        objects: number of true objects.
        matched: pairs of a detection and an object.
        named: those among the pairs whose class is right.
        offset: sum of the distances of the pairs, in the unit of the places.
    """

    found: int
    objects: int
    matched: int
    named: int
    offset: float

    @property
    def precision(self) -> float:
        """Share of the detections that are objects; NaN where there are no detections."""
        return _share(self.matched, self.found)

    @property
    def recall(self) -> float:
        """Share of the objects that were found; NaN where there are none."""
        return _share(self.matched, self.objects)

    @property
    def class_accuracy(self) -> float:
        """Share of the found objects whose class is right; NaN where none was found."""
        return _share(self.named, self.matched)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall where a detection of the wrong class counts as a mistake."""
        return _share(2 * self.named, self.found + self.objects)

    @property
    def mean_offset(self) -> float:
        """Mean distance of a pair; NaN where there is none."""
        return _share(self.offset, self.matched)


def find_peaks(scores: Tensor, threshold: float, distance: int = 1) -> Tensor:
    """Places of a map that score highest in their surroundings (greedy non-maximum suppression).

    Args:
        scores: (h, w), one number per place, such as the probability that an object is there.
        threshold: lowest score of a peak.
        distance: a place at most this many rows and columns from a higher peak does not count.

    Returns:
        Rows and columns, (peaks, 2) int64, the highest first.

    Raises:
        CourseError: not a map, a score or a threshold that is NaN, or a distance below 0.
    """
    if not isinstance(scores, Tensor) or scores.ndim != 2 or torch.isnan(scores).any():
        came = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise CourseError(f"scores must be a map (h, w) without NaN, got {came}")
    check_number("a number", lambda value: not math.isnan(value), threshold=threshold)
    check_count(0, distance=distance)
    places = (scores >= threshold).nonzero()
    places = places[scores[tuple(places.T)].argsort(descending=True, stable=True)]
    kept: list[Tensor] = []
    while len(places):
        kept.append(places[0])
        places = places[(places - places[0]).abs().amax(dim=1) > distance]
    return torch.stack(kept) if kept else torch.empty(0, 2, dtype=torch.int64)


def match_places(found: Tensor, objects: Tensor, tolerance: float) -> Tensor:
    """Pair detections with objects: as many pairs as possible within the tolerance, and among these the closest.

    Args:
        found: (F, 2) places.
        objects: (K, 2) places.
        tolerance: largest distance of a pair (Euclidean), above 0.

    Returns:
        (pairs, 2) int64, the position in ``found`` and in ``objects``; each occurs once at most.

    Raises:
        CourseError: not places, or a tolerance that is not a finite number above 0.
    """
    for name, value in (("found", found), ("objects", objects)):
        if not isinstance(value, Tensor) or value.ndim != 2 or value.shape[1] != 2:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CourseError(f"{name} must hold places (number, 2), got {came}")
        if value.isnan().any():
            raise CourseError(f"{name} must hold numbers, got NaN")
    check_positive(tolerance=tolerance)
    apart = torch.cdist(found.double(), objects.double())  # (F, K)
    # One pair more is worth any sum of distances.
    far = tolerance * (min(apart.shape) + 1)
    rows, columns = linear_sum_assignment(apart.where(apart <= tolerance, torch.tensor(far).double()))
    pairs = torch.tensor([*zip(rows.tolist(), columns.tolist(), strict=True)], dtype=torch.int64).view(-1, 2)
    return pairs[apart[tuple(pairs.T)] <= tolerance]


def score_detections(
    found: Tensor, found_labels: Tensor, objects: Tensor, labels: Tensor, tolerance: float
) -> Detections:
    """Count what was found on one image.

    Args:
        found: places of the detections, (F, 2).
        found_labels: their classes, (F,).
        objects: places of the objects, (K, 2).
        labels: their classes, (K,).
        tolerance: as in ``match_places``; the classes play no part in the matching.

    Raises:
        CourseError: as in ``match_places``, or not one class per place.
    """
    pairs = match_places(found, objects, tolerance)
    for name, places, classes in (("found_labels", found, found_labels), ("labels", objects, labels)):
        if not isinstance(classes, Tensor) or classes.shape != places.shape[:1]:
            came = tuple(classes.shape) if isinstance(classes, Tensor) else type(classes).__name__
            raise CourseError(f"{name} must hold one class per place, ({len(places)},), got {came}")
    first, second = pairs.unbind(dim=1)
    offset = (found[first].double() - objects[second].double()).norm(dim=1).sum()
    named = (found_labels[first] == labels[second]).sum()
    return Detections(len(found), len(objects), len(pairs), int(named), float(offset))


def pooled(detections: Iterable[Detections]) -> Detections:
    """The counts of several images together: every object weighs the same, whichever image it is on."""
    fields = ("found", "objects", "matched", "named", "offset")
    counted = [[getattr(each, field) for field in fields] for each in detections]
    if not counted:
        raise CourseError("detections must hold those of one image at least, got none")
    return Detections(*map(sum, zip(*counted, strict=True)))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
