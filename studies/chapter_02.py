"""Soft targets against hard labels that are tuned as widely, in several worlds; and the teacher's answers where nobody
labelled. Too long for notebook 02, which shows the result.

A world is a split of the digits and a teacher trained on it, both by one seed. All accuracies are in per cent, one per
student; students of a row are paired by their seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from course_lib import measure
from course_lib.data import Dataset, Examples, load
from course_lib.data.splits import stratified_split
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    PerStudent,
    Recipe,
    Runs,
    TeacherCache,
    answers_from,
    cache_teacher,
    evened_dark_knowledge,
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
    "labels": [50, 1200],
    "transfer_labels": [50, 200],
    "lr": [0.005, 0.02],
    "weight_decay": [0.0, 0.003, 0.01, 0.03],
    "smoothing": [0.0, 0.1, 0.2, 0.3, 0.5],
    "temperature": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
    "lam": [0.25, 0.5, 0.75, 0.9, 1.0],
    "search_steps": 1500,
    "search_seeds": 3,
    "steps": [200, 800, 4000],
    "longest": 12000,
    "seeds": 10,
}
SEARCH = range(1000, 1000 + SETTINGS["search_seeds"])
TEACHER = Recipe(steps=400, batch_size=64, lr=2e-3, schedule="cosine")
Hard, Soft = tuple[float, float, float], tuple[float, float]  # (lr, weight decay, smoothing), (T, λ)
HARD_GRID = [
    (lr, decay, smoothing)
    for lr in SETTINGS["lr"]
    for decay in SETTINGS["weight_decay"]
    for smoothing in SETTINGS["smoothing"]
]
SOFT_GRID = [(temperature, lam) for temperature in SETTINGS["temperature"] for lam in SETTINGS["lam"]]


@dataclass(frozen=True)
class World:
    """A split of the digits, with teachers that learn from all training images or from one half of them."""

    seed: int

    @cached_property
    def digits(self) -> Dataset:
        return load("digits", seed=self.seed)

    @cached_property
    def halves(self) -> list[Examples]:
        train = self.digits.train
        size = len(train) // 2
        parts = stratified_split(train.labels, (size, len(train) - size), self.seed)
        return [train.take(part) for part in parts]

    @cached_property
    def answers(self) -> TeacherCache:
        """Of a teacher that has seen all training labels, on all training images."""
        return cache_teacher(self._teacher(self.digits.train), self.digits.train)

    @cached_property
    def answers_on_new(self) -> TeacherCache:
        """Of a teacher that has seen the first half, on the second."""
        return cache_teacher(self._teacher(self.halves[0]), self.halves[1])

    def _teacher(self, examples: Examples):
        return fit(cnn_teacher, hard_labels(), examples, TEACHER, seed=self.seed, progress=False).model


def main() -> None:
    """Choose the settings in the first world, measure in all, and write the file."""
    study = Study(
        "chapter_02", "soft targets against tuned hard labels, and on images without labels", SETTINGS
    )
    first = World(SETTINGS["worlds"][0])
    chosen = {
        str(size): study.kept(f"search, {size} labels", lambda size=size: search(first, size))
        for size in SETTINGS["labels"]
    }
    chosen["transfer"] = study.kept("search, transfer", lambda: search_transfer(first))
    found = {str(seed): measured(study, World(seed), chosen) for seed in SETTINGS["worlds"]}
    longer = {
        size: study.kept(
            f"longer, {size} labels", lambda size=size: train_longer(first, int(size), chosen[size])
        )
        for size in map(str, SETTINGS["labels"])
    }
    study.write(search=chosen, worlds=found, longer=longer)


def measured(study: Study, world: World, chosen: dict) -> dict:
    """All results of one world."""
    few, name = str(SETTINGS["labels"][0]), f"world {world.seed}"
    main = {
        str(size): study.kept(
            f"{name}, {size} labels", lambda size=size: compare(world, size, chosen[str(size)])
        )
        for size in SETTINGS["labels"]
    }
    own = study.kept(f"{name}, own teachers", lambda: own_teachers(world, int(few), chosen[few]))
    transfer = {
        str(labels): study.kept(
            f"{name}, transfer, {labels} labels",
            lambda labels=labels: compare_transfer(world, labels, chosen["transfer"], chosen[few]),
        )
        for labels in SETTINGS["transfer_labels"]
    }
    return {"main": main, "own teachers": own, "transfer": transfer}


def search(world: World, size: int) -> dict:
    """Mean validation accuracy of every setting, and the best of each side."""
    subsets = [world.digits.train.subset(size, seed=seed) for seed in SEARCH]
    return best_of(world, subsets, world.answers)


def best_of(world: World, subsets: Sequence[Examples], answers: TeacherCache) -> dict:
    """The best settings for labels and for soft targets, on validation images."""
    steps = [SETTINGS["search_steps"]]
    hard = train_hard(subsets, list(SEARCH), HARD_GRID, steps)
    soft = train_soft(subsets, list(SEARCH), SOFT_GRID, steps, answers)
    return {"hard": judged(world, hard, HARD_GRID), "soft": judged(world, [soft], SOFT_GRID)}


def judged(world: World, runs: Sequence[Runs], grid: Sequence[tuple]) -> dict:
    """Validation accuracy by setting, in the order of the grid, and the best setting."""
    scores = torch.cat([per_cent(each, world.digits.validation) for each in runs])
    means = scores.view(len(grid), len(SEARCH)).mean(dim=1)
    return {"setting": grid[int(means.argmax())], "validation": listed(means)}


def train_hard(
    subsets: Sequence[Examples], seeds: Sequence[int], grid: Sequence[Hard], steps: Sequence[int]
) -> list[Runs]:
    """Students on labels; one training for each learning rate and weight decay, in the order of the grid."""
    trainings = []
    for lr, decay in dict.fromkeys(setting[:2] for setting in grid):
        smoothings = [setting[2] for setting in grid if setting[:2] == (lr, decay)]
        objective = smoothed_labels(PerStudent(value for value in smoothings for _ in seeds))
        recipe = Recipe(steps=max(steps), lr=lr, weight_decay=decay)
        many = len(smoothings)
        trainings.append(
            fit_many(
                small_mlp,
                objective,
                [*subsets] * many,
                recipe,
                seeds=[*seeds] * many,
                keep=steps[:-1],
                progress=False,
            )
        )
    return trainings


def train_soft(
    subsets: Sequence[Examples],
    seeds: Sequence[int],
    grid: Sequence[Soft],
    steps: Sequence[int],
    answers: TeacherCache | Sequence[TeacherCache],
) -> Runs:
    """Students on soft targets, all settings at once; ``answers`` are one for all or one for each student."""
    temperatures, lams = ([setting[i] for setting in grid for _ in seeds] for i in (0, 1))
    return fit_many(
        small_mlp,
        soft_targets(PerStudent(temperatures), PerStudent(lams)),
        [*subsets] * len(grid),
        Recipe(steps=max(steps)),
        seeds=[*seeds] * len(grid),
        teacher=answers,
        keep=steps[:-1],
        progress=False,
    )


def compare(world: World, size: int, found: dict) -> dict:
    """Test accuracy of both sides as chosen, of both untuned, and of two classical methods."""
    seeds, test = list(range(SETTINGS["seeds"])), world.digits.test
    subsets = [world.digits.train.subset(size, seed=seed) for seed in seeds]
    (hard,) = train_hard(subsets, seeds, [tuple(found["hard"]["setting"])], SETTINGS["steps"])
    settings = [tuple(found["soft"]["setting"]), (4.0, 0.9), (4.0, 0.0)]
    rest = train_soft(subsets, seeds, settings, SETTINGS["steps"], world.answers)
    names = ("soft", "untuned soft", "untuned hard")
    parts = {str(steps): per_cent(rest.at(steps), test).chunk(len(names)) for steps in rest.budgets}
    return {
        "hard": by_steps(hard, test),
        **{name: {steps: listed(part[i]) for steps, part in parts.items()} for i, name in enumerate(names)},
        **classical(subsets, test),
    }


def train_longer(world: World, size: int, found: dict) -> dict:
    """Both sides as chosen, with the longest training."""
    seeds, budgets = list(range(SETTINGS["seeds"])), [*SETTINGS["steps"], SETTINGS["longest"]]
    subsets = [world.digits.train.subset(size, seed=seed) for seed in seeds]
    hard, soft = (tuple(found[side]["setting"]) for side in ("hard", "soft"))
    (plain,) = train_hard(subsets, seeds, [hard], budgets)
    taught = train_soft(subsets, seeds, [soft], budgets, world.answers)
    return {"hard": by_steps(plain, world.digits.test), "soft": by_steps(taught, world.digits.test)}


def own_teachers(world: World, size: int, found: dict) -> dict:
    """Students of teachers that have seen the student's own labels and no other."""
    seeds = list(range(SETTINGS["seeds"]))
    subsets = [world.digits.train.subset(size, seed=seed) for seed in seeds]
    recipe = Recipe(steps=200, batch_size=32, lr=2e-3, schedule="cosine")
    teachers = fit_many(cnn_teacher, hard_labels(), subsets, recipe, seeds=seeds, progress=False)
    answers = [cache_teacher(teachers.model(i), world.digits.train) for i in range(len(seeds))]
    students = train_soft(subsets, seeds, [tuple(found["soft"]["setting"])], SETTINGS["steps"], answers)
    return {
        "teachers": listed(per_cent(teachers, world.digits.test)),
        "students": by_steps(students, world.digits.test),
    }


def partly_labelled(world: World, labels: int, seeds: Sequence[int]) -> tuple[list[Examples], TeacherCache]:
    """The second half for every seed, and the teacher's answers to it.

    Some images have their true label, the others the class that the teacher names. An image may be known to one
    student and not to another, so that every set gets numbers of its own.
    """
    half, sets = world.halves[1], []
    answers = world.answers_on_new.lookup(half)
    for place, seed in enumerate(seeds):
        known = torch.isin(half.index, half.subset(labels, seed=seed).index)
        named = half.labels.where(known, answers.argmax(dim=1))
        sets.append(replace(half, labels=named, index=torch.arange(len(half)) + place * len(half)))
    together = {
        key: torch.cat([getattr(each, key) for each in sets]) for key in ("images", "labels", "index")
    }
    return sets, answers_from(answers.repeat(len(sets), 1), replace(half, **together))


def search_transfer(world: World) -> dict:
    """The best settings for the teacher's hard answers and for its soft ones, where 50 images have a label."""
    return best_of(world, *partly_labelled(world, SETTINGS["labels"][0], SEARCH))


def compare_transfer(world: World, labels: int, found: dict, found_alone: dict) -> dict:
    """Labels alone; and with the teacher's answers on all images: hard, soft, and soft without dark knowledge."""
    seeds, budgets, test = list(range(SETTINGS["seeds"])), SETTINGS["steps"], world.digits.test
    labelled = [world.halves[1].subset(labels, seed=seed) for seed in seeds]
    sets, answers = partly_labelled(world, labels, seeds)
    setting, hard = (tuple(found[side]["setting"]) for side in ("soft", "hard"))
    controls = {
        "soft": answers,
        "permuted": permuted_dark_knowledge(answers, world.seed),
        "evened": evened_dark_knowledge(answers, setting[0]),
    }
    teachers = [each for each in controls.values() for _ in seeds]
    soft = train_soft(sets, seeds, [setting] * len(controls), budgets, teachers)
    parts = {str(steps): per_cent(soft.at(steps), test).chunk(len(controls)) for steps in soft.budgets}
    (pseudo,) = train_hard(sets, seeds, [hard], budgets)
    (alone,) = train_hard(labelled, seeds, [tuple(found_alone["hard"]["setting"])], budgets)
    return {
        **{
            name: {steps: listed(part[i]) for steps, part in parts.items()} for i, name in enumerate(controls)
        },
        "pseudo": by_steps(pseudo, test),
        "hard": by_steps(alone, test),
        "classical": classical(labelled, test),
        "classical on pseudo-labels": classical(sets[:1], test),
        "classical on the first half": classical(world.halves[:1], test),
    }


def classical(sets: Sequence[Examples], test: Examples) -> dict[str, list[float]]:
    """Test accuracy of the classical methods."""
    return {kind: listed(100 * measure.trivial_baseline(sets, test, kind)) for kind in measure.BASELINES}


def by_steps(runs: Runs, examples: Examples) -> dict[str, list[float]]:
    """Accuracies of all students after each number of steps."""
    return {str(steps): listed(per_cent(runs.at(steps), examples)) for steps in runs.budgets}


def per_cent(runs: Runs, examples: Examples) -> Tensor:
    """Accuracy of every student, (students,)."""
    return 100 * measure.accuracy(runs.logits(examples.inputs), examples.labels)


def listed(values: Tensor) -> list[float]:
    """As short numbers; 397 images tell no more."""
    return [round(value, 3) for value in values.tolist()]


if __name__ == "__main__":
    main()
