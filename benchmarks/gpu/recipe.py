"""The article's recipe in full: a teacher, its answers about all views, students over budgets, paired by seed."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from benchmarks.gpu.card import VIEWS, Size, kept_answers, network
from benchmarks.gpu.fleet import Fleet, Member, answered, judged
from course_lib.data import Dataset
from course_lib.files import save_atomically
from course_lib.losses import gradient_matching_loss, input_gradient_loss
from course_lib.matrices import cross_entropy_matrix
from course_lib.measure import compare
from course_lib.models import HalfPrecision
from course_lib.training import LiveTeacher, Objective, Term, hard_labels, smoothed_labels, soft_targets
from course_lib.training.controls import permuted_logits
from course_lib.training.sources import SOFT_MATRIX, TEACHER_GRADIENTS

LR, WEIGHT_DECAY = (0.05, 0.1), (5e-4, 1e-3)
TEMPERATURES, LAM = (1.0, 2.0, 4.0), 0.9
GRID_TEMPERATURES, GRID_LAMS = (1.0, 2.0, 4.0, 8.0), (0.5, 0.9, 1.0)
SMOOTHINGS = (0.0, 0.1, 0.2)
# Offered once more over the whole training, where other settings may be best than after a short one.
LATE_LR, LATE_TEMPERATURES, LATE_SMOOTHINGS = (0.1, 0.2), (4.0, 8.0), (0.0, 0.1)
CHOOSING = 100  # a seed of its own
SEEN = 5000  # training images on which the students are judged, too
TEACHERS = ((0.02, 5e-4), (0.05, 5e-4), (0.1, 5e-4))  # learning rates and weight decays


@dataclass(frozen=True)
class Way:
    """A method with its settings."""

    objective: Objective
    lr: float
    weight_decay: float
    settings: dict
    live: bool = False  # asks the teacher for slopes
    permuted: bool = False  # learns from answers whose wrong classes changed places

    def told(self) -> dict:
        return {"lr": self.lr, "weight_decay": self.weight_decay} | self.settings


class Recipe:
    """One teacher and all its students.

    Args:
        data: on the device.
        size: of everything.
        folder: where the teacher is kept.
    """

    def __init__(self, data: Dataset, size: Size, folder: Path):
        self.data, self.size, self._weights = data, size, folder / "teacher.pt"
        self._steps = len(data.train) // size.batch_size  # of an epoch
        self.big: nn.Module | None = None
        self.answers: Tensor | None = None
        self._seen = data.train.subset(min(SEEN, len(data.train)), seed=0)

    def fleet(self, members: Sequence[Member], epochs: float) -> Fleet:
        steps = max(1, round(epochs * self._steps))
        return Fleet(members, self.data.train, VIEWS, self.size.batch_size, steps)

    def teachers(self) -> dict:
        """The teacher's settings, chosen on validation images after a short training."""
        members = [
            Member(network(self.size.teacher_width, 0, 0.5), hard_labels(), lr, decay)
            for lr, decay in TEACHERS
        ]
        fleet = self.fleet(members, self.size.teacher_tuning_epochs).train()
        labels = self.data.validation.labels
        found = [judged(each, labels)["accuracy"] for each in fleet.logits(self.data.validation)]
        tried = [
            {"lr": lr, "weight_decay": decay, "validation": value}
            for (lr, decay), value in zip(TEACHERS, found, strict=True)
        ]
        return {"chosen": max(tried, key=lambda one: one["validation"]), "tried": tried}

    def teacher(self, lr: float, weight_decay: float) -> dict:
        """Train it and keep it."""
        network_ = network(self.size.teacher_width, 0, 0.5)
        member = Member(network_, hard_labels(), lr, weight_decay)
        fleet = self.fleet([member], self.size.epochs).train()
        save_atomically(self._weights, network_.state_dict())
        images = fleet.steps * self.size.batch_size
        return {
            "epochs": self.size.epochs,
            "lr": lr,
            "weight_decay": weight_decay,
            "parameters": sum(each.numel() for each in network_.parameters()),
            "training_seconds": round(fleet.seconds, 2),
            "images_per_second": round(images / fleet.seconds),
        } | self._of_all_parts(network_)

    def ask(self) -> dict:
        """All answers of the teacher for all views of the training images."""
        self.big = network(self.size.teacher_width, 0, 0.5)
        self.big.load_state_dict(torch.load(self._weights, weights_only=True, map_location="cpu"))
        self.big = self.big.to(self.data.train.device, memory_format=torch.channels_last).eval()
        self.answers = kept_answers(self.big, self.data.train)
        self._on_test = answered(HalfPrecision(self.big), self.data.test)
        return {"views": len(VIEWS), "answers_bytes": self.answers.numel() * self.answers.element_size()}

    def ask_again(self, lr: float, weight_decay: float) -> None:
        """After a run that was stopped: the report knows of the teacher, but not its weights and what it said."""
        if self.answers is None:
            if not self._weights.is_file():  # another machine went on
                self.teacher(lr, weight_decay)
            self.ask()

    @cached_property
    def permuted(self) -> Tensor:
        """The answers without their dark knowledge, on the device."""
        return permuted_logits(self.answers, seed=0)

    def _of_all_parts(self, network_: nn.Module) -> dict:
        parts = {"train": self._seen, "validation": self.data.validation, "test": self.data.test}
        return {
            name: judged(answered(HalfPrecision(network_).eval(), part), part.labels)
            for name, part in parts.items()
        }

    def member(self, way: Way, seed: int) -> Member:
        asks = any(source.name == "teacher_logits" for source in way.objective.sources)
        return Member(
            network(self.size.student_width, seed),
            way.objective,
            way.lr,
            way.weight_decay,
            seed=seed,
            answers=(self.permuted if way.permuted else self.answers) if asks else None,
            ask=self._slopes if way.live else None,
        )

    def _slopes(self, inputs: Tensor, labels: Tensor) -> dict:
        """The teacher's slopes of its own loss, for the very views that the student sees."""
        live = LiveTeacher(HalfPrecision(self.big), cross_entropy_matrix)
        return live.answers(inputs, labels, [TEACHER_GRADIENTS, SOFT_MATRIX])

    def tuned(self, methods: dict[str, Sequence[Way]], epochs: float | None = None) -> dict:
        """The best settings of every method on validation images after a short training, and what all reached."""
        every = [(name, way) for name, ways in methods.items() for way in ways]
        epochs = epochs or self.size.tuning_epochs
        fleet = self.fleet([self.member(way, CHOOSING) for _, way in every], epochs).train()
        labels = self.data.validation.labels
        tried: dict[str, list[dict]] = {name: [] for name in methods}
        for (name, way), logits in zip(every, fleet.logits(self.data.validation), strict=True):
            tried[name].append({"settings": way.told(), "validation": judged(logits, labels)["accuracy"]})
        return {
            name: {
                "chosen": max(each, key=lambda one: one["validation"])["settings"],
                "epochs": epochs,
                "tried": each,
            }
            for name, each in tried.items()
        }

    def students(self, ways: dict[str, Way], epochs: float) -> dict:
        """All seeds of all methods with this budget, and the first method's rivals against it."""
        members = [self.member(way, seed) for way in ways.values() for seed in range(self.size.seeds)]
        fleet = self.fleet(members, epochs).train()
        judgements = [
            judged(logits, self.data.test.labels, self._on_test)
            | {"train": judged(seen, self._seen.labels)["accuracy"]}
            for logits, seen in zip(fleet.logits(self.data.test), fleet.logits(self._seen), strict=True)
        ]
        seeds = self.size.seeds
        found = {name: judgements[i * seeds : (i + 1) * seeds] for i, name in enumerate(ways)}
        return {
            "epochs": epochs,
            "training_seconds_of_all": round(fleet.seconds, 2),
            "parameters": sum(each.numel() for each in members[0].network.parameters()),
            "students": found,
            "differences": differences(found),
        }


def differences(found: dict[str, list[dict]]) -> dict:
    """Test accuracy of every method minus the first one's, paired by seed."""
    first, *others = found
    base = [each["accuracy"] for each in found[first]]
    return {
        f"{other} − {first}": {
            key: value
            for key, value in asdict(compare([each["accuracy"] for each in found[other]], base)).items()
            if key in ("difference", "low", "high", "verdict", "gaps")
        }
        for other in others
    }


def hard_ways(rates: Sequence[float] = LR, smoothings: Sequence[float] = SMOOTHINGS) -> list[Way]:
    """Labels with equally many settings as soft targets have: a smoothing for each temperature."""
    return [
        Way(
            smoothed_labels(smoothing) if smoothing else hard_labels(),
            lr,
            decay,
            {"method": "hard labels", "smoothing": smoothing},
        )
        for lr, decay, smoothing in product(rates, WEIGHT_DECAY, smoothings)
    ]


def soft_ways(rates: Sequence[float] = LR, temperatures: Sequence[float] = TEMPERATURES) -> list[Way]:
    return [
        Way(
            soft_targets(temperature, LAM),
            lr,
            decay,
            {"method": "soft targets", "temperature": temperature, "lam": LAM},
        )
        for lr, decay, temperature in product(rates, WEIGHT_DECAY, temperatures)
    ]


def offered(late: bool = False) -> dict[str, list[Way]]:
    """Both methods with all settings that they choose from, after a short training or over the whole one."""
    if late:
        return {
            "hard labels": hard_ways(LATE_LR, LATE_SMOOTHINGS),
            "soft targets": soft_ways(LATE_LR, LATE_TEMPERATURES),
        }
    return {"hard labels": hard_ways(), "soft targets": soft_ways()}


def chosen(ways: dict[str, list[Way]], tuned: dict) -> dict[str, Way]:
    """The ways that a tuning chose."""
    return {
        name: next(way for way in each if way.told() == tuned[name]["chosen"]) for name, each in ways.items()
    }


def gradient_ways(hard: Way, soft: Way) -> list[Way]:
    """Slopes beside the chosen labels and the chosen soft targets, with their learning rates."""

    def beside(base: Way, name: str, term: Callable[[float], Term], weight: float, live: bool = False) -> Way:
        objective = Objective([*base.objective.terms, term(weight)])
        return Way(
            objective,
            base.lr,
            base.weight_decay,
            base.settings | {"method": name, "weight": weight, "beside": base.settings["method"]},
            live,
        )

    def flat(weight: float) -> Term:
        return Term("input_gradient", input_gradient_loss, weight=weight, estimator="hutchinson")

    def matched(weight: float) -> Term:
        return Term("matching", gradient_matching_loss, weight=weight)

    return [
        *(beside(hard, "input gradient", flat, weight) for weight in (1e-4, 1e-3)),
        *(beside(soft, "input gradient", flat, weight) for weight in (1e-4, 1e-3)),
        *(beside(soft, "gradient matching", matched, weight, True) for weight in (0.1, 1.0)),
    ]


def grid_ways(soft: Way) -> list[Way]:
    """The chosen soft targets at every temperature and λ of the grid."""
    return [
        replace(
            soft,
            objective=soft_targets(temperature, lam),
            settings=soft.settings | {"temperature": temperature, "lam": lam},
        )
        for temperature, lam in product(GRID_TEMPERATURES, GRID_LAMS)
    ]


def permuted_way(soft: Way) -> Way:
    """The control: the chosen soft targets, from answers without dark knowledge."""
    return replace(soft, settings=soft.settings | {"method": "permuted"}, permuted=True)


def averages(part: dict) -> dict[str, float]:
    """Mean test accuracy by method, for the log."""
    return {
        name: round(fmean(each["accuracy"] for each in values), 4)
        for name, values in part["students"].items()
    }
