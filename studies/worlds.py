"""What several studies share: splits with their teachers, grids searched on validation images, and numbers to keep."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from torch import Tensor, nn

from course_lib import measure
from course_lib.data import Examples, load
from course_lib.models import cnn_teacher
from course_lib.training import Objective, Recipe, Runs, fit, hard_labels


class DigitsWorld:
    """A split of the digits with a teacher of its own, both by one seed.

    Args:
        seed: of the split and of the teacher.
    """

    def __init__(self, seed: int):
        self.seed, self.digits = seed, load("digits", seed=seed)

    @cached_property
    def teacher(self) -> nn.Module:
        """Trained on all labels of the training images."""
        return teacher_of(self.digits.train, self.seed)

    def subsets(self, labels: int, seeds: Sequence[int]) -> list[Examples]:
        """So many labelled training images for every seed."""
        return subsets(self.digits.train, labels, seeds)


def teacher_of(
    examples: Examples,
    seed: int,
    *,
    build: Callable[[], nn.Module] = cnn_teacher,
    steps: int = 400,
    objective: Objective | None = None,
) -> nn.Module:
    """A teacher, as the notebooks train it.

    Args:
        examples: it learns from.
        seed: of its first weights and its batches.
        build: the network.
        steps: of training.
        objective: hard labels if none is given.
    """
    recipe = Recipe(steps=steps, batch_size=64, lr=2e-3, schedule="cosine")
    return fit(build, objective or hard_labels(), examples, recipe, seed=seed, progress=False).model


def subsets(train: Examples, labels: int, seeds: Sequence[int]) -> list[Examples]:
    """So many labelled images for every seed; where a seed is repeated, the same object."""
    drawn = {seed: train.subset(labels, seed=seed) for seed in dict.fromkeys(seeds)}
    return [drawn[seed] for seed in seeds]


def crossed(values: Sequence[float], seeds: Sequence[int]) -> tuple[list[float], list[int]]:
    """One student for every value and seed: the values, repeated, and the seeds, all of them for each value."""
    return [value for value in values for _ in seeds], list(seeds) * len(values)


def earlier(budgets: Iterable[int], steps: int) -> list[int]:
    """The budgets that a training of so many steps passes on its way."""
    return [budget for budget in budgets if budget < steps]


def best(grid: Sequence[float], scores: Sequence[Sequence[float]]) -> float:
    """The value with the highest sum of scores, one row each; of several, the first."""
    sums = [sum(row) for row in scores]
    return grid[sums.index(max(sums))]


def right_answers(logits: Tensor, labels: Tensor) -> Tensor:
    """How many answers of every student are right: (..., N, C) and (N,) to (...)."""
    return (logits.argmax(dim=-1) == labels).sum(dim=-1)


def rounded(shares: Tensor, places: int | None = 2, scale: float = 100) -> list[float]:
    """Shares as numbers to keep, in per cent unless ``scale`` is 1; with all their digits if ``places`` is None."""
    values = (scale * shares).tolist()
    return values if places is None else [round(value, places) for value in values]


def diagnosed(
    runs: Runs,
    seen: Examples | Sequence[Examples],
    test: Examples,
    answers: Tensor,
    places: int = 2,
    scale: float = 100,
) -> dict[str, list[float]]:
    """The four numbers of ``measure.diagnose`` by name, one per student, ``rounded``."""
    found = measure.diagnose(runs, seen, test, answers)
    return {name: rounded(values, places, scale) for name, values in vars(found).items()}


def baselines(
    seen: Sequence[Examples], test: Examples, places: int | None = 2, scale: float = 100
) -> dict[str, list[float]]:
    """The classical methods of ``measure.BASELINES`` by name: their accuracy, one per set, ``rounded``."""
    return {
        kind: rounded(measure.trivial_baseline(seen, test, kind), places, scale) for kind in measure.BASELINES
    }
