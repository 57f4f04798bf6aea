"""``python -m studies.alexnet_unlabelled``: photographs without labels, where a teacher's answers are all there is.

CIFAR-10's training images are cut in two halves. A wide AlexNet sees the images and labels of the first and answers
about the second. Narrow AlexNets learn from a few labels of the second half, from all its labels, from the teacher's
soft answers about it, or from the teacher's choices alone as if they were labels. Every way chooses learning rate and
weight decay from the same four on validation images. Takes about an hour on two quiet cores.
"""

import argparse
from dataclasses import replace
from functools import cached_property
from itertools import product

from torch import Tensor, nn

from course_lib.data import Dataset, Examples, Views, load
from course_lib.data.splits import stratified_split
from course_lib.measure import accuracy, diagnose, trivial_baseline
from course_lib.training import (
    Recipe,
    Run,
    TeacherCache,
    cache_teacher,
    fit,
    hard_labels,
    soft_targets,
    teacher_logits,
)
from studies.photographs import FOLDER, PRECISION, make_fabric, network, teacher
from studies.study import Study

SETTINGS = {
    "teacher": {"width": 1 / 4, "epochs": 20, "lr": 1e-3, "schedule": "cosine", "views": 162, "seed": 0},
    "split_seed": 0,
    "student_width": 1 / 16,
    "labels": [500, 1_000, 5_000],
    "budgets": [350, 1_750, 7_000],
    "batch_size": 128,
    "optimizer": "adamw",
    "schedule": "constant",
    "learning_rates": [1e-3, 2e-3],
    "weight_decays": [0.0, 0.1],
    "chosen_at": 1_750,  # steps, on validation images, with a seed of its own
    "choosing_seed": 100,
    "temperature": 2,
    "views": {"pad": 4, "stride": 4},
    "seeds": 5,
    "seen": 5_000,  # of a way's own images, on which its students are asked once more
    "precision": PRECISION,
}
VIEWS = Views(**SETTINGS["views"])
ANSWERS, CHOICES, ALL = "teacher's answers", "teacher's choices", "all labels"
WAYS = (*(f"{number} labels" for number in SETTINGS["labels"]), CHOICES, ANSWERS, ALL)


class Trainings:
    """All students of one teacher.

    Args:
        study: keeps what is measured.
        dataset: the photographs.
    """

    def __init__(self, study: Study, dataset: Dataset):
        self._study, self._data = study, dataset
        self._fabric = make_fabric()
        labels, seed = dataset.train.labels, SETTINGS["split_seed"]
        first = len(labels) // 2
        self.taught, self.rest = (
            dataset.train.take(rows) for rows in stratified_split(labels, (first, len(labels) - first), seed)
        )

    @cached_property
    def teacher(self) -> nn.Module:
        """A wide AlexNet of the first half, kept in a file."""
        settings = SETTINGS["teacher"] | {"dropout": 0.5, "batch_size": SETTINGS["batch_size"]}
        path = FOLDER / "alexnet_unlabelled_teacher.pt"
        return teacher(path, self._data, self.taught, settings, self._fabric)

    @cached_property
    def cache(self) -> TeacherCache:
        return cache_teacher(self.teacher, self.rest, views=VIEWS, directory=FOLDER)

    @cached_property
    def answers(self) -> Tensor:
        return teacher_logits(self.teacher, self._data.test)

    def examples(self, way: str) -> Examples:
        """What a way is trained on."""
        if way == CHOICES:
            return replace(self.rest, labels=self.cache.lookup(self.rest).argmax(dim=1))
        if way in (ANSWERS, ALL):
            return self.rest
        return self.rest.subset(int(way.split()[0]), seed=0)

    def train(self, way: str, lr: float, weight_decay: float, seed: int, steps: int) -> Run:
        recipe = Recipe(
            steps, SETTINGS["batch_size"], SETTINGS["optimizer"], lr, weight_decay, SETTINGS["schedule"]
        )
        return fit(
            lambda: network(self._data, SETTINGS["student_width"]),
            soft_targets(SETTINGS["temperature"], 1.0) if way == ANSWERS else hard_labels(),
            self.examples(way),
            recipe,
            seed=seed,
            views=VIEWS,
            fabric=self._fabric,
            teacher=self.cache if way == ANSWERS else None,
            keep=[budget for budget in SETTINGS["budgets"] if budget < steps],
        )

    def tried(self, way: str) -> list[dict]:
        """Validation accuracy in percent with each of the settings."""
        return [
            {
                "lr": lr,
                "weight_decay": decay,
                "validation": self._study.kept(
                    f"{way}, lr {lr:g}, decay {decay:g}",
                    lambda lr=lr, decay=decay: self._tried(way, lr, decay),
                ),
            }
            for lr, decay in product(SETTINGS["learning_rates"], SETTINGS["weight_decays"])
        ]

    def _tried(self, way: str, lr: float, weight_decay: float) -> float:
        model = self.train(way, lr, weight_decay, SETTINGS["choosing_seed"], SETTINGS["chosen_at"]).model
        part = self._data.validation
        return 100 * accuracy(teacher_logits(model, part), part.labels).item()

    def student(self, way: str, chosen: dict, seed: int) -> dict:
        """The four diagnostic numbers in percent, by budget; on its own images with their true labels."""

        def measure() -> dict:
            run = self.train(way, chosen["lr"], chosen["weight_decay"], seed, SETTINGS["budgets"][-1])
            return {
                str(steps): self._diagnosed(way, each) for steps, each in run.over(lambda run: run).items()
            }

        return self._study.kept(f"{way}, seed {seed}", measure)

    def _diagnosed(self, way: str, run: Run) -> dict:
        own = self.rest if way in (CHOICES, ANSWERS) else self.examples(way)
        seen = own if len(own) <= SETTINGS["seen"] else own.subset(SETTINGS["seen"], seed=0)
        found = diagnose(run, seen, self._data.test, self.answers)
        return {key: round(100 * value.item(), 3) for key, value in vars(found).items()}

    def of_teacher(self) -> dict:
        """The teacher's own numbers, and how often it is right about the other half."""
        found = diagnose(self.teacher, self.taught.subset(SETTINGS["seen"], seed=0), self._data.test)
        right = accuracy(self.cache.lookup(self.rest), self.rest.labels)
        numbers = {key: value for key, value in vars(found).items() if value is not None}
        return {key: round(100 * value.item(), 3) for key, value in (numbers | {"other half": right}).items()}

    def baselines(self) -> dict:
        """Accuracies of logistic regression on the pixels, in percent."""
        return {
            way: round(100 * trivial_baseline(self.examples(way), self._data.test).item(), 3)
            for way in WAYS[:3]
        }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    what = "Narrow AlexNets on CIFAR-10: few labels against a teacher's answers about images without labels"
    study, dataset = Study("alexnet_unlabelled", what, SETTINGS), load("cifar10")
    trainings = Trainings(study, dataset)
    tried = {way: trainings.tried(way) for way in WAYS}
    chosen = {way: max(each, key=lambda one: one["validation"]) for way, each in tried.items()}
    students = {way: [] for way in WAYS}
    for seed in range(SETTINGS["seeds"]):
        for way in WAYS:
            students[way].append(trainings.student(way, chosen[way], seed))
    study.write(
        data=dataset.title,
        images={"first half": len(trainings.taught), "second half": len(trainings.rest)},
        teacher=study.kept("teacher", trainings.of_teacher),
        tried=tried,
        chosen=chosen,
        students=students,
        baselines=study.kept("baselines", trainings.baselines),
    )


if __name__ == "__main__":
    main()
