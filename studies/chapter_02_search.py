"""Chapter 02's searches: what every setting of soft targets, hard labels and unlabelled answers reaches.

``python -m studies.chapter_02_search`` measures all parts and writes ``data/results/chapter_02_search.json``. A world
is a split of the digits with a teacher of its own, both as chapter 02 makes them for a seed.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from course_lib.models import small_mlp
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    TeacherCache,
    cache_teacher,
    fit_many,
    smoothed_labels,
    soft_targets,
)
from studies.study import Study
from studies.worlds import DigitsWorld, right_answers

WORLDS = (0, 1, 2)  # seeds of split and teacher
SEEDS = range(1000, 1004)
STEPS, LABELS = 800, (100, 1200)
TEMPERATURES, LAMS = (1.0, 2.0, 4.0, 8.0, 16.0, 64.0), (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
DECAYS, SMOOTHING = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1), (0.0, 0.1, 0.2, 0.4, 0.7, 0.9)
SETTINGS = {
    **{"worlds": WORLDS, "seeds": list(SEEDS), "steps": STEPS, "labels": LABELS},
    **{"temperatures": TEMPERATURES, "lams": LAMS, "decays": DECAYS, "smoothing": SMOOTHING},
}


@cache
def world(number: int) -> DigitsWorld:
    """A split and, trained on all its labels, a teacher."""
    return DigitsWorld(number)


@cache
def answers(number: int) -> TeacherCache:
    """The teacher's answers to all training images of its world."""
    return cache_teacher(world(number).teacher, world(number).digits.train)


def right(number: int, labels: int, objective: Objective, settings: int, decay: float = 0.0) -> Tensor:
    """How many validation images the students of every setting get right, (settings, seeds)."""
    recipe = Recipe(steps=STEPS, batch_size=32, optimizer="adam", lr=5e-3, weight_decay=decay)
    drawn = [world(number).digits.train.subset(labels, seed=seed) for seed in SEEDS]
    runs = fit_many(
        small_mlp,
        objective,
        drawn * settings,
        recipe,
        seeds=list(SEEDS) * settings,
        teacher=answers(number),
        progress=False,
    )
    validation = world(number).digits.validation
    return right_answers(runs.logits(validation.inputs), validation.labels).view(settings, len(SEEDS))


def repeated(values: Sequence[float]) -> PerStudent:
    """Each value for all seeds."""
    return PerStudent(value for value in values for _ in SEEDS)


def soft(number: int, labels: int) -> list[Any]:
    """Soft targets by temperature, λ and seed."""
    each = [(T, lam) for T in TEMPERATURES for lam in LAMS]
    goal = soft_targets(repeated([T for T, _ in each]), repeated([lam for _, lam in each]))
    shape = len(TEMPERATURES), len(LAMS), len(SEEDS)
    return right(number, labels, goal, len(each)).view(shape).tolist()


def hard(number: int, labels: int) -> list[Any]:
    """Labels by weight decay, smoothing and seed."""
    goal = smoothed_labels(repeated(SMOOTHING))
    return torch.stack([right(number, labels, goal, len(SMOOTHING), decay) for decay in DECAYS]).tolist()


def unlabelled(number: int) -> list[Any]:
    """Nothing but soft targets, on all images, by weight decay, temperature and seed."""
    goal, images = soft_targets(repeated(TEMPERATURES), 1.0), len(world(number).digits.train)
    rows = [right(number, images, goal, len(TEMPERATURES), decay) for decay in DECAYS]
    return torch.stack(rows).tolist()


def main() -> None:
    """Measure everything that is not kept, and write."""
    study = Study("chapter_02_search", __doc__.splitlines()[0], SETTINGS)
    results = {}
    for number in WORLDS:
        found = results[str(number)] = {"soft": {}, "hard": {}}
        for labels in LABELS:
            for name, part in (("soft", soft), ("hard", hard)):
                key = f"{name}, {labels} labels, world {number}"
                found[name][str(labels)] = study.kept(key, partial(part, number, labels))
        everything = study.kept(f"unlabelled, world {number}", partial(unlabelled, number))
        found["unlabelled"] = {str(LABELS[-1]): everything}
    study.write(validation_images=len(world(WORLDS[0]).digits.validation), results=results)


if __name__ == "__main__":
    main()
