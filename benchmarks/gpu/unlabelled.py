"""Photographs without labels: a teacher that has seen one half of the labels answers about the other half."""

from itertools import product

import torch
from torch import Tensor, nn

from benchmarks.gpu.card import VIEWS, Size, kept_answers, network
from benchmarks.gpu.fleet import Fleet, Member, answered, judged
from benchmarks.gpu.recipe import CHOOSING, differences
from course_lib.data import Dataset, Examples
from course_lib.data.splits import stratified_split
from course_lib.models import HalfPrecision
from course_lib.training import hard_labels, soft_targets

LR, WEIGHT_DECAY, TEMPERATURE = (0.02, 0.05, 0.1), (5e-4, 5e-3), 2.0
BATCH = 128
TAUGHT = "answers"


class Unlabelled:
    """Students that have few labels, and the answers of a teacher about images that neither of them has labels for.

    Args:
        data: on the device.
        size: of everything.
        of_teacher: its learning rate and weight decay.
    """

    def __init__(self, data: Dataset, size: Size, of_teacher: tuple[float, float]):
        self.data, self.size, self._of_teacher = data, size, of_teacher
        self._batch = min(BATCH, size.batch_size)
        self._answers: Tensor | None = None
        self._half, self._rest = (data.train.take(rows) for rows in _halves(data.train))

    def prepared(self) -> dict:
        """The teacher of the other half's images, and the settings chosen for every way."""
        told = self._ask()
        tried = self._tuned()
        return {
            "teacher": told,
            "images": {"teacher's half": len(self._half), "other half": len(self._rest)},
            "batch_size": self._batch,
            "temperature": TEMPERATURE,
            "chosen": {name: max(each, key=lambda one: one["validation"]) for name, each in tried.items()},
            "tried": tried,
        }

    def _ask(self) -> dict:
        """All that the teacher says about the images whose labels it has not seen."""
        teacher, told = self._teacher()
        self._answers = kept_answers(teacher, self._rest)
        self._on_test = answered(HalfPrecision(teacher), self.data.test)
        # What the teacher says about an image as it is, in place of its label.
        self._said = answered(HalfPrecision(teacher), self._rest).argmax(dim=1)
        right = (self._said == self._rest.labels).double().mean().item()
        return told | {"right about the other half": round(100 * right, 3)}

    def _teacher(self) -> tuple[nn.Module, dict]:
        big = network(self.size.teacher_width, 0, 0.5)
        steps = self.size.half_epochs * max(1, len(self._half) // self.size.batch_size)
        member = Member(big, hard_labels(), *self._of_teacher)
        fleet = Fleet([member], self._half, VIEWS, self.size.batch_size, steps).train()
        found = judged(answered(HalfPrecision(big), self.data.test), self.data.test.labels)
        told = {"epochs": self.size.half_epochs, "test": found, "training_seconds": round(fleet.seconds, 2)}
        return big.eval(), told

    @property
    def _names(self) -> tuple[str, ...]:
        return (*(f"{number} labels" for number in self.size.labels), TAUGHT, "hard answers", "all labels")

    def _member(self, name: str, seed: int, lr: float, weight_decay: float) -> Member:
        """One student of a way."""
        number, _, _ = name.partition(" ")
        few = self._few(int(number)) if number.isdigit() else None
        return Member(
            network(self.size.student_width, seed),
            soft_targets(TEMPERATURE, 1.0) if name == TAUGHT else hard_labels(),
            lr,
            weight_decay,
            seed=seed,
            answers=self._answers if name == TAUGHT else None,
            rows=few,
            labels=self._said if name == "hard answers" else None,
        )

    def _few(self, number: int) -> Tensor:
        """Rows of a balanced subset; a smaller one lies in a larger one."""
        chosen = self._rest.subset(number, seed=0).index
        return torch.isin(self._rest.index, chosen).nonzero().flatten()

    def _tuned(self) -> dict[str, list[dict]]:
        """Validation accuracy of every way with the same settings, at the middle budget."""
        steps = self.size.steps[len(self.size.steps) // 2]
        settings = list(product(LR, WEIGHT_DECAY))
        members = [self._member(name, CHOOSING, *each) for name in self._names for each in settings]
        fleet = Fleet(members, self._rest, VIEWS, self._batch, steps).train()
        labels = self.data.validation.labels
        found = iter([judged(each, labels)["accuracy"] for each in fleet.logits(self.data.validation)])
        return {
            name: [{"lr": lr, "weight_decay": decay, "validation": next(found)} for lr, decay in settings]
            for name in self._names
        }

    def compared(self, chosen: dict[str, dict], steps: int) -> dict:
        """All ways with their settings and this budget, and the answers against each of the others."""
        if self._answers is None:  # a run that goes on
            self._ask()
        seeds = range(self.size.seeds)
        members = [
            self._member(name, seed, chosen[name]["lr"], chosen[name]["weight_decay"])
            for name in self._names
            for seed in seeds
        ]
        fleet = Fleet(members, self._rest, VIEWS, self._batch, steps).train()
        labels = self.data.test.labels
        logits = iter(fleet.logits(self.data.test))
        found = {name: [judged(next(logits), labels, self._on_test) for _ in seeds] for name in self._names}
        taught = {TAUGHT: found[TAUGHT]}
        gaps = [differences({name: found[name]} | taught) for name in self._names if name != TAUGHT]
        return {
            "training_seconds_of_all": round(fleet.seconds, 2),
            "students": found,
            "differences": {name: value for each in gaps for name, value in each.items()},
        }


def _halves(examples: Examples) -> list[Tensor]:
    """Positions of two halves with the same shares of the classes, on the device."""
    first = len(examples) // 2
    parts = stratified_split(examples.labels.cpu(), (first, len(examples) - first), seed=0)
    return [part.to(examples.device) for part in parts]
