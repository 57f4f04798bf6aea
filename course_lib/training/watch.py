"""What is measured while a training runs, such as the accuracy on validation data."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError, check_count
from course_lib.models import evaluating
from course_lib.training.logs import Logs


@dataclass(frozen=True)
class Watch:
    """A look at the student now and then.

    Attributes:
        look: from the network, in eval mode, to numbers by name, e.g. ``{"accuracy": 91.2}``. It draws no random
            numbers; in several processes each calls it, and it must give the same everywhere.
        every: optimiser steps between two looks; there is one at the end, too.
        best: name of the number, measured on validation data, by which the student is chosen: the training returns the
            one with the highest, the first of several, and ``Run.chosen`` holds its step. For a loss, give the
            negative. If None, the student of the last step is returned.
        patience: number of looks in a row without a better one after which the training stops; if None, it takes all
            steps.

    Raises:
        CourseError: ``every`` or ``patience`` is below 1; ``patience`` without ``best``.
    """

    look: Callable[[nn.Module], Mapping[str, float]]
    every: int
    best: str | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        check_count(every=self.every)
        if self.patience is not None:
            check_count(patience=self.patience)
            if self.best is None:
                raise CourseError("best must name the number that patience waits for, got None")


class Watcher:
    """Looks, logs, and remembers; part of the checkpoints."""

    def __init__(self, watch: Watch, network: nn.Module, logs: Logs):
        self._watch, self._network, self._logs = watch, network, logs
        self.seen: list[dict[str, float]] = []
        self._kept: dict[str, Tensor] = {}  # the state of the best so far

    @property
    def choice(self) -> str:
        """How the step is chosen whose student is returned, in words; "none" where it is the last."""
        watch = self._watch
        if watch.best is None:
            return "none"
        return f"highest {watch.best} of looks every {watch.every} steps, patience {watch.patience}"

    @property
    def chosen(self) -> int | None:
        """The step of the best student so far; None where none is chosen."""
        return int(self.seen[self._best]["step"]) if self._kept else None

    @property
    def satisfied(self) -> bool:
        """Whether patience has run out."""
        patience = self._watch.patience
        return patience is not None and len(self.seen) - 1 - max(self._best, 0) >= patience

    @property
    def _best(self) -> int:
        """The place of the best look; -1 without one."""
        best, place = -math.inf, -1
        for number, each in enumerate(self.seen):
            if self._watch.best and each[self._watch.best] > best:
                best, place = each[self._watch.best], number
        return place

    def put_back(self) -> None:
        """Give the network the state that was chosen."""
        if self._kept:
            self._network.load_state_dict(self._kept)

    def after(self, step: int, steps: int) -> None:
        """Look if it is time, with ``step`` steps done."""
        if step % self._watch.every and step != steps:
            return
        with evaluating(self._network), torch.no_grad():
            numbers = {name: float(value) for name, value in self._watch.look(self._network).items()}
        if self._watch.best is not None and self._watch.best not in numbers:
            raise CourseError(
                f"look must return the number {self._watch.best!r} that best names, got {', '.join(numbers) or 'none'}"
            )
        if "step" in numbers:
            raise CourseError("look must give its numbers other names than 'step', which is the step's own")
        self.seen.append({"step": step, **numbers})
        if self._best == len(self.seen) - 1:
            self._kept = {name: value.clone() for name, value in self._network.state_dict().items()}
        self._logs.tell({f"watch/{name}": value for name, value in numbers.items()}, step)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "kept": self._kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen, self._kept = list(state["seen"]), dict(state.get("kept", {}))
