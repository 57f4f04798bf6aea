"""Whose knowledge is it? Teachers that have seen all labels, or the student's own, or none of the student's images.

Too long for notebook 02, which shows the result. A world is a split of the digits with teachers of its own, both by one
seed. All accuracies are in per cent of the test images, one per student; students are paired by their seed.
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from course_lib import measure
from course_lib.data import Examples, load
from course_lib.data.splits import stratified_split
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    Objective,
    Recipe,
    Runs,
    TeacherCache,
    cache_teacher,
    fit,
    fit_many,
    hard_labels,
    permuted_dark_knowledge,
    smoothed_labels,
    soft_targets,
)
from studies.study import Study

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


def compare(world: int) -> dict[str, Accuracies | list[float]]:
    """Labels alone, soft targets of a teacher of all labels, and those of teachers of the student's own labels."""
    digits = load("digits", seed=world)
    subsets = [digits.train.subset(SETTINGS["labels"], seed=seed) for seed in SEEDS]
    recipe = Recipe(SETTINGS["own_teacher_steps"], batch_size=32, lr=2e-3, schedule="cosine")
    own = fit_many(cnn_teacher, hard_labels(), subsets, recipe, seeds=SEEDS, progress=False)
    answers = [cache_teacher(own.model(place), digits.train) for place in range(len(own))]
    scores = {
        "hard": train(HARD, subsets, weight_decay=SETTINGS["weight_decay"]),
        "soft": train(SOFT, subsets, teacher=cache_teacher(trained(digits.train, world), digits.train)),
        "own teacher": train(SOFT, subsets, teacher=answers),
    }
    return {name: by_steps(runs, digits.test) for name, runs in scores.items()} | {
        "teachers": per_cent(own, digits.test),
        **{
            kind: listed(100 * measure.trivial_baseline(subsets, digits.test, kind))
            for kind in measure.BASELINES
        },
    }


def compare_on_new_images(world: int) -> dict[str, Accuracies | list[float]]:
    """Students on one half of the images: with some labels; or with the answers of a teacher of the other half."""
    digits = load("digits", seed=world)
    seen, new = halves(digits.train, world)
    answers = cache_teacher(trained(seen, world), new)
    named = replace(new, labels=answers.lookup(new).argmax(dim=1))
    few = [new.subset(SETTINGS["labels"], seed=seed) for seed in SEEDS]
    all_of_it, labels_of_it, decay = [new] * len(SEEDS), [named] * len(SEEDS), SETTINGS["weight_decay"]
    scores = {
        "hard": train(HARD, few, weight_decay=decay),
        "pseudo-labels": train(HARD, labels_of_it, weight_decay=decay),
        "soft": train(SOFT, all_of_it, teacher=answers),
        "permuted": train(SOFT, all_of_it, teacher=permuted_dark_knowledge(answers, world)),
    }
    classical = {
        kind: listed(100 * measure.trivial_baseline(few, digits.test, kind)) for kind in measure.BASELINES
    }
    return {name: by_steps(runs, digits.test) for name, runs in scores.items()} | classical


def halves(train: Examples, seed: int) -> list[Examples]:
    """The training images in two halves, as notebook 02 cuts them."""
    half = len(train) // 2
    return [train.take(part) for part in stratified_split(train.labels, (half, len(train) - half), seed)]


def train_longer() -> dict[str, Accuracies]:
    """Labels alone and soft targets in the first world, with the longest training."""
    world = SETTINGS["worlds"][0]
    digits = load("digits", seed=world)
    subsets = [digits.train.subset(SETTINGS["labels"], seed=seed) for seed in SEEDS]
    budgets = [*SETTINGS["steps"], SETTINGS["longest"]]
    hard = train(HARD, subsets, budgets, weight_decay=SETTINGS["weight_decay"])
    soft = train(SOFT, subsets, budgets, teacher=cache_teacher(trained(digits.train, world), digits.train))
    return {"hard": by_steps(hard, digits.test), "soft": by_steps(soft, digits.test)}


def trained(examples: Examples, seed: int) -> nn.Module:
    """A teacher, as notebook 02 trains it."""
    recipe = Recipe(steps=400, batch_size=64, lr=2e-3, schedule="cosine")
    return fit(cnn_teacher, hard_labels(), examples, recipe, seed=seed, progress=False).model


def train(
    objective: Objective,
    subsets: Sequence[Examples],
    budgets: Sequence[int] = SETTINGS["steps"],
    teacher: TeacherCache | Sequence[TeacherCache] | None = None,
    weight_decay: float = 0.0,
) -> Runs:
    """One student per set, kept at every budget."""
    recipe = Recipe(steps=budgets[-1], weight_decay=weight_decay)
    return fit_many(
        small_mlp,
        objective,
        subsets,
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
    """Accuracy of every student."""
    return listed(100 * measure.accuracy(runs.logits(test.inputs), test.labels))


def listed(values: Tensor) -> list[float]:
    """As short numbers; 397 images tell no more."""
    return [round(value, 3) for value in values.tolist()]


if __name__ == "__main__":
    main()
