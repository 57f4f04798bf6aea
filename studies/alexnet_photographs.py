"""``python -m studies.alexnet_photographs``: on photographs, is it the teacher, the temperature or the number of steps?

Narrow AlexNets on CIFAR-10 with all labels: hard labels against soft targets at three temperatures, and against soft
targets whose dark knowledge was permuted, over three budgets of steps. Every method chooses its learning rate from the
same three on validation images. All see the same 18 views. Takes about an hour on two quiet cores.
"""

import argparse
import logging
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from course_lib.data import Dataset, Views, load
from course_lib.distillation import load_network
from course_lib.distillation.networks import save_network, settings_of
from course_lib.measure import diagnose, trivial_baseline
from course_lib.models import alexnet
from course_lib.training import (
    Objective,
    Recipe,
    Run,
    TeacherCache,
    cache_teacher,
    fit,
    hard_labels,
    permuted_dark_knowledge,
    soft_targets,
    teacher_logits,
)
from studies.study import ROOT, Study

SETTINGS = {
    "teacher": {"width": 1 / 4, "epochs": 12, "lr": 1e-3, "schedule": "cosine", "views": 162, "seed": 0},
    "student_width": 1 / 16,
    "budgets": [350, 1_750, 7_000],
    "batch_size": 128,
    "optimizer": "adam",
    "schedule": "constant",
    "learning_rates": [5e-4, 1e-3, 2e-3],
    "chosen_at": 1_750,  # steps, on validation images, with a seed of its own
    "choosing_seed": 100,
    "lam": 0.9,
    "views": {"pad": 4, "stride": 4},
    "seeds": 3,
    "seen": 5_000,  # training images about which the students are asked once more
    "few": 5_000,  # labels for logistic regression
    "precision": "bf16-mixed",
}
VIEWS = Views(**SETTINGS["views"])
METHODS = {
    "hard labels": hard_labels(),
    **{f"soft targets, T = {T}": soft_targets(T, SETTINGS["lam"]) for T in (1, 2, 5)},
    "permuted, T = 2": soft_targets(2, SETTINGS["lam"]),
}


def network(dataset: Dataset, width: float, dropout: float = 0.0) -> nn.Module:
    model = alexnet(**settings_of(dataset, width, dropout))
    return model.to(memory_format=torch.channels_last)


def teacher(dataset: Dataset, folder: Path, fabric: Fabric) -> nn.Module:
    """A wide AlexNet, kept in a file."""
    path, settings = folder / "alexnet_photographs_teacher.pt", SETTINGS["teacher"]
    if not path.is_file():
        steps = settings["epochs"] * (len(dataset.train) // SETTINGS["batch_size"])
        recipe = Recipe(steps, SETTINGS["batch_size"], lr=settings["lr"], schedule=settings["schedule"])
        run = fit(
            lambda: network(dataset, settings["width"], 0.5),
            hard_labels(),
            dataset.train,
            recipe,
            seed=settings["seed"],
            views=Views(),
            fabric=fabric,
        )
        save_network(path, run.model, settings_of(dataset, settings["width"], 0.5))
    return load_network(path, dataset).to(memory_format=torch.channels_last)


class Trainings:
    """All students of one teacher.

    Args:
        study: keeps what is measured.
        dataset: the photographs.
        big: the teacher.
        fabric: of the trainings.
    """

    def __init__(self, study: Study, dataset: Dataset, big: nn.Module, fabric: Fabric):
        self._study, self._data, self._fabric = study, dataset, fabric
        cache = cache_teacher(big, dataset.train, views=VIEWS, directory=ROOT / "build" / "studies")
        self._caches = {"taught": cache, "permuted": permuted_dark_knowledge(cache, seed=0)}
        self._answers = teacher_logits(big, dataset.test)
        self._seen = dataset.train.subset(SETTINGS["seen"], seed=0)

    def cache(self, name: str) -> TeacherCache:
        return self._caches["permuted" if name.startswith("permuted") else "taught"]

    def train(self, name: str, objective: Objective, lr: float, seed: int, steps: int) -> Run:
        recipe = Recipe(steps, SETTINGS["batch_size"], SETTINGS["optimizer"], lr)
        return fit(
            lambda: network(self._data, SETTINGS["student_width"]),
            objective,
            self._data.train,
            recipe,
            seed=seed,
            views=VIEWS,
            fabric=self._fabric,
            teacher=None if name == "hard labels" else self.cache(name),
            keep=[budget for budget in SETTINGS["budgets"] if budget < steps],
        )

    def validated(self, name: str, objective: Objective, lr: float) -> float:
        """Validation accuracy in percent with this learning rate."""

        def measure() -> float:
            run = self.train(name, objective, lr, SETTINGS["choosing_seed"], SETTINGS["chosen_at"])
            return 100 * diagnose(run, self._seen, self._data.validation).test.item()

        return self._study.kept(f"{name}, lr {lr:g}", measure)

    def student(self, name: str, objective: Objective, lr: float, seed: int) -> dict:
        """The four diagnostic numbers in percent, by budget."""

        def measure() -> dict:
            run = self.train(name, objective, lr, seed, SETTINGS["budgets"][-1])
            return {str(steps): self._diagnosed(each) for steps, each in run.over(lambda run: run).items()}

        return self._study.kept(f"{name}, seed {seed}", measure)

    def _diagnosed(self, run: Run) -> dict:
        found = diagnose(run, self._seen, self._data.test, self._answers)
        return {key: round(100 * value.item(), 3) for key, value in vars(found).items()}


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    logging.getLogger("lightning").setLevel(logging.ERROR)
    what = (
        "Narrow AlexNets on CIFAR-10, all labels: hard labels and soft targets over budgets and temperatures"
    )
    study, dataset = Study("alexnet_photographs", what, SETTINGS), load("cifar10")
    fabric = Fabric(accelerator="cpu", devices=1, precision=SETTINGS["precision"])
    big = teacher(dataset, ROOT / "build" / "studies", fabric)
    trainings = Trainings(study, dataset, big, fabric)
    rates = {
        name: {f"{lr:g}": trainings.validated(name, each, lr) for lr in SETTINGS["learning_rates"]}
        for name, each in METHODS.items()
    }
    chosen = {name: max(found, key=found.get) for name, found in rates.items()}
    students = {name: [] for name in METHODS}
    for seed in range(SETTINGS["seeds"]):
        for name, each in METHODS.items():
            students[name].append(trainings.student(name, each, float(chosen[name]), seed))
    study.write(
        data=dataset.title,
        teacher={key: 100 * value.item() for key, value in vars(diagnosed(big, dataset)).items()},
        validation_by_lr=rates,
        chosen_lr=chosen,
        students=students,
        baselines=study.kept("baselines", lambda: baselines(dataset)),
    )


def diagnosed(big: nn.Module, dataset: Dataset):
    """The teacher's own numbers."""
    answers = teacher_logits(big, dataset.test)
    return diagnose(big, dataset.train.subset(SETTINGS["seen"], seed=0), dataset.test, answers)


def baselines(dataset: Dataset) -> dict:
    """Accuracies in percent of what needs no network."""
    few = dataset.train.subset(SETTINGS["few"], seed=0)
    sets = {"all labels": dataset.train, f"{SETTINGS['few']} labels": few}
    found = {
        f"nearest neighbour, {name}": 100 * trivial_baseline(each, dataset.test, "nearest neighbour").item()
        for name, each in sets.items()
    }
    name, each = list(sets.items())[-1]
    return found | {f"logistic regression, {name}": 100 * trivial_baseline(each, dataset.test).item()}


if __name__ == "__main__":
    main()
