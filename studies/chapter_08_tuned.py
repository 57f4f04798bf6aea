"""Chapter 08 with tuned rivals: labels, soft targets and permuted answers for its smallest student, each at its best.

``python -m studies.chapter_08_tuned`` measures all parts and writes ``data/results/chapter_08_tuned.json``. Worlds and
teachers are those of ``studies.chapter_08``.
"""

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import torch

from course_lib.losses import smoothed_label_loss, soft_target_loss
from course_lib.models import mlp
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Runs,
    TeacherCache,
    Term,
    fit_many,
    permuted_dark_knowledge,
)
from studies.chapter_08 import LAM, WORLDS, Method, split, taught, teacher
from studies.study import Study
from studies.worlds import diagnosed, earlier, right_answers

BUDGETS, LONG = (200, 800, 4000), 16000
SEARCH, SEEDS = range(1000, 1003), range(12)  # students that choose, and others that are measured
# Learning rate: longest budget.
RATES = {0.0003: 4000, 0.00125: 4000, 0.005: 4000, 0.02: 4000, 0.08: 800}
DECAYS = (0.0, 0.003, 0.01, 0.03)
SMOOTHING, TEMPERATURES = (0.0, 0.1, 0.3), (2.0, 4.0, 8.0)
VALUES = {"hard": SMOOTHING, "soft": TEMPERATURES, "permuted": TEMPERATURES}
PLAIN = {"hard": 0.0, "soft": 4.0, "permuted": 4.0}  # the chapter's own
RATE = 0.005
FREE = {
    "hard": ("", "rate and decay", "all"),
    "soft": ("", "all"),
    "permuted": ("all",),
}
WIDER = {"smoothing": (0.6, 0.8), "temperatures": (32.0, 64.0)}
TURNING = {
    "temperatures": (1.0, 2.0, 4.0, 8.0, 16.0),
    "budgets": (100, 200, 400, 800, 1600, 4000),
    "seeds": 8,
}
SETTINGS = {
    **{"worlds": WORLDS, "budgets": BUDGETS, "long": LONG, "lam": LAM, "width": 6, "labels": 1200},
    **{"search": list(SEARCH), "seeds": list(SEEDS), "rates": list(RATES.items()), "decays": DECAYS},
    **{"smoothing": SMOOTHING, "temperatures": TEMPERATURES, "long_world": WORLDS[0]},
}
STUDY = Study("chapter_08_tuned", __doc__.splitlines()[0], SETTINGS)

Student = tuple[Method, int, int]  # method, world, seed


def method(side: str, value: float) -> Method:
    """Labels smoothed by the value, or answers at this temperature, the teacher's or permuted ones."""
    if side == "hard":
        return Method(labels=1.0, smoothing=value)
    return taught(value, "teacher" if side == "soft" else side)


@cache
def answers(world: int, name: str, seed: int) -> TeacherCache:
    """What a world's teacher says, or the same with its dark knowledge permuted, anew for every student."""
    known = teacher(world)
    return permuted_dark_knowledge(known, seed=seed) if name == "permuted" else known


def train(
    students: Sequence[Student], steps: int, *, lr: float, decay: float = 0.0, keep: Sequence[int]
) -> Runs:
    """Students of the smallest kind, all at once, each with the labels and the teacher of its world."""
    methods = [each for each, _, _ in students]

    def of(name: str) -> PerStudent:
        return PerStudent(getattr(each, name) for each in methods)

    goal = Objective(
        [
            Term("labels", smoothed_label_loss, weight=of("labels"), smoothing=of("smoothing")),
            Term("soft", soft_target_loss, weight=of("soft"), temperature=of("temperature")),
        ]
    )
    return fit_many(
        partial(mlp, (1, 8, 8), (6, 6), 10),
        goal,
        [split(world).train for _, world, _ in students],
        Recipe(steps=steps, batch_size=32, optimizer="adam", lr=lr, weight_decay=decay),
        seeds=[seed for _, _, seed in students],
        teacher=[answers(world, each.teacher, seed) for each, world, seed in students],
        keep=earlier(keep, steps),
        progress=False,
    )


def right(runs: Runs, students: Sequence[Student], part: str) -> list[int]:
    """How many images of this part of its world each student gets right."""
    found = torch.zeros(len(students), dtype=torch.long)
    for world in WORLDS:
        data, own = getattr(split(world), part), torch.tensor([each == world for _, each, _ in students])
        if own.any():
            found[own] = right_answers(runs.logits(data.inputs), data.labels)[own]
    return found.tolist()


def searched(rate: float, decay: float) -> dict[str, Any]:
    """Right validation images of the choosing students: by budget, then side, value and world."""
    names = [(side, value, world) for side in VALUES for value in VALUES[side] for world in WORLDS]
    students = [(method(side, value), world, seed) for side, value, world in names for seed in SEARCH]
    runs = train(students, RATES[rate], lr=rate, decay=decay, keep=BUDGETS)
    found = {}
    for steps in runs.budgets:
        counts = torch.tensor(right(runs.at(steps), students, "validation")).view(len(names), -1).sum(dim=1)
        found[str(steps)] = {
            f"{side}/{value:g}/{world}": count
            for (side, value, world), count in zip(names, counts.tolist(), strict=True)
        }
    return found


def best(search: dict[str, Any], side: str, free: str, world: int, steps: int) -> tuple[float, float, float]:
    """Rate, decay and value with the most right validation images, among those that are free; of several the first."""
    tried = {}
    for rate, longest in RATES.items():
        for decay in DECAYS:
            for value in VALUES[side]:
                if longest >= steps and (free == "all" or value == PLAIN[side]):
                    key = f"{side}/{value:g}/{world}"
                    tried[rate, decay, value] = search[f"{rate:g}/{decay:g}"][str(steps)][key]
    return max(tried, key=tried.__getitem__)


def measured(side: str, settings: Sequence[float], world: int, steps: int) -> dict[str, Any]:
    """The students of one world with these settings, at the budget and, where they are trained longer, after it."""
    rate, decay, value = settings
    students = [(method(side, value), world, seed) for seed in SEEDS]
    runs = train(students, steps, lr=rate, decay=decay, keep=BUDGETS)
    data, said = split(world), teacher(world).lookup(split(world).test)
    found = {}
    for budget in runs.budgets:
        scores = diagnosed(runs.at(budget), data.train, data.test, said)
        means = {name: round(sum(each) / len(each), 2) for name, each in scores.items()}
        found[str(budget)] = {"right": right(runs.at(budget), students, "test"), **means}
    return found


def smallest() -> dict[str, Any]:
    """By method and budget: the settings of every world, and its students' scores."""
    search = {
        f"{rate:g}/{decay:g}": STUDY.kept(f"search/{rate:g}/{decay:g}", partial(searched, rate, decay))
        for rate in RATES
        for decay in DECAYS
    }
    found = {}
    for side, free in [(each, free) for each in FREE for free in FREE[each]]:
        by_budget = found[f"{side}, {free}" if free else side] = {}
        for steps in BUDGETS:
            settings = [
                best(search, side, free, world, steps) if free else (RATE, 0.0, PLAIN[side])
                for world in WORLDS
            ]
            each = [_kept(side, settings[world], world, steps) for world in WORLDS]
            by_budget[str(steps)] = _listed(each, steps, settings)
        if free == "all":  # in one world, with the settings of the longest budget
            long = _kept(side, settings[0], WORLDS[0], LONG)
            by_budget[str(LONG)] = _listed([long], LONG, settings[:1])
    return found


def _listed(each: list[dict[str, Any]], steps: int, settings: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The scores of several worlds as one list by name, beside their settings."""
    named = {name: [one[str(steps)][name] for one in each] for name in each[0][str(steps)]}
    return {"settings": settings} | named


def _kept(side: str, settings: Sequence[float], world: int, steps: int) -> dict[str, Any]:
    key = f"measured/{side}/{'/'.join(f'{each:g}' for each in settings)}/{world}/{steps}"
    return STUDY.kept(key, partial(measured, side, settings, world, steps))


def main() -> None:
    """Measure everything that is not kept, and write."""
    STUDY.write(test_images=len(split(WORLDS[0]).test), results=smallest())


if __name__ == "__main__":
    main()
