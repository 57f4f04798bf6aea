"""Chapter 02's comparisons with every side tuned in every world: whose knowledge, how many labels, soft or hard.

In each world every kind of student chooses among 48 settings on validation images, with seeds that are not used again;
the classical methods choose theirs on the same images. Accuracies are in per cent of the test images, one per student.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from course_lib import measure
from course_lib.data import Examples
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    PerStudent,
    Recipe,
    Runs,
    TeacherCache,
    cache_teacher,
    fit_many,
    hard_labels,
    permuted_dark_knowledge,
    smoothed_labels,
    soft_targets,
)
from studies.chapter_02 import halves, per_cent
from studies.study import Study
from studies.worlds import DigitsWorld, rounded, subsets, teacher_of

SETTINGS = {
    "worlds": [0, 1, 2],
    "labels": [50, 1200],
    "search_seeds": [1000, 1001, 1002, 1003],
    "seeds": list(range(20)),
    "steps": [100, 400, 2000],  # settings are chosen at the last
    "own_teacher_steps": 200,
    "hard": {
        "smoothing": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9],
        "decay": [0, 0.001, 0.003, 0.01, 0.03, 0.1],
    },
    "soft": {"temperature": [1, 2, 4, 8, 16, 64], "lam": [0.5, 1.0], "decay": [0, 0.003, 0.01, 0.03]},
    # Without labels λ is 1.
    "answers": {"temperature": [1, 2, 3, 4, 8, 16, 32, 64], "decay": [0, 0.001, 0.003, 0.01, 0.03, 0.1]},
    "classical": {kind: grid for kind, (_, grid) in measure.TUNABLE.items()},
}
SEARCH, SEEDS, STEPS = SETTINGS["search_seeds"], SETTINGS["seeds"], SETTINGS["steps"]
Answers = Callable[[Sequence[Examples], Sequence[int]], Any]  # the teacher's, for sets and their seeds
Point = tuple[float, ...]  # one setting; its decay is not in it


def train(objective, sets, seeds, teacher, decay: float, keep: Sequence[int] = ()) -> Runs:
    recipe = Recipe(steps=STEPS[-1], weight_decay=decay)
    return fit_many(
        small_mlp, objective, sets, recipe, seeds=seeds, teacher=teacher, keep=keep, progress=False
    )


def hard(points: Sequence[Point]):
    """Labels with a smoothing for every student."""
    return smoothed_labels(PerStudent(point[0] for point in points))


def soft(points: Sequence[Point]):
    """Soft targets with a temperature and λ for every student."""
    return soft_targets(PerStudent(point[0] for point in points), PerStudent(point[1] for point in points))


def tuned(
    world: DigitsWorld,
    kind: str,
    draw: Callable[[Sequence[int]], list[Examples]],
    answers: Answers | None = None,
) -> dict[str, Any]:
    """Choose a setting on validation images with some seeds, and measure it with others.

    Args:
        world: whose validation and test images are read.
        kind: of ``SETTINGS``: what may be chosen.
        draw: the labelled images of every seed.
        answers: the teacher's answers to them.
    """
    grid, sets, objective = SETTINGS[kind], draw(SEARCH), hard if kind == "hard" else soft
    points = (
        [(s,) for s in grid["smoothing"]]
        if kind == "hard"
        else [(float(T), lam) for T in grid["temperature"] for lam in grid.get("lam", [1.0])]
    )
    asked = answers(sets, SEARCH) if answers else None
    if isinstance(asked, list):
        asked = asked * len(points)
    found = {}
    for decay in grid["decay"]:
        each = [point for point in points for _ in SEARCH]
        runs = train(objective(each), sets * len(points), SEARCH * len(points), asked, decay)
        right = measure.accuracy(runs.logits(world.digits.validation.inputs), world.digits.validation.labels)
        for point, mean in zip(
            points, right.view(len(points), len(SEARCH)).mean(dim=1).tolist(), strict=True
        ):
            found[(*point, decay)] = mean
    *best, decay = max(found, key=lambda setting: found[setting])
    final = draw(SEEDS)
    asked = answers(final, SEEDS) if answers else None
    runs = train(objective([best] * len(SEEDS)), final, SEEDS, asked, decay, STEPS[:-1])
    names = ["smoothing"] if kind == "hard" else ["temperature", "lam"]
    return {
        "chosen": {**dict(zip(names, best, strict=True)), "decay": decay},
        "validation": round(100 * max(found.values()), 3),
        "test": {str(steps): per_cent(runs.at(steps), world.digits.test) for steps in runs.budgets},
    }


def own_teachers(world: DigitsWorld) -> Answers:
    """Teachers of the student's own labelled images, one per student."""
    recipe = Recipe(SETTINGS["own_teacher_steps"], batch_size=32, lr=2e-3, schedule="cosine")

    def answers(sets: Sequence[Examples], seeds: Sequence[int]) -> list[TeacherCache]:
        own = fit_many(cnn_teacher, hard_labels(), sets, recipe, seeds=seeds, progress=False)
        return [cache_teacher(own.model(place), world.digits.train) for place in range(len(own))]

    return answers


def classical(world: DigitsWorld, draw: Callable[[Sequence[int]], list[Examples]]) -> dict[str, Any]:
    """The classical methods, each with the settings that are best on validation images."""
    digits, found = world.digits, {}
    for kind in measure.TUNABLE:
        seen, search = draw(SEEDS), draw(SEARCH)
        if all(each is seen[0] for each in seen) or len(seen[0]) == len(digits.train):  # all the same
            seen, search = seen[:1], search[:1]
        chosen, right = measure.tuned_baseline(seen, digits.test, kind, search, digits.validation)
        found[kind] = {"chosen": chosen, "test": rounded(right, places=3) * (len(SEEDS) // len(seen))}
    return found


def on_labels(study: Study, seed: int, labels: int) -> dict[str, Any]:
    """Students with so many labels: on labels, on a teacher of all labels, on teachers of their own labels."""
    world = DigitsWorld(seed)

    def draw(seeds: Sequence[int]) -> list[Examples]:
        return world.subsets(labels, seeds)

    def kept(name: str, make: Callable[[], Any]) -> Any:
        return study.kept(f"world {seed}, {labels} labels, {name}", make)

    def everybody(sets: Sequence[Examples], seeds: Sequence[int]) -> TeacherCache:
        return cache_teacher(world.teacher, world.digits.train)

    found = {
        "hard": kept("hard", lambda: tuned(world, "hard", draw)),
        "soft": kept("soft", lambda: tuned(world, "soft", draw, everybody)),
    }
    if labels == min(SETTINGS["labels"]):
        found["own teacher"] = kept("own", lambda: tuned(world, "soft", draw, own_teachers(world)))
    return found | {"classical": kept("classical", lambda: classical(world, draw))}


def on_answers(study: Study, seed: int) -> dict[str, Any]:
    """Students of a teacher of the other half of the images, without labels: its choices, or all it says."""
    world = DigitsWorld(seed)
    seen, new = halves(world.digits.train, seed)
    answers = cache_teacher(teacher_of(seen, seed), new)
    named = replace(new, labels=answers.lookup(new).argmax(dim=1))
    permuted = permuted_dark_knowledge(answers, seed)

    def kept(name: str, make: Callable[[], Any]) -> Any:
        return study.kept(f"world {seed}, answers, {name}", make)

    return {
        "hard, 50 labels": kept("hard", lambda: tuned(world, "hard", lambda seeds: subsets(new, 50, seeds))),
        "pseudo-labels": kept("pseudo", lambda: tuned(world, "hard", lambda seeds: [named] * len(seeds))),
        "soft": kept(
            "soft", lambda: tuned(world, "answers", lambda seeds: [new] * len(seeds), lambda *_: answers)
        ),
        "permuted": kept(
            "permuted", lambda: tuned(world, "answers", lambda seeds: [new] * len(seeds), lambda *_: permuted)
        ),
        "classical, 50 labels": kept(
            "classical", lambda: classical(world, lambda seeds: subsets(new, 50, seeds))
        ),
        "classical, pseudo-labels": kept(
            "classical on answers",
            lambda: classical(world, lambda seeds: [named] * len(seeds)),
        ),
    }


def main() -> None:
    """Measure every world, and write."""
    study = Study("chapter_02_tuned", __doc__.split("\n")[0], SETTINGS)
    labels = {
        str(labels): {str(seed): on_labels(study, seed, labels) for seed in SETTINGS["worlds"]}
        for labels in SETTINGS["labels"]
    }
    study.write(labels=labels, answers={str(seed): on_answers(study, seed) for seed in SETTINGS["worlds"]})


if __name__ == "__main__":
    main()
