"""``python -m studies.chapter_07``: what is each term of eq. (3) worth, over budgets of steps?

Narrow AlexNets on the digits with 50 and 200 labels, at 100, 500 and 2,000 steps; at 50 labels with several teachers,
each on a split of its own. With the first of them every method chooses one setting among five on validation images, and
keeps it for the others. Takes about six minutes on one quiet core. The file is written after each part, so that a study
that was stopped shows what it has.
"""

import argparse
from collections.abc import Iterable, Sequence
from functools import cached_property, partial

import torch
from torch import nn

from course_lib import losses
from course_lib.measure import accuracy, evaluate
from course_lib.models import alexnet
from course_lib.training import (
    Layerwise,
    Objective,
    PerStudent,
    Recipe,
    Runs,
    Term,
    cache_teacher,
    fit,
    fit_many,
    hard_labels,
    smoothed_labels,
    soft_targets,
    teacher_logits,
)
from studies.study import Study
from studies.worlds import DigitsWorld, baselines, crossed, diagnosed, earlier

LAYERS = ("features.4", "features.7", "features.9", "features.11")  # the ReLUs behind conv2 to conv5
FOUR = ("hard labels", "soft targets", "article's A", "γ alone")
SETTINGS = {
    "teacher": {"width": 1 / 4, "steps": 300, "batch_size": 64, "lr": 1e-3, "schedule": "cosine"},
    "student_width": 1 / 16,
    "budgets": [100, 500, 2_000],
    "batch_size": 24,
    "lr": 3e-3,
    "lam": 0.9,
    "sharpness": 5.0,
    "probes": 400,
    "seeds": 6,
    "chosen_at": 200,  # steps, in the first part, by students of their own
    "choosing_seeds": [1000, 1001],
    # By world (a teacher with its split) and number of labels: the methods.
    "parts": {
        "0/50": [*FOUR, "eq. (3)", "shuffled A", "regressor", "γ, no teacher"],
        "1/50": [*FOUR, "γ, no teacher"],
        "0/200": FOUR,
        "2/50": [*FOUR, "γ, no teacher"],
    },
    # What each method may choose; all others inherit from the terms that they are made of.
    "grids": {
        "hard labels": [0.0, 0.05, 0.1, 0.2, 0.4],  # label smoothing
        "soft targets": [2.0, 4.0, 8.0, 16.0, 32.0],  # T
        "article's A": [0.01, 0.03, 0.1, 0.3, 1.0],  # weight of the layers
        "regressor": [0.1, 0.3, 1.0, 3.0, 10.0],  # weight of the layers
        "γ alone": [0.003, 0.01, 0.03, 0.1, 0.3],  # γ
        "γ, no teacher": [0.003, 0.01, 0.03, 0.1, 0.3],  # γ
    },
}


def gamma_term(gamma: float | PerStudent) -> Term:
    """The last term of eq. (3), by Hutchinson's estimate."""
    return Term("γ", losses.input_gradient_loss, gamma, estimator="hutchinson")


class World(DigitsWorld):
    """A teacher on its split, and all trainings with it.

    Args:
        study: keeps what is measured.
        number: seed of the split and of the teacher.
    """

    def __init__(self, study: Study, number: int):
        super().__init__(number)
        self._study = study
        self._small = self._network(SETTINGS["student_width"])
        self._cache = cache_teacher(self.teacher, self.digits.train, layers=LAYERS)
        probes = self.digits.train.subset(SETTINGS["probes"], seed=number)
        self._pair = Layerwise(self.teacher, self._small, LAYERS, probes, self._cache)

    @cached_property
    def teacher(self) -> nn.Module:
        """A narrow AlexNet, four times as wide as the students, that is trained no further."""
        given = dict(SETTINGS["teacher"])
        build = self._network(given.pop("width"))
        network = fit(build, hard_labels(), self.digits.train, Recipe(**given), seed=self.seed).model
        return network.requires_grad_(False)

    def _network(self, width: float) -> partial[nn.Module]:
        return partial(alexnet, self.digits.image_shape, 10, width=width, dropout=0.0)

    def terms(self, method: str, chosen: dict, seeds: Sequence[int]) -> list[Term]:
        """The terms of a method; the values in ``chosen`` are one for all students, or one per student."""

        def value(name: str) -> PerStudent:
            given = chosen[name]
            return PerStudent(given if isinstance(given, list) else [given] * len(seeds))

        if method == "hard labels":
            terms = list(smoothed_labels(value(method)).terms)
        elif method == "γ, no teacher":
            terms = list(hard_labels().terms)
        else:
            terms = list(soft_targets(value("soft targets"), SETTINGS["lam"]).terms)
        if method in ("article's A", "eq. (3)", "shuffled A"):
            adapters = self._pair.adapters(seeds, SETTINGS["sharpness"], shuffled=method == "shuffled A")
            terms += self._pair.terms(value("article's A").values, adapters)
        if method == "regressor":
            terms += self._pair.terms(value("regressor").values)
        if method in ("γ alone", "eq. (3)"):
            terms.append(gamma_term(value("γ alone")))
        if method == "γ, no teacher":
            terms.append(gamma_term(value(method)))
        return terms

    def train(self, method: str, labels: int, chosen: dict, seeds: Sequence[int], steps: int) -> Runs:
        """One student per seed, kept at all budgets on the way."""
        return fit_many(
            self._pair.with_regressors if method == "regressor" else self._small,
            Objective(self.terms(method, chosen, seeds)),
            self.subsets(labels, seeds),
            Recipe(steps, SETTINGS["batch_size"], lr=SETTINGS["lr"]),
            seeds=seeds,
            teacher=self._cache,
            keep=earlier(SETTINGS["budgets"], steps),
        )

    def validated(self, method: str, labels: int, chosen: dict) -> list[float]:
        """Mean validation accuracy in percent with each setting of the method's grid."""
        grid, seeds = SETTINGS["grids"][method], SETTINGS["choosing_seeds"]
        part, steps = self.digits.validation, SETTINGS["chosen_at"]

        def measure() -> list[float]:
            values, everyone = crossed(grid, seeds)
            run = self.train(method, labels, chosen | {method: values}, everyone, steps)
            scores = accuracy(run.logits(part.inputs), part.labels)
            return (100 * scores.view(len(grid), -1).mean(dim=1)).tolist()

        return self._study.kept(f"world {self.seed}, {labels} labels, {method}: choice", measure)

    def choose(self, labels: int, methods: Iterable[str]) -> tuple[dict, dict]:
        """The chosen settings and all validation accuracies, by method."""
        chosen, scores = {}, {}
        for method in (each for each in SETTINGS["grids"] if each in methods):
            scores[method] = self.validated(method, labels, chosen)
            chosen[method] = SETTINGS["grids"][method][int(torch.tensor(scores[method]).argmax())]
        return chosen, scores

    def students(self, method: str, labels: int, chosen: dict) -> dict:
        """By budget, the four diagnostic numbers in percent and the squared slope, one per seed."""
        seeds, test = list(range(SETTINGS["seeds"])), self.digits.test

        def measure() -> dict:
            run = self.train(method, labels, chosen, seeds, SETTINGS["budgets"][-1])
            answers = teacher_logits(self.teacher, test)
            return {
                str(steps): self._numbers(each, labels, answers)
                for steps, each in run.over(lambda r: r).items()
            }

        return self._study.kept(f"world {self.seed}, {labels} labels, {method}", measure)

    def _numbers(self, runs: Runs, labels: int, answers: torch.Tensor) -> dict:
        numbers = diagnosed(runs, self.subsets(labels, runs.seeds), self.digits.test, answers)
        inputs = self.digits.validation.inputs[:100]
        slopes = [_slope(runs.model(number), inputs) for number in range(len(runs))]
        return numbers | {"slope": [float(f"{each:.4g}") for each in slopes]}

    def baselines(self, labels: int) -> dict:
        """Test accuracy in percent of classical methods on the same labelled images."""

        def measure() -> dict:
            return baselines(self.subsets(labels, range(SETTINGS["seeds"])), self.digits.test, places=None)

        return self._study.kept(f"world {self.seed}, {labels} labels, baselines", measure)


def _slope(network: nn.Module, inputs: torch.Tensor) -> float:
    """1/N Σ ‖∂F/∂x‖², exact."""
    x = inputs.clone().requires_grad_()
    return losses.input_gradient_loss(network(x), x).item()


def main() -> None:
    """Measure part after part, and write after each."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    what = "Narrow AlexNets on the digits: each term of eq. (3) and its controls over budgets"
    study, worlds, results, chosen = Study("chapter_07", what, SETTINGS), {}, {}, {}
    for part, methods in SETTINGS["parts"].items():
        number, labels = map(int, part.split("/"))
        world = worlds[number] = worlds.get(number) or World(study, number)
        results[part] = {
            "teacher": round(100 * evaluate(world.teacher, world.digits.test).accuracy, 2),
            "baselines": world.baselines(labels),
        }
        if not chosen:
            chosen, results[part]["validation"] = world.choose(labels, methods)
            results[part]["chosen"] = chosen
        results[part]["methods"] = {method: world.students(method, labels, chosen) for method in methods}
        study.write(parts=results)


if __name__ == "__main__":
    main()
