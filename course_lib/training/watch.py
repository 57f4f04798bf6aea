"""What is measured while a training runs, such as the accuracy on validation data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from course_lib.errors import check_count
from course_lib.models import evaluating
from course_lib.training.logs import Logs


@dataclass(frozen=True)
class Watch:
    """A look at the student now and then.

    Attributes:
        look: from the network, in eval mode, to numbers by name, e.g. ``{"accuracy": 91.2}``. It draws no random
            numbers; in several processes each calls it, and it must give the same everywhere.
        every: optimiser steps between two looks; there is one at the end, too.

    Raises:
        CourseError: ``every`` is below 1.
    """

    look: Callable[[nn.Module], Mapping[str, float]]
    every: int

    def __post_init__(self) -> None:
        check_count(every=self.every)


class Watcher:
    """Looks, logs, and remembers; part of the checkpoints."""

    def __init__(self, watch: Watch, network: nn.Module, logs: Logs):
        self._watch, self._network, self._logs = watch, network, logs
        self.seen: list[dict[str, float]] = []

    def after(self, step: int, steps: int) -> None:
        """Look if it is time, with ``step`` steps done."""
        if step % self._watch.every and step != steps:
            return
        with evaluating(self._network), torch.no_grad():
            numbers = {name: float(value) for name, value in self._watch.look(self._network).items()}
        self.seen.append({"step": step, **numbers})
        self._logs.tell({f"watch/{name}": value for name, value in numbers.items()}, step)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = list(state["seen"])
