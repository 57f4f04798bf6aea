"""A teacher's gradients over budgets, numbers of labels and worlds; all sides tuned equally, S ablated, controls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import measure
from course_lib.data import Examples, noisy_copies
from course_lib.matrices import class_soft_matrix, softmax_jacobian
from course_lib.models import small_mlp
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Runs,
    TeacherCache,
    answers_from,
    cache_teacher,
    exchanged_gradients,
    fit_many,
    gradient,
    gradient_matching,
    hard_labels,
    logits,
    soft_targets,
    teacher_logits,
)
from studies.study import Study
from studies.worlds import DigitsWorld, baselines, best, crossed, diagnosed, earlier, rounded

WORLDS, BUDGETS, LONG = (0, 1, 2), (100, 500, 2000), 8000
SEARCH, FINAL = range(1000, 1004), range(10)
PLAIN, COSTLY = (
    2000,
    1000,
)  # steps at which settings are chosen; a step with gradients costs four plain ones or more
MATRIX_TEMPERATURE, TEMPERATURE, LAM, LR = 4.0, 16.0, 0.9, 5e-3
COPIES = {50: 48}  # noisy copies of each image, by number of labelled images
WIDENED = 2  # so often a grid goes on where its best value is its last one
DECADES, SMALL_DECADES = (0.0, 1e-2, 1e-1, 1.0, 10.0, 100.0), (0.0, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
DECAYS = (0.0, 1e-3, 1e-2, 1e-1, 3e-1, 1.0)
WIDTHS = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)  # of the noise, in units of the normalised input
STUDY = Study(
    "chapter_04",
    "Students taught a teacher's gradients, with several soft matrices, and their rivals, on the digits",
    {
        "worlds": WORLDS,
        "budgets": BUDGETS,
        "long": LONG,
        "search": {
            "world": WORLDS[0],
            "seeds": list(SEARCH),
            "steps": PLAIN,
            "steps_with_gradients_or_noise": COSTLY,
        },
        "seeds": list(FINAL),
        "recipe": f"Adam, learning rate {LR}, batches of 32",
        "matrix_temperature": MATRIX_TEMPERATURE,
        "soft_targets": {"temperature": TEMPERATURE, "lam": LAM},
        "copies": COPIES,
        "widened": WIDENED,
    },
)


class World(DigitsWorld):
    """One split of the data, one teacher that learned from all its training labels, and its answers."""

    def __init__(self, seed: int):
        super().__init__(seed)
        self.answers = teacher_logits(self.teacher, self.digits.train)  # (N, C)
        self.plain = answers_from(self.answers, self.digits.train)

    def matrix(self, name: str) -> Tensor:
        """A soft matrix, scaled to the mean squared norm of the identity, so that one grid of λ fits all."""
        labels, temperature = self.digits.train.labels, MATRIX_TEMPERATURE
        between = class_soft_matrix(self.answers, labels, temperature, 10)
        wrong = F.softmax(self.answers / temperature, dim=1) - F.one_hot(labels, 10)
        found = {
            "S": lambda: between,
            "identity": lambda: torch.eye(10),
            "S, rows permuted": lambda: between.roll(1, dims=0),
            "softmax Jacobian": lambda: softmax_jacobian(self.answers, temperature),
            "p − onehot": lambda: wrong[:, :, None],
        }[name]()
        return found * (10 / found.square().sum(dim=(-2, -1)).mean()).sqrt()


@lru_cache(maxsize=3)  # gradients of all images are large
def gradients(world: World, matrix: str) -> TeacherCache:
    """The teacher's answers with its gradients by a soft matrix."""
    return cache_teacher(world.teacher, world.digits.train, soft_matrix=world.matrix(matrix))


@lru_cache(maxsize=3)
def noisy(world: World, n: int, sigma: float, asked: bool) -> tuple[Examples, TeacherCache]:
    """Noisy copies of all images that a student of ``n`` labels sees, and what the teacher says about them.

    Where it is not asked anew, its answers to the images without noise.
    """
    index = torch.cat([own.index for own in world.subsets(n, [*SEARCH, *FINAL])]).unique()
    seen = world.digits.train.take(torch.isin(world.digits.train.index, index).nonzero().flatten())
    copies = noisy_copies(seen, sigma, COPIES[n], seed=world.seed)
    if asked:
        return copies, cache_teacher(world.teacher, copies)
    return copies, answers_from(world.plain.lookup(seen).repeat_interleave(COPIES[n], dim=0), copies)


Train = Callable[[World, int, Sequence[float], Sequence[int], int], list[Runs]]


@dataclass(frozen=True)
class Method:
    """What is tuned, and how students are trained: one ``Runs`` for each value, one student for each seed."""

    grid: Sequence[float]
    train: Train
    search_steps: int = PLAIN


def _recipe(steps: int, decay: float = 0.0) -> Recipe:
    return Recipe(steps=steps, lr=LR, weight_decay=decay)


def _one_by_one(
    recipe_and_data: Callable[[World, int, float, Sequence[int], int], dict[str, Any]],
) -> Train:
    """A training for each value, with what differs between them."""

    def train(world: World, n: int, values: Sequence[float], seeds: Sequence[int], steps: int) -> list[Runs]:
        usual = {"seeds": list(seeds), "keep": earlier(BUDGETS, steps), "progress": False}
        return [
            fit_many(small_mlp, **usual, **recipe_and_data(world, n, value, seeds, steps)) for value in values
        ]

    return train


def _decayed(objective: Callable[[], Objective]) -> Method:
    def given(world: World, n: int, decay: float, seeds: Sequence[int], steps: int) -> dict[str, Any]:
        data = {"examples": world.subsets(n, seeds), "teacher": world.plain}
        return {"objective": objective(), "recipe": _recipe(steps, decay), **data}

    return Method(DECAYS, _one_by_one(given))


def _noise(asked: bool) -> Method:
    def given(world: World, n: int, sigma: float, seeds: Sequence[int], steps: int) -> dict[str, Any]:
        sets, teacher = world.subsets(n, seeds), world.plain
        if sigma:
            copies, teacher = noisy(world, n, sigma, asked)
            original = copies.index // COPIES[n]
            sets = [copies.take(torch.isin(original, own.index).nonzero().flatten()) for own in sets]
        return {"objective": logits(), "recipe": _recipe(steps), "examples": sets, "teacher": teacher}

    return Method(WIDTHS, _one_by_one(given), COSTLY)


def weighted(
    grid: Sequence[float],
    objective: Callable[[PerStudent], Objective],
    teacher: Callable[[World], TeacherCache],
) -> Method:
    """All values at once: the students differ in a number of the objective."""

    def train(world: World, n: int, values: Sequence[float], seeds: Sequence[int], steps: int) -> list[Runs]:
        each, everyone = crossed(values, seeds)
        runs = fit_many(
            small_mlp,
            objective(PerStudent(each)),
            world.subsets(n, everyone),
            _recipe(steps),
            seeds=everyone,
            teacher=teacher(world),
            keep=earlier(BUDGETS, steps),
            progress=False,
        )
        return [_part(runs, number, len(seeds)) for number in range(len(values))]

    return Method(grid, train, COSTLY)


def _part(runs: Runs, number: int, size: int) -> Runs:
    """The students of one value."""
    own = slice(number * size, (number + 1) * size)

    def cut(weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: value[own] for name, value in weights.items()}

    snapshots = {steps: (cut(weights), seconds) for steps, (weights, seconds) in runs.snapshots.items()}
    history = {name: values[:, own] for name, values in runs.history.items()}
    return Runs(runs.skeleton, cut(runs.parameters), history, runs.seconds, runs.seeds[own], snapshots)


def _matched(matrix: str, exchanged: bool = False) -> Method:
    def teacher(world: World) -> TeacherCache:
        kept = gradients(world, matrix)
        return exchanged_gradients(kept, world.seed) if exchanged else kept

    return weighted(DECADES, gradient_matching, teacher)


def _literal(layers: Sequence[str]) -> Method:
    return weighted(
        SMALL_DECADES, lambda lam: gradient(lam, layers=layers), lambda world: gradients(world, "S")
    )


METHODS = {
    "hard labels": _decayed(hard_labels),
    "soft targets": _decayed(lambda: soft_targets(TEMPERATURE, LAM)),
    "logits": _decayed(logits),
    "literal": _literal(["inputs"]),
    "literal, all layers": _literal(["inputs", "relu1", "relu2"]),
    "noise, teacher asked": _noise(asked=True),
    "noise, old answers": _noise(asked=False),
    "matching": _matched("S"),
    "matching, identity": _matched("identity"),
    "matching, S, rows permuted": _matched("S, rows permuted"),
    "matching, softmax Jacobian": _matched("softmax Jacobian"),
    "matching, p − onehot": _matched("p − onehot"),
    "matching, gradients exchanged": _matched("S", exchanged=True),
}
MAIN = ("hard labels", "soft targets", "logits", "matching")
FEW = (
    "matching, identity",
    "matching, S, rows permuted",
    "matching, gradients exchanged",
    "noise, teacher asked",
)
CELLS = [
    *((50, method) for method in (*MAIN, *FEW, "literal", "matching, p − onehot")),
    *((1200, method) for method in MAIN),
    *((50, name) for name in ("noise, old answers", "matching, softmax Jacobian", "literal, all layers")),
]
LONG_CELLS = [(n, method) for n in (1200, 50) for method in MAIN]


@lru_cache(maxsize=len(WORLDS))
def world_of(seed: int) -> World:
    """A world, made once."""
    return World(seed)


def searched(world: World, n: int, method: Method) -> tuple[list[float], list[list[float]]]:
    """The grid, widened while its last value is the best, and validation accuracy (values, seeds)."""
    grid, new, found = list(method.grid), list(method.grid), []
    for _ in range(WIDENED + 1):
        for runs in method.train(world, n, new, SEARCH, method.search_steps):
            found.append(_accuracy(runs, world.digits.validation))
        if best(grid, found) < grid[-1]:
            break
        new = [grid[-1] ** 2 / grid[-2]]
        grid += new
    return grid[: len(found)], found


def cell(n: int, name: str) -> dict[str, Any]:
    """Tune a method on validation images of the first world, then train anew in all and read the test images."""
    method = METHODS[name]
    grid, validation = searched(world_of(WORLDS[0]), n, method)
    value, runs = best(grid, validation), {}
    for seed in WORLDS:
        (trained,) = method.train(world_of(seed), n, [value], FINAL, BUDGETS[-1])
        runs[seed] = trained.over(lambda each, seed=seed: _numbers(world_of(seed), n, each))
    return {"grid": grid, "validation": validation, "chosen": value, "runs": runs}


def long_cell(n: int, name: str, value: float) -> dict[str, list[float]]:
    """Students of the first world, trained on with the chosen value."""
    world = world_of(WORLDS[0])
    (trained,) = METHODS[name].train(world, n, [value], FINAL, LONG)
    return _numbers(world, n, trained)


def _accuracy(runs: Runs, part: Examples) -> list[float]:
    return rounded(measure.accuracy(runs.logits(part.inputs), part.labels))


def _numbers(world: World, n: int, runs: Runs) -> dict[str, list[float]]:
    """The four diagnostic numbers in per cent, one per student."""
    test = world.digits.test
    return diagnosed(runs, world.subsets(n, FINAL), test, teacher_logits(world.teacher, test))


def baselines_by_world(n: int) -> dict[int, dict[str, list[float]]]:
    """Classical methods on the same labelled images, in every world."""
    worlds = {seed: world_of(seed) for seed in WORLDS}
    return {seed: baselines(world.subsets(n, FINAL), world.digits.test) for seed, world in worlds.items()}


def run() -> dict[str, dict[str, Any]]:
    """Everything, in the order of what it decides."""
    cells = {
        f"{n}/{name}": STUDY.kept(f"{n}/{name}", lambda n=n, name=name: cell(n, name)) for n, name in CELLS
    }
    longer = {}
    for n, name in LONG_CELLS:
        value = cells[f"{n}/{name}"]["chosen"]
        longer[f"{n}/{name}"] = STUDY.kept(
            f"long/{n}/{name}", lambda n=n, name=name, value=value: long_cell(n, name, value)
        )
    classical = {n: STUDY.kept(f"baselines/{n}", lambda n=n: baselines_by_world(n)) for n in (50, 1200)}
    return {"cells": cells, "long": longer, "baselines": classical}


if __name__ == "__main__":
    torch.set_num_threads(1)
    STUDY.write(**run())
