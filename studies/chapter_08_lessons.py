"""Chapter 08's odd lessons: no labels, images that are no digits, a wrong teacher, and five temperatures.

``python -m studies.chapter_08_lessons`` measures all parts and writes ``data/results/chapter_08_lessons.json``. A world
is a split of the digits with a teacher of its own, both as chapter 08 makes them for a seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from course_lib import measure
from course_lib.data import Examples
from course_lib.models import mlp, small_mlp
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Runs,
    TeacherCache,
    cache_teacher,
    fit_many,
    hard_labels,
    permuted_dark_knowledge,
    soft_targets,
    teacher_logits,
)
from studies.study import Study
from studies.worlds import DigitsWorld, crossed, diagnosed, earlier, right_answers, subsets, teacher_of

WORLDS = (0, 1, 2)  # seeds of split and teacher
SEEDS = range(8)
BUDGETS = (200, 800, 4000)
TEMPERATURE, LAM = 4.0, 0.9
REPLACED = 0.6  # share of the labels that the wrong teacher learned from and that were drawn at random
TRUST = (0.0, 0.25, 0.5, 0.75, 1.0)
HEATS, EARLY = (1.0, 2.0, 4.0, 8.0, 16.0), (100, 200, 400, 800, 1600, 4000)
SETTINGS = {
    **{"worlds": WORLDS, "seeds": list(SEEDS), "budgets": BUDGETS, "temperature": TEMPERATURE, "lam": LAM},
    **{"replaced": REPLACED, "trust": TRUST, "turning": {"temperatures": HEATS, "budgets": EARLY}},
}


@cache
def world(number: int) -> DigitsWorld:
    """A split by its seed."""
    return DigitsWorld(number)


@cache
def teacher(number: int) -> nn.Module:
    """The teacher of a world, as the chapter trains it."""
    return taught_by(world(number).digits.train, number)


def taught_by(examples: Examples, number: int) -> nn.Module:
    """A teacher that learned from these labels."""
    return teacher_of(examples, number, steps=250)


def students(
    objective: Objective,
    examples: Examples | Sequence[Examples],
    known: TeacherCache,
    *,
    repeated: int = 1,
    build: Callable[[], nn.Module] = small_mlp,
    budgets: Sequence[int] = BUDGETS,
) -> Runs:
    """Students by the chapter's recipe, eight of every kind."""
    return fit_many(
        build,
        objective,
        examples,
        Recipe(steps=budgets[-1], batch_size=32, optimizer="adam", lr=5e-3),
        seeds=list(SEEDS) * repeated,
        teacher=known,
        keep=earlier(budgets, budgets[-1]),
        progress=False,
    )


def right(runs: Runs, test: Examples) -> dict[str, list[int]]:
    """By budget, how many test images each student gets right."""
    counted = runs.over(lambda each: right_answers(each.logits(test.inputs), test.labels))
    return {str(steps): counts.tolist() for steps, counts in counted.items()}


def scores(runs: Runs, seen: Examples | Sequence[Examples], test: Examples, said: Tensor) -> dict[str, Any]:
    """Right test images by budget, and the four numbers of a diagnosis after the last step, one per student."""
    return {"right": right(runs, test), "diagnosis": diagnosed(runs, seen, test, said, None, 1)}


def unlabelled(number: int) -> dict[str, Any]:
    """A teacher of one half of the images asks about the other half; its rivals have 600 or 50 labels."""
    train, test = world(number).digits.train, world(number).digits.test
    half = train.subset(len(train) // 2, seed=number)
    fifty = subsets(half, 50, SEEDS)
    unseen = train.take(torch.nonzero(~torch.isin(train.index, half.index)).flatten())
    known = taught_by(half, number)
    asked, said = cache_teacher(known, train), teacher_logits(known, test)
    missed = test.take(torch.nonzero(said.argmax(dim=1) != test.labels).flatten())
    wrong = teacher_logits(known, missed).argmax(dim=1)
    seen = {"answers": unseen, "600 labels": half, "50 labels": fifty}
    found = {}
    for name, examples in seen.items():
        goal = soft_targets(TEMPERATURE, 1.0) if name == "answers" else hard_labels()
        runs = students(goal, examples, asked)
        repeated = right_answers(runs.logits(missed.inputs), wrong).tolist()
        found[name] = scores(runs, examples, test, said) | {"repeated": repeated}
    classical = {str(n): right_baseline(half.subset(n, seed=number), test) for n in (50, len(half))}
    mistakes = len(missed)
    return {"right": len(test) - mistakes, "mistakes": mistakes, "baselines": classical, "lessons": found}


def right_baseline(seen: Examples, test: Examples) -> int:
    """How many test images a logistic regression gets right."""
    return round(float(measure.trivial_baseline(seen, test)) * len(test))


def transfer(number: int) -> dict[str, Any]:
    """The teacher's answers alone, about digits and about images that are none, by kind of image."""
    train, test = world(number).digits.train, world(number).digits.test
    generator = torch.Generator().manual_seed(number)
    images = train.images
    partner = torch.randperm(len(train), generator=generator)
    pictures = {
        "digits": images,
        "two digits mixed": (images // 2 + images[partner] // 2),
        "white noise": torch.randint(0, 256, images.shape, generator=generator).to(torch.uint8),
        "negatives": 255 - images,
    }
    found, said = {}, teacher_logits(teacher(number), test)
    for name, each in pictures.items():
        other = replace(train, images=each)
        runs = students(soft_targets(TEMPERATURE, 1.0), other, cache_teacher(teacher(number), other))
        found[name] = scores(runs, train, test, said)
    return found


def wrong_teacher(number: int) -> dict[str, Any]:
    """Students that trust a teacher of spoiled labels more or less, and others on its bare choices."""
    train, test = world(number).digits.train, world(number).digits.test
    generator = torch.Generator().manual_seed(number + 1)
    replaced = torch.rand(len(train), generator=generator) < REPLACED
    guesses = torch.randint(10, (len(train),), generator=generator)
    spoiled = replace(train, labels=torch.where(replaced, guesses, train.labels))
    misled = taught_by(spoiled, number)
    wrong, said = cache_teacher(misled, train), teacher_logits(misled, test)
    weights, _ = crossed(TRUST, SEEDS)
    runs = students(soft_targets(TEMPERATURE, PerStudent(weights)), train, wrong, repeated=len(TRUST))
    followed = replace(train, labels=teacher_logits(misled, train).argmax(dim=1))
    obedient = students(hard_labels(), followed, wrong)  # on the teacher's choices, without its doubt
    return {
        "right labels": int((spoiled.labels == train.labels).sum()),
        "labels": len(train),
        "right": int(right_answers(said, test.labels)),
        "trust": scores(runs, train, test, said),  # all students of the first weight, then of the second, ...
        "choices": scores(obedient, train, test, said),
    }


def turning(number: int) -> dict[str, Any]:
    """The smallest student on labels, and on the teacher's or permuted answers at five temperatures, over budgets."""
    train, test = world(number).digits.train, world(number).digits.test
    known = cache_teacher(teacher(number), train)
    answers = {"teacher": known, "permuted": permuted_dark_knowledge(known, seed=number)}
    tiny = partial(mlp, (1, 8, 8), (6, 6), 10)
    temperatures, _ = crossed(HEATS, SEEDS)
    goal = soft_targets(PerStudent(temperatures), LAM)
    found = {"hard": right(students(hard_labels(), train, known, build=tiny, budgets=EARLY), test)}
    for name, each in answers.items():
        runs = students(goal, train, each, repeated=len(HEATS), build=tiny, budgets=EARLY)
        found[name] = right(runs, test)  # all students of the first temperature, then of the second, ...
    return found


PARTS = {
    "unlabelled": unlabelled,
    "transfer": transfer,
    "wrong teacher": wrong_teacher,
    "turning": turning,
}


def main() -> None:
    """Measure everything that is not kept, and write."""
    study = Study("chapter_08_lessons", __doc__.splitlines()[0], SETTINGS)
    results = {
        str(number): {
            name: study.kept(f"{name}/{number}", partial(part, number)) for name, part in PARTS.items()
        }
        for number in WORLDS
    }
    study.write(test_images=len(world(WORLDS[0]).digits.test), results=results)


if __name__ == "__main__":
    main()
