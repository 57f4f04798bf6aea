"""``python -m studies.alexnet_digits``: the losses of chapter 09 on a narrow AlexNet with 50 digits, over budgets.

Every method chooses one number from four on validation images: a loss with a weight or a temperature chooses that, hard
labels their weight decay, logits their learning rate. Takes about a quarter of an hour on one quiet core.
"""

import argparse
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from course_lib.data import Dataset, load
from course_lib.measure import accuracy
from course_lib.models import alexnet
from course_lib.training import (
    Objective,
    Recipe,
    Runs,
    TeacherCache,
    cache_teacher,
    fit,
    fit_many,
    hard_labels,
    named_objective,
    permuted_dark_knowledge,
    teacher_logits,
)
from studies.study import Study
from studies.worlds import baselines, diagnosed, earlier, subsets

SETTINGS = {
    "labels": 50,
    "budgets": [150, 600, 3_000],
    "batch_size": 32,
    "lr": 2e-3,
    "teacher": {"width": 1 / 4, "steps": 300, "batch_size": 128, "lr": 2e-3, "dropout": 0.5},
    "student_width": 1 / 16,
    "temperature": 5,
    "chosen_at": 600,
    "choosing_seeds": [100, 101, 102],
    "seeds": 8,
}
HARD, SOFT = {"hard": 1.0}, {"hard": 0.1, "soft_target": 0.9}
STEEP = (0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class Method:
    """Losses with their weights, and the number that is chosen.

    Attributes:
        losses: by name.
        knob: "weight" of the loss ``tuned``, a setting of a loss, or a field of ``Recipe``.
        values: from which it is chosen.
        tuned: the loss whose weight is chosen.
        teacher: which answers are learned from.
    """

    losses: dict[str, float]
    knob: str
    values: tuple[float, ...]
    tuned: str = ""
    teacher: str = "taught"
    settings: dict[str, float] = field(default_factory=lambda: {"temperature": SETTINGS["temperature"]})

    def objective(self, value: float) -> Objective:
        """The losses with the chosen number."""
        weights = self.losses | ({self.tuned: value} if self.tuned else {})
        settings = self.settings | ({} if self.tuned or self.of_recipe else {self.knob: value})
        return named_objective(weights, **{"estimator": "hutchinson"} | settings)

    @property
    def of_recipe(self) -> bool:
        """Whether the chosen number belongs to the training and not to a loss."""
        return self.knob in Recipe.__dataclass_fields__

    def recipe(self, value: float, steps: int) -> Recipe:
        """The training with the chosen number."""
        plain = Recipe(steps, SETTINGS["batch_size"], lr=SETTINGS["lr"])
        return replace(plain, **{self.knob: value}) if self.of_recipe else plain


TEMPERATURES = (1.0, 2.0, 5.0, 10.0)
METHODS = {
    "hard labels": Method(HARD, "weight_decay", (0.0, 1e-3, 1e-2, 1e-1)),
    "smoothed labels": Method({"smoothed_label": 1.0}, "smoothing", (0.1, 0.2, 0.4, 0.6), settings={}),
    "soft targets": Method(SOFT, "temperature", TEMPERATURES, settings={}),
    "permuted": Method(SOFT, "temperature", TEMPERATURES, teacher="permuted", settings={}),
    "logits": Method({"logit": 1.0}, "lr", (5e-4, 1e-3, 2e-3, 4e-3)),
    "soft targets, input gradient": Method(SOFT, "weight", STEEP, "input_gradient"),
    "hard labels, input gradient": Method(HARD, "weight", STEEP, "input_gradient"),
}


def student(dataset: Dataset) -> torch.nn.Module:
    """The narrow AlexNet."""
    return alexnet(dataset.image_shape, dataset.num_classes, width=SETTINGS["student_width"], dropout=0.0)


def answers(dataset: Dataset) -> tuple[dict[str, TeacherCache], Tensor]:
    """The teacher's answers about the training images, also permuted, and its logits for the test images."""
    wanted = SETTINGS["teacher"]
    recipe = Recipe(wanted["steps"], wanted["batch_size"], lr=wanted["lr"], schedule="cosine")
    build = partial(alexnet, dataset.image_shape, dataset.num_classes)
    big = fit(
        lambda: build(width=wanted["width"], dropout=wanted["dropout"]), hard_labels(), dataset.train, recipe
    ).model
    taught = cache_teacher(big, dataset.train)
    caches = {"taught": taught, "permuted": permuted_dark_knowledge(taught, seed=0)}
    return caches, teacher_logits(big, dataset.test)


def train(
    method: Method,
    value: float,
    dataset: Dataset,
    caches: dict[str, TeacherCache],
    seeds: list[int],
    steps: int,
) -> Runs:
    """One student per seed, kept at all budgets on the way."""
    return fit_many(
        partial(student, dataset),
        method.objective(value),
        subsets(dataset.train, SETTINGS["labels"], seeds),
        method.recipe(value, steps),
        seeds=seeds,
        teacher=caches[method.teacher],
        keep=earlier(SETTINGS["budgets"], steps),
    )


def validated(method: Method, value: float, dataset: Dataset, caches: dict[str, TeacherCache]) -> float:
    """Mean accuracy in percent on validation images of the students by which a value is chosen."""
    runs = train(method, value, dataset, caches, SETTINGS["choosing_seeds"], SETTINGS["chosen_at"])
    held_out = dataset.validation
    return 100 * float(accuracy(runs.logits(held_out.inputs), held_out.labels).mean())


def over_budgets(
    method: Method, value: float, dataset: Dataset, caches: dict[str, TeacherCache], of_teacher: Tensor
) -> dict[int, dict[str, list[float]]]:
    """By budget, the four numbers of every student, in percent."""
    seeds = list(range(SETTINGS["seeds"]))
    runs = train(method, value, dataset, caches, seeds, SETTINGS["budgets"][-1])
    seen = subsets(dataset.train, SETTINGS["labels"], seeds)
    return runs.over(lambda some: diagnosed(some, seen, dataset.test, of_teacher, places=3))


def main() -> None:
    """Choose every method's number, measure its students over budgets, and write."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    study = Study("alexnet_digits", "Narrow AlexNets on 50 digits: losses over budgets", SETTINGS)
    dataset = load("digits", seed=0)
    caches, of_teacher = answers(dataset)
    tried, chosen, results = {}, {}, {}
    for name, method in METHODS.items():
        tried[name] = {
            f"{value:g}": study.kept(f"{name}, {value:g}", partial(validated, method, value, dataset, caches))
            for value in method.values
        }
        chosen[name] = max(tried[name], key=tried[name].get)
        measured = partial(over_budgets, method, float(chosen[name]), dataset, caches, of_teacher)
        results[name] = study.kept(f"{name}, chosen {chosen[name]}", measured)
    seen = subsets(dataset.train, SETTINGS["labels"], range(SETTINGS["seeds"]))
    study.write(
        data=dataset.title,
        knobs={name: method.tuned or method.knob for name, method in METHODS.items()},
        validation_by_value=tried,
        chosen=chosen,
        students=results,
        teacher=100 * float(accuracy(of_teacher, dataset.test.labels)),
        baselines=baselines(seen, dataset.test, places=None),
    )


if __name__ == "__main__":
    main()
