"""Whose knowledge is it? Teachers that have seen all labels, or the student's own, or none of the student's images.

Too long for notebook 02, which shows the result. A world is a split of the digits with teachers of its own, both by one
seed. All accuracies are in per cent of the test images, one per student; students are paired by their seed.
"""

from collections.abc import Sequence
from dataclasses import replace

from course_lib import measure
from course_lib.data import Examples
from course_lib.data.splits import stratified_split
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    Objective,
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
from studies.study import Study
from studies.worlds import DigitsWorld, baselines, rounded, subsets, teacher_of

SETTINGS = {
    "worlds": [0, 1, 2],
    "labels": 50,
    "seeds": 10,
    "steps": [200, 800, 4000],
    "longest": 12000,
    # Good ones for few labels on validation images of world 0, where the optimum of notebook 02 is flat.
    "temperature": 16.0,
    "lam": 1.0,
    "smoothing": 0.1,
    "weight_decay": 0.01,
    "own_teacher_steps": 200,
}
SEEDS = range(SETTINGS["seeds"])
SOFT = soft_targets(SETTINGS["temperature"], SETTINGS["lam"])
HARD = smoothed_labels(SETTINGS["smoothing"])
Accuracies = dict[str, list[float]]  # by number of steps


def main() -> None:
    """Measure every world, then train the students of the first one for longer."""
    study = Study("chapter_02", "soft targets of teachers that have seen many labels, or few", SETTINGS)
    worlds = {
        str(seed): study.kept(f"world {seed}", lambda seed=seed: compare(seed)) for seed in SETTINGS["worlds"]
    }
    transfer = {
        str(seed): study.kept(f"world {seed}, transfer", lambda seed=seed: compare_on_new_images(seed))
        for seed in SETTINGS["worlds"]
    }
    study.write(worlds=worlds, transfer=transfer, longer=study.kept("longer", train_longer))


def compare(seed: int) -> dict[str, Accuracies | list[float]]:
    """Labels alone, soft targets of a teacher of all labels, and those of teachers of the student's own labels."""
    world = DigitsWorld(seed)
    digits, few = world.digits, world.subsets(SETTINGS["labels"], SEEDS)
    recipe = Recipe(SETTINGS["own_teacher_steps"], batch_size=32, lr=2e-3, schedule="cosine")
    own = fit_many(cnn_teacher, hard_labels(), few, recipe, seeds=SEEDS, progress=False)
    answers = [cache_teacher(own.model(place), digits.train) for place in range(len(own))]
    scores = {
        "hard": train(HARD, few, weight_decay=SETTINGS["weight_decay"]),
        "soft": train(SOFT, few, teacher=cache_teacher(world.teacher, digits.train)),
        "own teacher": train(SOFT, few, teacher=answers),
    }
    return {name: by_steps(runs, digits.test) for name, runs in scores.items()} | {
        "teachers": per_cent(own, digits.test),
        **baselines(few, digits.test, places=3),
    }


def compare_on_new_images(seed: int) -> dict[str, Accuracies | list[float]]:
    """Students on one half of the images: with some labels; or with the answers of a teacher of the other half."""
    digits = DigitsWorld(seed).digits
    seen, new = halves(digits.train, seed)
    answers = cache_teacher(teacher_of(seen, seed), new)
    named = replace(new, labels=answers.lookup(new).argmax(dim=1))
    few = subsets(new, SETTINGS["labels"], SEEDS)
    all_of_it, labels_of_it, decay = [new] * len(SEEDS), [named] * len(SEEDS), SETTINGS["weight_decay"]
    scores = {
        "hard": train(HARD, few, weight_decay=decay),
        "pseudo-labels": train(HARD, labels_of_it, weight_decay=decay),
        "soft": train(SOFT, all_of_it, teacher=answers),
        "permuted": train(SOFT, all_of_it, teacher=permuted_dark_knowledge(answers, seed)),
    }
    return {name: by_steps(runs, digits.test) for name, runs in scores.items()} | baselines(
        few, digits.test, places=3
    )


def halves(train: Examples, seed: int) -> list[Examples]:
    """The training images in two halves, as notebook 02 cuts them."""
    half = len(train) // 2
    return [train.take(part) for part in stratified_split(train.labels, (half, len(train) - half), seed)]


def train_longer() -> dict[str, Accuracies]:
    """Labels alone and soft targets in the first world, with the longest training."""
    world = DigitsWorld(SETTINGS["worlds"][0])
    digits, few = world.digits, world.subsets(SETTINGS["labels"], SEEDS)
    budgets = [*SETTINGS["steps"], SETTINGS["longest"]]
    hard = train(HARD, few, budgets, weight_decay=SETTINGS["weight_decay"])
    soft = train(SOFT, few, budgets, teacher=cache_teacher(world.teacher, digits.train))
    return {"hard": by_steps(hard, digits.test), "soft": by_steps(soft, digits.test)}


def train(
    objective: Objective,
    examples: Sequence[Examples],
    budgets: Sequence[int] = SETTINGS["steps"],
    teacher: TeacherCache | Sequence[TeacherCache] | None = None,
    weight_decay: float = 0.0,
) -> Runs:
    """One student per set, kept at every budget."""
    recipe = Recipe(steps=budgets[-1], weight_decay=weight_decay)
    return fit_many(
        small_mlp,
        objective,
        examples,
        recipe,
        seeds=SEEDS,
        teacher=teacher,
        keep=budgets[:-1],
        progress=False,
    )


def by_steps(runs: Runs, test: Examples) -> Accuracies:
    """Accuracies of all students after each number of steps."""
    return {str(steps): per_cent(runs.at(steps), test) for steps in runs.budgets}


def per_cent(runs: Runs, test: Examples) -> list[float]:
    """Accuracy of every student, with three decimals; 397 images tell no more."""
    return rounded(measure.accuracy(runs.logits(test.inputs), test.labels), places=3)


if __name__ == "__main__":
    main()
