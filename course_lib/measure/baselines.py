"""The classical baselines, which need no network and which every result has to be seen against."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from course_lib.data import Examples
from course_lib.errors import CourseError


def _logistic_regression(C: float = 1.0) -> Any:
    from sklearn.linear_model import LogisticRegression  # a slow import

    return LogisticRegression(C=C, max_iter=2000)


def _nearest_neighbour(n_neighbors: int = 1) -> Any:
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(n_neighbors=n_neighbors)


BASELINES: dict[str, Callable[[], Any]] = {
    "logistic regression": _logistic_regression,
    "nearest neighbour": _nearest_neighbour,
}


def _support_vector_machine(C: float = 1.0, gamma: float = 0.01) -> Any:
    from sklearn.svm import SVC

    return SVC(C=C, gamma=gamma)  # pyright: ignore[reportArgumentType]  # its default is a word, so numbers look wrong


# Settings that ``tuned_baseline`` tries: of the logistic regression, the neighbours and the Gaussian kernel.
TUNABLE: dict[str, tuple[Callable[..., Any], dict[str, tuple[float, ...]]]] = {
    "logistic regression": (_logistic_regression, {"C": (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)}),
    "nearest neighbours": (_nearest_neighbour, {"n_neighbors": (1, 2, 3, 4, 5, 7)}),
    "support vector machine": (
        _support_vector_machine,
        {"C": (0.1, 1.0, 10.0, 100.0), "gamma": (1e-3, 3e-3, 1e-2, 2e-2, 5e-2, 0.1)},
    ),
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
    return _scores(BASELINES[kind], _sets(seen), test)


def tuned_baseline(
    seen: Examples | Sequence[Examples],
    test: Examples,
    kind: str,
    search: Examples | Sequence[Examples],
    validation: Examples,
) -> tuple[dict[str, float], Tensor]:
    """Accuracy of a classical method whose settings were chosen on validation images, as a network's are.

    Args:
        seen: labelled images; one set, or one per seed.
        test: images to be recognised.
        kind: a key of ``TUNABLE``.
        search: sets of as many labelled images, to choose with; no set of ``seen`` need be among them.
        validation: images that decide.

    Returns:
        The settings with the best mean over the sets of ``search``, and shares of right answers, (sets,) float64.

    Raises:
        CourseError: an unknown kind, or no set.
    """
    if kind not in TUNABLE:
        raise CourseError(f"kind must be one of {', '.join(TUNABLE)}, got {kind!r}")
    build, grid = TUNABLE[kind]
    settings = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    drawn = _sets(search, "search")
    means = [float(_scores(lambda each=each: build(**each), drawn, validation).mean()) for each in settings]
    chosen = settings[means.index(max(means))]
    return chosen, _scores(lambda: build(**chosen), _sets(seen), test)


def _scores(build: Callable[[], Any], sets: Sequence[Examples], test: Examples) -> Tensor:
    inputs, labels = _pixels(test), test.labels.cpu().numpy()
    scores = [build().fit(_pixels(own), own.labels.cpu().numpy()).score(inputs, labels) for own in sets]
    return torch.tensor(scores, dtype=torch.float64)


def _sets(examples: Examples | Sequence[Examples], name: str = "seen") -> list[Examples]:
    sets = [examples] if isinstance(examples, Examples) else list(examples)
    if not sets:
        raise CourseError(f"{name} must hold at least one set of examples, got none")
    return sets


def _pixels(examples: Examples) -> Any:
    return examples.inputs.flatten(1).cpu().numpy()
