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
    "worlds": {"0": [50, 100, 200, 500, 1200], "1": [50, 200, 1200], "2": [50, 200, 1200]},
    "transfer_labels": [50, 200, 500],
    "transfer_images": [50, 200],
    "own_teacher_labels": [50, 200],
    "lr": [0.005, 0.02],
    "weight_decay": [0.0, 0.003, 0.01, 0.03],
    "smoothing": [0.0, 0.1, 0.2, 0.3, 0.5],
    "temperature": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
    "lam": [0.25, 0.5, 0.75, 0.9, 1.0],
    "search_steps": [200, 800, 1500],
    "search_seeds": 5,
    "steps": [200, 800, 4000],
    "longest": {"labels": [50, 1200], "steps": 12000},
    "seeds": 20,
    "transfer_seeds": 10,
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
    """Measure everything and write the file."""
    study = Study(
        "chapter_02", "soft targets against tuned hard labels, and on images without labels", SETTINGS
    )
    found = {name: measured(study, World(int(name)), sizes) for name, sizes in SETTINGS["worlds"].items()}
    longer = {
        str(size): study.kept(
            f"longer, {size} labels",
            lambda size=size: train_longer(World(0), size, found["0"]["main"][str(size)]["search"]),
        )
        for size in SETTINGS["longest"]["labels"]
    }
    study.write(worlds=found, longer=longer)


def measured(study: Study, world: World, sizes: Sequence[int]) -> dict:
    """All results of one world."""
    main, own = {}, {}
    for size in sizes:
        name = f"world {world.seed}, {size} labels"
        searched = study.kept(f"{name}: search", lambda size=size: search(world, size))
        compared = study.kept(
            f"{name}: compare", lambda size=size, found=searched: compare(world, size, found)
        )
        main[str(size)] = {"search": searched, **compared}
        if size in SETTINGS["own_teacher_labels"]:
            own[str(size)] = study.kept(
                f"{name}: own teachers",
                lambda size=size, found=searched: own_teachers(world, size, found),
            )
    chosen = study.kept(f"world {world.seed}: transfer, search", lambda: search_transfer(world))
    transfer = {"search": chosen, "labels": {}, "images": {}}
    for kind in ("labels", "images"):
        for count in SETTINGS[f"transfer_{kind}"]:
            labels, images = (count, len(world.halves[1])) if kind == "labels" else (50, count)
            near = str(max(size for size in sizes if size <= labels))  # settings for labels alone
            alone = tuple(main[near]["search"]["hard"]["setting"])
            transfer[kind][str(count)] = study.kept(
                f"world {world.seed}: transfer, {labels} labels, {images} images",
                lambda labels=labels, images=images, alone=alone: compare_transfer(
                    world, labels, images, chosen, alone
                ),
            )
    return {"main": main, "own_teacher": own, "transfer": transfer}


def search(world: World, size: int) -> dict:
    """Mean validation accuracy of every setting after every number of steps, and the best of each side."""
    subsets = [world.digits.train.subset(size, seed=seed) for seed in SEARCH]
    hard = train_hard(subsets, list(SEARCH), HARD_GRID, SETTINGS["search_steps"])
    soft = train_soft(subsets, list(SEARCH), SOFT_GRID, SETTINGS["search_steps"], world.answers)
    return {"hard": judged(world, hard, HARD_GRID), "soft": judged(world, [soft], SOFT_GRID)}


def judged(world: World, runs: Sequence[Runs], grid: Sequence[tuple]) -> dict:
    """Validation accuracy by steps and setting, and the best pair of them."""
    validation = world.digits.validation
    means = {
        steps: [
            value
            for each in runs
            for value in per_cent(each.at(steps), validation).view(-1, len(SEARCH)).mean(dim=1).tolist()
        ]
        for steps in runs[0].budgets
    }
    steps, place = max(((s, i) for s in means for i in range(len(grid))), key=lambda at: means[at[0]][at[1]])
    table = {str(steps): [round(value, 2) for value in values] for steps, values in means.items()}
    return {"setting": grid[place], "steps": steps, "validation": table}


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
    seeds, budgets = list(range(SETTINGS["seeds"])), [*SETTINGS["steps"], SETTINGS["longest"]["steps"]]
    subsets = [world.digits.train.subset(size, seed=seed) for seed in seeds]
    hard, soft = (tuple(found[side]["setting"]) for side in ("hard", "soft"))
    (plain,) = train_hard(subsets, seeds, [hard], budgets)
    taught = train_soft(subsets, seeds, [soft], budgets, world.answers)
    return {"hard": by_steps(plain, world.digits.test), "soft": by_steps(taught, world.digits.test)}


def own_teachers(world: World, size: int, found: dict) -> dict:
    """Students of teachers that have seen the student's own labels and no other."""
    seeds = list(range(SETTINGS["transfer_seeds"]))
    subsets = [world.digits.train.subset(size, seed=seed) for seed in seeds]
    recipe = Recipe(steps=200, batch_size=32, lr=2e-3, schedule="cosine")
    teachers = fit_many(cnn_teacher, hard_labels(), subsets, recipe, seeds=seeds, progress=False)
    answers = [cache_teacher(teachers.model(i), world.digits.train) for i in range(len(seeds))]
    students = train_soft(subsets, seeds, [tuple(found["soft"]["setting"])], SETTINGS["steps"], answers)
    return {
        "teachers": listed(per_cent(teachers, world.digits.test)),
        "students": by_steps(students, world.digits.test),
    }


def partly_labelled(
    world: World, labels: int, images: int, seeds: Sequence[int]
) -> tuple[list[Examples], TeacherCache]:
    """Images of the second half for every seed, and the teacher's answers to them.

    Some have their true label, the others the class that the teacher names. An image may be known to one student and
    not to another, so that every set gets numbers of its own.
    """
    half, sets, logits = world.halves[1], [], []
    for place, seed in enumerate(seeds):
        chosen = half.subset(images, seed=seed)
        known = (chosen.index[:, None] == half.subset(labels, seed=seed).index).any(dim=1)
        answers = world.answers_on_new.lookup(chosen)
        named = chosen.labels.where(known, answers.argmax(dim=1))
        sets.append(replace(chosen, labels=named, index=torch.arange(images) + place * images))
        logits.append(answers)
    together = {
        key: torch.cat([getattr(each, key) for each in sets]) for key in ("images", "labels", "index")
    }
    return sets, answers_from(torch.cat(logits), replace(sets[0], **together))


def search_transfer(world: World) -> dict:
    """The best settings for the teacher's hard answers and for its soft ones, at 50 labels."""
    sets, answers = partly_labelled(world, 50, len(world.halves[1]), SEARCH)
    hard = train_hard(sets, list(SEARCH), HARD_GRID, SETTINGS["search_steps"])
    soft = train_soft(sets, list(SEARCH), SOFT_GRID, SETTINGS["search_steps"], answers)
    return {"hard": judged(world, hard, HARD_GRID), "soft": judged(world, [soft], SOFT_GRID)}


def compare_transfer(world: World, labels: int, images: int, found: dict, alone_setting: Hard) -> dict:
    """Labels alone; and with the teacher's answers on more images: hard, soft, and soft without dark knowledge."""
    seeds, budgets = list(range(SETTINGS["transfer_seeds"])), SETTINGS["steps"]
    test = world.digits.test
    labelled = [world.halves[1].subset(labels, seed=seed) for seed in seeds]
    sets, answers = partly_labelled(world, labels, images, seeds)
    setting, pseudo_setting = (tuple(found[side]["setting"]) for side in ("soft", "hard"))
    (pseudo,) = train_hard(sets, seeds, [pseudo_setting], budgets)
    controls = {
        "soft": answers,
        "permuted": permuted_dark_knowledge(answers, world.seed),
        "evened": evened_dark_knowledge(answers, setting[0]),
    }
    teachers = [each for each in controls.values() for _ in seeds]
    soft = train_soft(sets, seeds, [setting] * len(controls), budgets, teachers)
    parts = {steps: per_cent(soft.at(steps), test).chunk(len(controls)) for steps in soft.budgets}
    results = {
        name: {str(steps): listed(part[place]) for steps, part in parts.items()}
        for place, name in enumerate(controls)
    }
    results["pseudo"] = by_steps(pseudo, test)
    results["classical on pseudo-labels"] = classical(sets, test)
    if images == len(world.halves[1]):  # what needs no teacher is the same for fewer of its answers
        (alone,) = train_hard(labelled, seeds, [alone_setting], budgets)
        (first,) = train_hard([world.halves[0]] * len(seeds), seeds, [pseudo_setting], budgets)
        results |= {"hard": by_steps(alone, test), "first half": by_steps(first, test)}
        results["classical"] = classical(labelled, test)
    return results


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
