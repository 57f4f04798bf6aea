"""Who foresees which classes small students mix up: a teacher, or what needs none? Over many splits of the digits."""

from collections.abc import Callable
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from course_lib import measure
from course_lib.data import Dataset, Examples
from course_lib.matrices import class_soft_matrix
from course_lib.measure import confusion_shares, pair_correlation
from course_lib.models import small_mlp
from course_lib.training import Recipe, Runs, fit_many, hard_labels, teacher_logits
from studies.study import Study
from studies.worlds import DigitsWorld

SPLITS, LABELS, STUDENTS, BUDGETS = range(8), 200, 20, (100, 500, 2000)
TEMPERATURES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
STUDY = Study(
    "chapter_03",
    "Rank correlation of predicted with made confusions, for a teacher and for predictors without one, on the digits",
    {
        "splits": list(SPLITS),
        "labels": LABELS,
        "students": STUDENTS,
        "budgets": BUDGETS,
        "temperatures": TEMPERATURES,
        "recipe": "Adam, learning rate 0.005, batches of 32",
    },
)

Scorer = Callable[[Examples], Tensor]


def scorers(world: DigitsWorld) -> dict[str, Scorer]:
    """From examples to logits (N, C): the teacher, and two that are no network; all learn from the same labels."""
    teacher, train = world.teacher, world.digits.train
    pixels, labels = train.inputs.flatten(1), train.labels
    regression = LogisticRegression(max_iter=2000).fit(pixels.numpy(), labels.numpy())
    means = torch.stack([pixels[labels == c].mean(dim=0) for c in range(10)])  # (C, d)
    return {
        "teacher": lambda seen: teacher_logits(teacher, seen),
        "logistic regression": lambda seen: torch.from_numpy(
            regression.decision_function(seen.inputs.flatten(1).numpy())
        ),
        # Log-densities of one round Gaussian around each class mean, but for a constant.
        "class means": lambda seen: -(torch.cdist(seen.inputs.flatten(1), means) ** 2) / 2,
    }


def mean_images(train: Examples) -> Tensor:
    """Minus the distance of the classes' mean images, (C, C)."""
    means = torch.stack([train.inputs[train.labels == c].mean(dim=0).flatten() for c in range(10)])
    return -torch.cdist(means, means)


def foreseen(matrices: list[Tensor], mistakes: Tensor) -> list[float]:
    """How well each matrix ranks the pairs of classes that students mix up."""
    return [round(pair_correlation(matrix, mistakes), 4) for matrix in matrices]


def split(seed: int) -> dict[str, Any]:
    """All predictors at all temperatures against the students' mistakes, on validation and on test images."""
    world = DigitsWorld(seed)
    digits, train = world.digits, world.digits.train
    students, named = trained(world), scorers(world)
    matrices = {
        name: [class_soft_matrix(score(train).double(), train.labels, T, 10) for T in TEMPERATURES]
        for name, score in named.items()
    } | {"mean images": [mean_images(train)]}
    accuracies = {
        name: float(measure.accuracy(score(digits.test), digits.test.labels)) for name, score in named.items()
    }
    at_budgets = {budget: at_budget(students.at(budget), matrices, digits) for budget in BUDGETS}
    return {"accuracies": accuracies, "budgets": at_budgets}


def trained(world: DigitsWorld) -> Runs:
    """The students, whose second half is the ceiling."""
    seeds = range(2 * STUDENTS)
    return fit_many(
        small_mlp,
        hard_labels(),
        world.subsets(LABELS, seeds),
        Recipe(steps=BUDGETS[-1], lr=5e-3),
        seeds=seeds,
        keep=BUDGETS[:-1],
        progress=False,
    )


def at_budget(students: Runs, matrices: dict[str, list[Tensor]], digits: Dataset) -> dict[str, Any]:
    """How good the students are, and how well every matrix foresees the mistakes that they make now."""
    parts = {"validation": digits.validation, "test": digits.test}
    logits = {name: students.logits(part.inputs) for name, part in parts.items()}
    mistakes = {name: confusion_shares(logits[name][:STUDENTS], part.labels) for name, part in parts.items()}
    found = {
        part: {name: foreseen(several, mistakes[part]) for name, several in matrices.items()}
        for part in parts
    }
    return {
        "accuracy": measure.accuracy(logits["test"], digits.test.labels).mean().item(),
        "ceiling": ceilings(logits["test"], digits.test.labels),
        **found,
        "together": together(matrices, found["validation"], mistakes["test"]),
    }


def together(
    matrices: dict[str, list[Tensor]], validation: dict[str, list[float]], mistakes: Tensor
) -> dict[str, float]:
    """Mean ranks of the teacher's matrix and a rival's, each at its temperature of the highest validation value."""
    chosen = {
        name: several[validation[name].index(max(validation[name]))] for name, several in matrices.items()
    }
    ranks = {name: matrix.flatten().argsort().argsort().view(10, 10) for name, matrix in chosen.items()}
    return {
        name: round(pair_correlation((ranks["teacher"] + own).double(), mistakes), 4)
        for name, own in ranks.items()
        if name != "teacher"
    }


def ceilings(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """What the mistakes of other students foresee: on the same images, and from one half of the images on the other."""
    first, second = logits[:STUDENTS], logits[STUDENTS:]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    halves = order.chunk(2)

    def between(one: Tensor, other: Tensor, seen: Tensor, asked: Tensor) -> float:
        shares = [confusion_shares(z[:, rows], labels[rows]) for z, rows in ((one, seen), (other, asked))]
        return round(pair_correlation(*shares), 4)

    whole = torch.arange(len(labels))
    return {
        "other students, same images": between(first, second, whole, whole),
        "other students, same half": between(first, second, halves[0], halves[0]),
        "other students, other half": between(first, second, halves[0], halves[1]),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    STUDY.write(splits={seed: STUDY.kept(f"split {seed}", lambda seed=seed: split(seed)) for seed in SPLITS})
