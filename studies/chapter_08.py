"""Chapter 08 at long budgets: students, twins, teachers and smoothing, on three teachers and splits.

``python -m studies.chapter_08`` measures all parts and writes ``data/results/chapter_08.json``; with names of parts
(``python -m studies.chapter_08 sizes/6/0.005``) it only measures these, so that several processes can share the work.

A *world* is a split of the digits with a teacher trained on it. All worlds share one normalisation of the pixels, that
of the first split, so that their students can be trained together.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import torch

from course_lib import measure
from course_lib.data import Dataset, Examples, load
from course_lib.errors import CourseError
from course_lib.losses import confidence_weighted_loss, logit_loss, smoothed_label_loss, soft_target_loss
from course_lib.models import mlp
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Runs,
    TeacherCache,
    Term,
    cache_teacher,
    fit_many,
    permuted_dark_knowledge,
    smoothed_labels,
)
from studies.study import Study
from studies.worlds import earlier, right_answers, teacher_of

WORLDS = (0, 1, 2)  # seeds of split and teacher
SEEDS = 8  # students of a method in a world
BUDGETS = (200, 800, 4000, 16000)
LAM = 0.9
# Width: learning rate: longest budget. Only the course's own rate was followed to the end, the highest only at first.
SIZES = {6: {0.005: 16000, 0.02: 4000, 0.00125: 4000, 0.08: 800}, 16: {0.005: 16000}}
TWINS = {1200: 16000, 50: 4000}  # number of labels: longest budget
SOFTNESS = {50: 4000, 1200: 4000}
QUALITY = 4000
TEACHER_STEPS = (20, 40, 100, 250, 1000)
SMOOTHING = (0.05, 0.1, 0.2, 0.4)
TEMPERATURES = (1.0, 2.0, 4.0, 16.0)
SETTINGS = {
    **{"worlds": WORLDS, "seeds": SEEDS, "budgets": BUDGETS, "lam": LAM, "sizes": SIZES, "twins": TWINS},
    **{"softness": SOFTNESS, "quality": QUALITY, "teacher_steps": TEACHER_STEPS},
    **{"smoothing": SMOOTHING, "temperatures": TEMPERATURES},
}


@dataclass(frozen=True)
class Method:
    """Weights and settings of all losses of the chapter, most of them zero, and whose answers are learned."""

    labels: float = 0.0
    smoothing: float = 0.0
    soft: float = 0.0
    temperature: float = 1.0
    logits: float = 0.0
    weighted: float = 0.0
    teacher: str = "teacher"


def taught(temperature: float, teacher: str = "teacher") -> Method:
    """Soft targets beside the labels."""
    return Method(labels=1 - LAM, soft=LAM, temperature=temperature, teacher=teacher)


HARD = Method(labels=1.0)


def objective(methods: list[Method]) -> Objective:
    """One objective for students of different methods, (students,) in this order."""

    def of(name: str) -> PerStudent:
        return PerStudent(getattr(method, name) for method in methods)

    return Objective(
        [
            Term("labels", smoothed_label_loss, weight=of("labels"), smoothing=of("smoothing")),
            Term("soft", soft_target_loss, weight=of("soft"), temperature=of("temperature")),
            Term("logits", logit_loss, weight=of("logits")),
            Term("weighted", confidence_weighted_loss, weight=of("weighted")),
        ]
    )


@cache
def split(world: int) -> Dataset:
    """The split of a world, normalised as that of the first one."""
    first, own = load("digits", seed=WORLDS[0]).train, load("digits", seed=world)
    parts = {
        part: replace(getattr(own, part), mean=first.mean, std=first.std)
        for part in ("train", "validation", "test")
    }
    return replace(own, **parts)


@cache
def everything() -> Examples:
    """All digits: every teacher is asked about all, and every student sees its own."""
    parts = [getattr(split(WORLDS[0]), part) for part in ("train", "validation", "test")]
    joined = {
        name: torch.cat([getattr(each, name) for each in parts]) for name in ("images", "labels", "index")
    }
    return replace(parts[0], **joined)


@cache
def teacher(world: int, steps: int = 250, smoothing: float = 0.0) -> TeacherCache:
    """A teacher's answers about all digits."""
    goal = smoothed_labels(smoothing) if smoothing else None
    network = teacher_of(split(world).train, world, steps=steps, objective=goal)
    return cache_teacher(network, everything())


def pairs() -> list[tuple[int, int]]:
    """(world, seed) of every student of a method; no two students have the same seed."""
    return [(world, 100 * world + seed) for world in WORLDS for seed in range(SEEDS)]


def train(
    methods: Mapping[str, Method],
    teachers: Mapping[str, list[TeacherCache]],
    *,
    width: int = 16,
    labels: int = 1200,
    steps: int,
    lr: float = 0.005,
    shift: int = 500,
) -> Runs:
    """All students of all methods at once, in the order of the methods, then of ``pairs``.

    ``teachers`` has one cache per pair; ``shift`` keeps the students' first weights apart from those of their twins.
    """
    everyone = [(method, number) for method in methods.values() for number in range(len(pairs()))]
    own = [split(world).train.subset(labels, seed=seed) for world, seed in pairs()]
    return fit_many(
        partial(mlp, (1, 8, 8), (width, width), 10),
        objective([method for method, _ in everyone]),
        [own[number] for _, number in everyone],
        Recipe(steps=steps, batch_size=32, optimizer="adam", lr=lr),
        seeds=[pairs()[number][1] + shift for _, number in everyone],
        teacher=[teachers[method.teacher][number] for method, number in everyone],
        keep=earlier(BUDGETS, steps),
        progress=False,
    )


def outcome(methods: Mapping[str, Method], runs: Runs, labels: int = 1200) -> dict[str, Any]:
    """By method and budget: right test images by world and seed, and means by world in per cent."""
    found = {name: {} for name in methods}
    for steps in runs.budgets:
        by_world = [_scores(runs.at(steps), world, labels) for world in WORLDS]
        for number, name in enumerate(methods):
            found[name][str(steps)] = {
                key: [each[key](number) for each in by_world]
                for key in ("right", "validation", "train", "agreement")
            }
    return found


def _scores(runs: Runs, world: int, labels: int) -> dict[str, Any]:
    """For one world: what takes the number of a method and gives its students' score."""
    data, seeds = split(world), [seed for each, seed in pairs() if each == world]
    first = WORLDS.index(world) * SEEDS
    chosen = [runs.logits(getattr(data, part).inputs) for part in ("test", "validation", "train")]
    test, validation, train_ = chosen  # (students, N, C)
    seen = [torch.isin(data.train.index, data.train.subset(labels, seed=seed).index) for seed in seeds]
    answers = teacher(world).lookup(data.test)

    def of(number: int) -> slice:
        return slice(number * len(pairs()) + first, number * len(pairs()) + first + SEEDS)

    def fitted(number: int) -> float:
        each = [
            measure.accuracy(student[mask], data.train.labels[mask])
            for student, mask in zip(train_[of(number)], seen, strict=True)
        ]
        return _percent(torch.stack(each))

    return {
        "right": lambda n: right_answers(test[of(n)], data.test.labels).tolist(),
        "validation": lambda n: _percent(measure.accuracy(validation[of(n)], data.validation.labels)),
        "train": fitted,
        "agreement": lambda n: _percent(measure.agreement(test[of(n)], answers)),
    }


def _percent(shares: torch.Tensor) -> float:
    return round(100 * float(shares.mean()), 2)


def by_pair(make) -> list[TeacherCache]:
    """One cache per pair, from a function of the world."""
    return [make(world) for world, _ in pairs()]


def sizes(width: int, lr: float) -> dict[str, Any]:
    """Labels, soft targets at two temperatures and logits, for students of one width at one learning rate."""
    methods = {
        "hard": HARD,
        "soft, T = 1": taught(1.0),
        "soft, T = 4": taught(4.0),
        "logits": Method(logits=1.0),
    }
    known, steps = {"teacher": by_pair(teacher)}, SIZES[width][lr]
    return outcome(methods, train(methods, known, width=width, lr=lr, steps=steps))


def twins(labels: int) -> dict[str, Any]:
    """Students taught by twins trained for 4,000 or for 200 steps, and the controls without dark knowledge."""
    first = {"hard": HARD}
    firsts = train(first, {"teacher": by_pair(teacher)}, labels=labels, steps=4000, shift=0)
    teachers = {"teacher": by_pair(teacher)}
    for name, steps in (("twin", 4000), ("hasty twin", 200)):
        runs = firsts.at(steps)
        teachers[name] = [cache_teacher(runs.model(i), everything()) for i in range(len(runs))]
    teachers["permuted"] = [permuted_dark_knowledge(each, seed=i) for i, each in enumerate(teachers["twin"])]
    methods = {"hard": HARD, "smoothed": Method(labels=1.0, smoothing=0.1)}
    methods["weighted (CWTM)"] = Method(weighted=1.0, teacher="twin")
    for name in ("twin", "permuted", "hasty twin"):
        methods |= {f"{name}, T = {T:g}": taught(T, name) for T in (1.0, 4.0)}
    found = outcome(methods, train(methods, teachers, labels=labels, steps=TWINS[labels]), labels)
    return found | {"teacher": outcome(first, firsts, labels)["hard"]}


def teachers_of_every_quality() -> dict[str, Any]:
    """The smallest student under teachers stopped early, trained long, and under an assistant of middle size."""
    known = {str(steps): by_pair(partial(teacher, steps=steps)) for steps in TEACHER_STEPS}
    goal = {"assistant": taught(4.0)}
    assistants = train(goal, {"teacher": known["250"]}, width=32, steps=4000, shift=900)
    known["assistant"] = [cache_teacher(assistants.model(i), everything()) for i in range(len(assistants))]
    methods = {"hard": replace(HARD, teacher="250")}
    for name in known:
        methods[f"soft, {name}"] = taught(4.0, name)
        methods[f"logits, {name}"] = Method(logits=1.0, teacher=name)
    quality = {
        str(steps): [
            _percent(measure.accuracy(teacher(w, steps).lookup(split(w).test), split(w).test.labels))
            for w in WORLDS
        ]
        for steps in TEACHER_STEPS
    }
    return outcome(methods, train(methods, known, width=6, steps=QUALITY)) | {"quality": quality}


def softness(labels: int) -> dict[str, Any]:
    """Smoothed labels, the teacher, and a teacher that learned from smoothed labels, each with four settings."""
    known = {"teacher": by_pair(teacher), "smoothed teacher": by_pair(partial(teacher, smoothing=0.1))}
    methods = {"hard": HARD}
    methods |= {f"smoothed labels, {each:g}": Method(labels=1.0, smoothing=each) for each in SMOOTHING}
    methods |= {f"{name}, {T:g}": taught(T, name) for name in known for T in TEMPERATURES}
    return outcome(methods, train(methods, known, labels=labels, steps=SOFTNESS[labels]), labels)


PARTS = {
    **{f"sizes/{width}/{lr:g}": partial(sizes, width, lr) for width, rates in SIZES.items() for lr in rates},
    **{f"twins/{labels}": partial(twins, labels) for labels in TWINS},
    "teachers": teachers_of_every_quality,
    **{f"softness/{labels}": partial(softness, labels) for labels in SOFTNESS},
}


def main(names: list[str]) -> None:
    """Measure the parts of these names and write nothing, or without names measure all and write."""
    if unknown := [name for name in names if name not in PARTS]:
        raise CourseError(f"names must be parts of the study ({', '.join(PARTS)}), got {unknown[0]!r}")
    study = Study("chapter_08", __doc__.splitlines()[0], SETTINGS)
    results = {name: study.kept(name, PARTS[name]) for name in names or PARTS}
    if not names:
        study.write(test_images=len(split(WORLDS[0]).test), results=results)


if __name__ == "__main__":
    main(sys.argv[1:])
