"""Chapter 02 with every side tuned in every world: labels, a teacher of all labels, teachers of the student's own.

In each world every kind of student chooses among 36 settings on validation images, with seeds that are not used again;
the classical methods choose theirs on the same images. Accuracies are in per cent of the test images, one per student.
"""

from collections.abc import Callable, Sequence
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
    smoothed_labels,
    soft_targets,
)
from studies.chapter_02 import per_cent
from studies.study import Study
from studies.worlds import DigitsWorld, rounded

SETTINGS = {
    "worlds": [0, 1, 2],
    "labels": {"few": 50, "all": 1200},
    "search_seeds": [1000, 1001, 1002],
    "seeds": list(range(20)),
    "steps": [100, 400, 2000],  # settings are chosen at the last
    "own_teacher_steps": 200,
    "hard": {"smoothing": [0.0, 0.1, 0.2, 0.4, 0.7, 0.9], "decay": [0, 0.001, 0.003, 0.01, 0.03, 0.1]},
    "soft": {"temperature": [1, 2, 4, 8, 16, 64], "lam": [0.5, 1.0], "decay": [0, 0.01, 0.03]},
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
    scores = search(world, kind, draw, answers)
    *best, decay = max(scores, key=lambda setting: scores[setting])
    sets, objective = draw(SEEDS), hard if kind == "hard" else soft
    asked = answers(sets, SEEDS) if answers else None
    runs = train(objective([best] * len(SEEDS)), sets, SEEDS, asked, decay, STEPS[:-1])
    names = ["smoothing"] if kind == "hard" else ["temperature", "lam"]
    return {
        "chosen": {**dict(zip(names, best, strict=True)), "decay": decay},
        "validation": round(100 * max(scores.values()), 3),
        "test": {str(steps): per_cent(runs.at(steps), world.digits.test) for steps in runs.budgets},
    }


def search(
    world: DigitsWorld, kind: str, draw: Callable[[Sequence[int]], list[Examples]], answers: Answers | None
) -> dict[Point, float]:
    """Mean validation accuracy of every setting."""
    grid, sets, objective = SETTINGS[kind], draw(SEARCH), hard if kind == "hard" else soft
    points = (
        [(s,) for s in grid["smoothing"]]
        if kind == "hard"
        else [(float(T), lam) for T in grid["temperature"] for lam in grid["lam"]]
    )
    asked = answers(sets, SEARCH) if answers else None
    if isinstance(asked, list):
        asked = asked * len(points)
    found, validation = {}, world.digits.validation
    for decay in grid["decay"]:
        each = [point for point in points for _ in SEARCH]
        runs = train(objective(each), sets * len(points), SEARCH * len(points), asked, decay)
        right = measure.accuracy(runs.logits(validation.inputs), validation.labels)
        for point, mean in zip(
            points, right.view(len(points), len(SEARCH)).mean(dim=1).tolist(), strict=True
        ):
            found[(*point, decay)] = mean
    return found


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
        chosen, right = measure.tuned_baseline(seen, digits.test, kind, search, digits.validation)
        found[kind] = {"chosen": chosen, "test": rounded(right, places=3)}
    return found


def on_labels(study: Study, seed: int, labels: int) -> dict[str, Any]:
    """Students on labels, on a teacher of all labels and, if labels are few, on teachers of their own labels."""
    world = DigitsWorld(seed)

    def draw(seeds: Sequence[int]) -> list[Examples]:
        return world.subsets(labels, seeds)

    def everybody(sets: Sequence[Examples], seeds: Sequence[int]) -> TeacherCache:
        return cache_teacher(world.teacher, world.digits.train)

    def kept(name: str, make: Callable[[], Any]) -> Any:
        return study.kept(f"world {seed}, {labels} labels, {name}", make)

    found = {
        "hard": kept("hard", lambda: tuned(world, "hard", draw)),
        "soft": kept("soft", lambda: tuned(world, "soft", draw, everybody)),
    }
    if labels == SETTINGS["labels"]["few"]:
        found["own teacher"] = kept("own", lambda: tuned(world, "soft", draw, own_teachers(world)))
        found["classical"] = kept("classical", lambda: classical(world, draw))
    return found


def main() -> None:
    """Measure every world, and write."""
    study = Study("chapter_02_tuned", __doc__.split("\n")[0], SETTINGS)
    few, everything = (
        {str(seed): on_labels(study, seed, labels) for seed in SETTINGS["worlds"]}
        for labels in SETTINGS["labels"].values()
    )
    study.write(worlds=few, all_labels=everything)


if __name__ == "__main__":
    main()
