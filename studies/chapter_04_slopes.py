"""Chapter 04, whose slopes: an image's own, those of another of its class, or those of an image of another class."""

from collections.abc import Sequence
from typing import Any

import torch

from course_lib.data import measured
from course_lib.measure import accuracy
from course_lib.training import Runs, TeacherCache, exchanged_gradients, gradient_matching
from studies.chapter_04 import (
    BUDGETS,
    DECADES,
    FINAL,
    LR,
    METHODS,
    SEARCH,
    WORLDS,
    Method,
    World,
    gradients,
    searched,
    weighted,
    world_of,
)
from studies.study import Study
from studies.worlds import best, rounded

LABELS = 50
MORE = range(10, 20)  # seeds beyond those of chapter_04
AGAIN = ("logits", "matching", "matching, gradients exchanged")  # with these, at the settings chosen there
ACROSS = "matching, gradients of another class"


def another_class(world: World) -> TeacherCache:
    """The teacher's answers, with the gradients of an image of another class."""
    return exchanged_gradients(gradients(world, "S"), world.seed, across_classes=True)


METHOD = weighted(DECADES, gradient_matching, another_class)
STUDY = Study(
    "chapter_04_slopes",
    "Students taught the gradients of an image of another class, and more pairs for three methods of chapter 04",
    {
        "worlds": WORLDS,
        "budgets": BUDGETS,
        "labels": LABELS,
        "search": {"world": WORLDS[0], "seeds": list(SEARCH), "steps": METHOD.search_steps},
        "seeds": list(FINAL),
        "more seeds": list(MORE),
        "again": AGAIN,
        "recipe": f"Adam, learning rate {LR}, batches of 32",
    },
)


def tests(method: Method, value: float, seed: int, seeds: Sequence[int]) -> dict[str, list[float]]:
    """Test accuracy in per cent by steps, one per student, in a world."""
    world = world_of(seed)
    (runs,) = method.train(world, LABELS, [value], seeds, BUDGETS[-1])

    def right(each: Runs) -> list[float]:
        test = world.digits.test
        return rounded(accuracy(each.logits(test.inputs), test.labels))

    return {str(steps): values for steps, values in runs.over(right).items()}


def main() -> None:
    """Choose λ for the new control, train it, then more pairs of the methods that it is compared with."""
    grid, validation = STUDY.kept("search", lambda: searched(world_of(WORLDS[0]), LABELS, METHOD))
    chosen = {name: measured("chapter_04")["cells"][f"{LABELS}/{name}"]["chosen"] for name in AGAIN}
    chosen[ACROSS] = best(grid, validation)
    methods = {name: METHODS[name] for name in AGAIN} | {ACROSS: METHOD}
    wanted: list[tuple[str, Sequence[int]]] = [(ACROSS, FINAL), *((name, MORE) for name in methods)]
    runs: dict[str, dict[str, dict[str, list[float]]]] = {name: {} for name in methods}
    for name, seeds in wanted:
        for world in WORLDS:
            key = f"{name}, world {world}, seeds {seeds[0]} to {seeds[-1]}"
            found = STUDY.kept(
                key,
                lambda name=name, world=world, seeds=seeds: tests(methods[name], chosen[name], world, seeds),
            )
            before: dict[str, Any] = runs[name].get(str(world), {})
            runs[name][str(world)] = {
                steps: before.get(steps, []) + values for steps, values in found.items()
            }
    STUDY.write(grid=grid, validation=validation, chosen=chosen, runs=runs)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
