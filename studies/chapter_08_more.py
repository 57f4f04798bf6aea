"""Chapter 08's open ends: the investigation in three worlds, and the logits of an assistant.

``python -m studies.chapter_08_more`` measures all parts and writes ``data/results/chapter_08_more.json``. Worlds,
teachers and students are those of ``studies.chapter_08``.
"""

from typing import Any

import torch

from course_lib.training import cache_teacher
from studies import chapter_08 as first
from studies.chapter_08 import HARD, WORLDS, by_pair, split, taught, teacher
from studies.chapter_08_tuned import RATE, method, right, train
from studies.study import Study

TURNING = {
    "temperatures": (1.0, 2.0, 4.0, 8.0, 16.0),
    "budgets": (100, 200, 400, 800, 1600, 4000),
    "seeds": 8,
}
SETTINGS = {"worlds": WORLDS, "turning": TURNING}
STUDY = Study("chapter_08_more", __doc__.splitlines()[0], SETTINGS)


def turning() -> dict[str, Any]:
    """Right test images over budgets, by world: teacher's and permuted answers at each temperature, and labels."""
    names = [(side, T) for side in ("soft", "permuted") for T in TURNING["temperatures"]]
    methods = {"hard": HARD} | {f"{side}, {T:g}": method(side, T) for side, T in names}
    students = [
        (each, world, seed)
        for each in methods.values()
        for world in WORLDS
        for seed in range(TURNING["seeds"])
    ]
    runs = train(students, TURNING["budgets"][-1], lr=RATE, keep=TURNING["budgets"])
    shape = (len(methods), len(WORLDS), TURNING["seeds"])
    found = {name: {} for name in methods}
    for steps in runs.budgets:
        counts = torch.tensor(right(runs.at(steps), students, "test")).view(shape).tolist()
        for name, each in zip(methods, counts, strict=True):
            found[name][str(steps)] = each
    return found


def assistants() -> dict[str, Any]:
    """The spread of logits on training images (standard deviation around each image's mean), by teacher and world."""
    known = by_pair(teacher)
    runs = first.train({"assistant": taught(4.0)}, {"teacher": known}, width=32, steps=4000, shift=900)
    found = {name: [] for name in ("20", "250", "assistant")}
    for number, world in enumerate(WORLDS):
        images = split(world).train
        for steps in (20, 250):
            found[str(steps)].append(_spread(teacher(world, steps).lookup(images)))
        own = [
            _spread(cache_teacher(runs.model(number * first.SEEDS + i), images).lookup(images))
            for i in range(first.SEEDS)
        ]
        found["assistant"].append(round(sum(own) / len(own), 2))
    return found


def _spread(logits: torch.Tensor) -> float:
    return round(float((logits - logits.mean(dim=1, keepdim=True)).square().mean().sqrt()), 2)


def main() -> None:
    """Measure everything that is not kept, and write."""
    parts = {"turning": turning, "assistant": assistants}
    results = {name: STUDY.kept(name, make) for name, make in parts.items()}
    STUDY.write(test_images=len(split(WORLDS[0]).test), results=results)


if __name__ == "__main__":
    main()
