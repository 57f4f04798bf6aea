"""Whose knowledge is it? Students whose teachers have seen all labels, or only the student's own; and a long training.

Too long for notebook 02, which shows the result. A world is a split of the digits with a teacher of its own, both by one
seed. All accuracies are in per cent of the test images, one per student; students are paired by their seed.
"""

from collections.abc import Sequence

from torch import Tensor

from course_lib import measure
from course_lib.data import Examples, load
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
    # As notebook 02 chooses them in world 0, on validation images.
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
    study.write(worlds=worlds, longer=study.kept("longer", train_longer))


def compare(world: int) -> dict[str, Accuracies | list[float]]:
    """Labels alone, soft targets of a teacher of all labels, and those of teachers of the student's own labels."""
    digits = load("digits", seed=world)
    subsets = [digits.train.subset(SETTINGS["labels"], seed=seed) for seed in SEEDS]
    recipe = Recipe(SETTINGS["own_teacher_steps"], batch_size=32, lr=2e-3, schedule="cosine")
    own = fit_many(cnn_teacher, hard_labels(), subsets, recipe, seeds=SEEDS, progress=False)
    answers = [cache_teacher(own.model(place), digits.train) for place in range(len(own))]
    scores = {
        "hard": train(HARD, subsets, weight_decay=SETTINGS["weight_decay"]),
        "soft": train(SOFT, subsets, teacher=teacher_of_all(digits.train, world)),
        "own teacher": train(SOFT, subsets, teacher=answers),
    }
    return {name: by_steps(runs, digits.test) for name, runs in scores.items()} | {
        "teachers": per_cent(own, digits.test),
        **{
            kind: listed(100 * measure.trivial_baseline(subsets, digits.test, kind))
            for kind in measure.BASELINES
        },
    }


def train_longer() -> dict[str, Accuracies]:
    """Labels alone and soft targets in the first world, with the longest training."""
    world = SETTINGS["worlds"][0]
    digits = load("digits", seed=world)
    subsets = [digits.train.subset(SETTINGS["labels"], seed=seed) for seed in SEEDS]
    budgets = [*SETTINGS["steps"], SETTINGS["longest"]]
    hard = train(HARD, subsets, budgets, weight_decay=SETTINGS["weight_decay"])
    soft = train(SOFT, subsets, budgets, teacher=teacher_of_all(digits.train, world))
    return {"hard": by_steps(hard, digits.test), "soft": by_steps(soft, digits.test)}


def teacher_of_all(examples: Examples, seed: int) -> TeacherCache:
    """The notebook's teacher, which has seen all training labels."""
    recipe = Recipe(steps=400, batch_size=64, lr=2e-3, schedule="cosine")
    return cache_teacher(
        fit(cnn_teacher, hard_labels(), examples, recipe, seed=seed, progress=False).model, examples
    )


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
