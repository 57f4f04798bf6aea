"""``python -m studies.alexnet_grid``: with all labels of CIFAR-10, does a teacher help, and what decides: the number of
steps, the temperature, or the teacher?

Narrow AlexNets learn from hard labels or from a wide AlexNet's answers, over three numbers of steps. Both sides choose
from equally many settings on validation images: hard labels their learning rate, weight decay and smoothing, soft
targets their learning rate, weight decay, temperature and λ. The same students learn from answers whose dark knowledge
was permuted, with the article's settings, and from a teacher that trained briefly or learned its images by heart.

Takes hours. Each result is kept, and a part of the ways can be had alone:
``python -m studies.alexnet_grid --only hard`` and the like fill the same folder from several processes.
"""

import argparse
from functools import cache
from itertools import product
from typing import Any, NamedTuple

from torch import nn

from course_lib.data import Dataset, Views, load
from course_lib.measure import accuracy, diagnose, trivial_baseline
from course_lib.training import (
    Objective,
    Recipe,
    Run,
    TeacherCache,
    cache_teacher,
    fit,
    hard_labels,
    permuted_dark_knowledge,
    smoothed_labels,
    soft_targets,
    teacher_logits,
)
from studies.photographs import FOLDER, PRECISION, make_fabric, network, teacher
from studies.study import Study

TEACHER = {"width": 1 / 4, "batch_size": 128, "lr": 1e-3, "schedule": "cosine", "seed": 0}
SETTINGS = {
    "teachers": {
        "good": TEACHER | {"epochs": 20, "dropout": 0.5, "views": True},
        "short": TEACHER | {"epochs": 2, "dropout": 0.5, "views": True},
        "by heart": TEACHER | {"epochs": 20, "dropout": 0.0, "views": False},
    },
    "student_width": 1 / 16,
    "budgets": [1_050, 5_250, 21_000],  # 3, 15 and 60 epochs
    "batch_size": 128,
    "optimizer": "adamw",
    "schedule": "cosine",  # to the end of each budget, so each is a training of its own
    "learning_rates": [1e-3, 2e-3, 4e-3],
    "weight_decays": [0.0, 0.1],
    "smoothings": [0.02, 0.05, 0.1, 0.2],
    "temperatures": [1, 2, 5],
    "lams": [0.5, 0.9, 1.0],
    "chosen_at": 5_250,  # steps, on validation images, with a seed of its own
    "choosing_seed": 100,
    "first": {"temperature": 2, "lam": 0.9},  # while learning rate and decay are chosen
    "article": {"temperature": 5, "lam": 0.9},
    "views": {"pad": 4, "stride": 4},
    "seeds": 5,
    "seen": 5_000,  # training images about which the students are asked once more
    "precision": PRECISION,
}
VIEWS = Views(**SETTINGS["views"])
HARD, SOFT, ARTICLE, PERMUTED = "hard labels", "soft targets", "article", "permuted"
WAYS = (HARD, SOFT, ARTICLE, PERMUTED)


class Way(NamedTuple):
    """One setting: ``temperature`` 0 stands for labels, ``smoothing`` of them."""

    lr: float
    weight_decay: float
    temperature: float = 0
    lam: float = 0
    smoothing: float = 0

    def objective(self) -> Objective:
        if self.temperature:
            return soft_targets(self.temperature, self.lam)
        return smoothed_labels(self.smoothing) if self.smoothing else hard_labels()


class Trainings:
    """All students, of all teachers.

    Args:
        study: keeps what is measured.
        dataset: the photographs.
    """

    def __init__(self, study: Study, dataset: Dataset):
        self._study, self._data, self._fabric = study, dataset, make_fabric()
        self._seen = dataset.train.subset(SETTINGS["seen"], seed=0)
        # Read or made once in a process.
        self.teacher, self.cache = cache(self._teacher), cache(self._cache)

    def _teacher(self, name: str) -> nn.Module:
        path = FOLDER / f"alexnet_grid_teacher_{name.replace(' ', '_')}.pt"
        return teacher(path, self._data, self._data.train, SETTINGS["teachers"][name], self._fabric)

    def _cache(self, name: str) -> TeacherCache:
        if name == PERMUTED:
            return permuted_dark_knowledge(self.cache("good"), seed=0)
        return cache_teacher(self.teacher(name), self._data.train, views=VIEWS, directory=FOLDER)

    def train(self, way: Way, taught_by: str, seed: int, steps: int) -> Run:
        recipe = Recipe(
            steps,
            SETTINGS["batch_size"],
            SETTINGS["optimizer"],
            way.lr,
            way.weight_decay,
            SETTINGS["schedule"],
        )
        return fit(
            lambda: network(self._data, SETTINGS["student_width"]),
            way.objective(),
            self._data.train,
            recipe,
            seed=seed,
            views=VIEWS,
            fabric=self._fabric,
            teacher=self.cache(taught_by) if way.temperature else None,
        )

    def tried(self, way: Way, taught_by: str = "good", steps: int = SETTINGS["chosen_at"]) -> dict[str, Any]:
        """Validation accuracy in percent."""

        def measure() -> float:
            model = self.train(way, taught_by, SETTINGS["choosing_seed"], steps).model
            part = self._data.validation
            return 100 * accuracy(teacher_logits(model, part), part.labels).item()

        key = f"{way._asdict()}, {taught_by if way.temperature else 'labels'}, {steps} steps"
        return way._asdict() | {"validation": self._study.kept(key, measure)}

    def student(self, way: Way, taught_by: str, seed: int, steps: int) -> dict[str, float]:
        """The four diagnostic numbers in percent, on training images, test images, and beside the good teacher."""

        def measure() -> dict[str, float]:
            run = self.train(way, taught_by, seed, steps)
            found = diagnose(run, self._seen, self._data.test, self.answers)
            return {key: round(100 * value.item(), 3) for key, value in vars(found).items()}

        key = f"{way._asdict()}, {taught_by if way.temperature else 'labels'}, {steps} steps, seed {seed}"
        return self._study.kept(key, measure)

    @property
    def answers(self):
        return _answers(self.teacher("good"), self._data)

    def of_teacher(self, name: str) -> dict[str, float]:
        """A teacher's own numbers, and how often its answers about the training images are right."""
        found = vars(diagnose(self.teacher(name), self._seen, self._data.test))
        seen = accuracy(self.cache(name).lookup(self._data.train), self._data.train.labels)
        numbers = {key: value for key, value in found.items() if value is not None}
        return {key: round(100 * value.item(), 3) for key, value in (numbers | {"answers": seen}).items()}


@cache
def _answers(model: nn.Module, dataset: Dataset):
    return teacher_logits(model, dataset.test)


def best(tried: list[dict[str, Any]]) -> Way:
    chosen = max(tried, key=lambda one: one["validation"])
    return Way(**{key: value for key, value in chosen.items() if key != "validation"})


def chosen_hard(trainings: Trainings) -> tuple[list[dict[str, Any]], Way]:
    """What hard labels tried, and their choice."""
    rates = product(SETTINGS["learning_rates"], SETTINGS["weight_decays"])
    tried = [trainings.tried(Way(lr, decay)) for lr, decay in rates]
    lr = best(tried).lr
    more = product(SETTINGS["weight_decays"], SETTINGS["smoothings"])
    tried += [trainings.tried(Way(lr, decay, smoothing=smoothing)) for decay, smoothing in more]
    return tried, best(tried)


def chosen_soft(trainings: Trainings) -> tuple[list[dict[str, Any]], Way]:
    """What soft targets tried, and their choice."""
    rates = product(SETTINGS["learning_rates"], SETTINGS["weight_decays"])
    tried = [trainings.tried(Way(lr, decay, **SETTINGS["first"])) for lr, decay in rates]
    of_rates = best(tried)
    more = product(SETTINGS["temperatures"], SETTINGS["lams"])
    others = [of_rates._replace(temperature=T, lam=lam) for T, lam in more]
    tried += [trainings.tried(each) for each in others if each != of_rates]
    return tried, best(tried)


def grid(trainings: Trainings, chosen: Way) -> dict[str, list[dict[str, Any]]]:
    """Validation accuracy over temperatures and λ, by number of steps."""
    cells = list(product(SETTINGS["temperatures"], SETTINGS["lams"]))
    return {
        str(steps): [
            trainings.tried(chosen._replace(temperature=T, lam=lam), steps=steps) for T, lam in cells
        ]
        for steps in SETTINGS["budgets"]
    }


def students(trainings: Trainings, ways: dict[str, Way], only: str | None) -> dict[str, dict[str, list]]:
    """The diagnostic numbers by way and number of steps, a list over seeds; short trainings first."""
    found: dict[str, dict[str, list]] = {way: {} for way in ways}
    for steps, seed in product(SETTINGS["budgets"], range(SETTINGS["seeds"])):
        for name, way in ways.items():
            if only in (None, name):
                taught_by = PERMUTED if name == PERMUTED else "good"
                one = trainings.student(way, taught_by, seed, steps)
                found[name].setdefault(str(steps), []).append(one)
    return found


def of_teachers(trainings: Trainings, chosen: Way) -> dict[str, Any]:
    """Soft targets of the other teachers, each at the temperature it is best at, after ``chosen_at`` steps."""
    found = {}
    for name in ("short", "by heart"):
        tried = [trainings.tried(chosen._replace(temperature=T), name) for T in SETTINGS["temperatures"]]
        runs = [
            trainings.student(best(tried), name, seed, SETTINGS["chosen_at"])
            for seed in range(SETTINGS["seeds"])
        ]
        found[name] = {"tried": tried, "chosen": best(tried)._asdict(), "students": runs}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=WAYS, help="train the students of one way, and write nothing")
    only = parser.parse_args().only
    what = (
        "Narrow AlexNets on CIFAR-10, all labels: hard labels and soft targets over steps, T, λ and teachers"
    )
    study, dataset = Study("alexnet_grid", what, SETTINGS), load("cifar10")
    trainings = Trainings(study, dataset)
    soft_tried, soft = chosen_soft(trainings) if only != HARD else ([], Way(0, 0))
    hard_tried, hard = chosen_hard(trainings) if only in (None, HARD) else ([], Way(0, 0))
    ways = {HARD: hard, SOFT: soft, ARTICLE: soft._replace(**SETTINGS["article"]), PERMUTED: soft}
    found = students(trainings, ways, only)
    if only is not None:
        return
    study.write(
        data=dataset.title,
        tried={HARD: hard_tried, SOFT: soft_tried},
        chosen={name: way._asdict() for name, way in ways.items()},
        students=found,
        other_teachers=of_teachers(trainings, soft),
        grid=grid(trainings, soft),
        teachers={
            name: study.kept(f"teacher, {name}", lambda name=name: trainings.of_teacher(name))
            for name in SETTINGS["teachers"]
        },
        logistic_regression=study.kept(
            "logistic regression",
            lambda: round(100 * trivial_baseline(dataset.train, dataset.test).item(), 3),
        ),
    )


if __name__ == "__main__":
    main()
