"""The classical baselines, which need no network and which every result has to be seen against."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.data import Examples
from course_lib.errors import CourseError


def _logistic_regression() -> Any:
    from sklearn.linear_model import LogisticRegression  # a slow import

    return LogisticRegression(max_iter=2000)


def _nearest_neighbour() -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=1)


BASELINES: dict[str, Callable[[], Any]] = {
    "logistic regression": _logistic_regression,
    "nearest neighbour": _nearest_neighbour,
}


def trivial_baseline(
    seen: Examples | Sequence[Examples], test: Examples, kind: str = "logistic regression"
) -> Tensor:
    """Accuracy of a classical method of scikit-learn, with its default settings, on the same labelled images.

    A distilled network that such a method beats is no success, whatever it gained over another network.

    Args:
        seen: labelled images; one set, or one per seed.
        test: images to be recognised.
        kind: "logistic regression" or "nearest neighbour", on the normalised pixels.

    Returns:
        Shares of right answers, (sets,) float64; (1,) for one set.

    Raises:
        CourseError: an unknown kind, or no set.
    """
    if kind not in BASELINES:
        raise CourseError(f"kind must be one of {', '.join(BASELINES)}, got {kind!r}")
    sets = [seen] if isinstance(seen, Examples) else list(seen)
    if not sets:
        raise CourseError("seen must hold at least one set of examples, got none")
    inputs, labels = _pixels(test), test.labels.cpu().numpy()
    scores = [
        BASELINES[kind]().fit(_pixels(own), own.labels.cpu().numpy()).score(inputs, labels) for own in sets
    ]
    return torch.tensor(scores, dtype=torch.float64)


def _pixels(examples: Examples) -> Any:
    return examples.inputs.flatten(1).cpu().numpy()
