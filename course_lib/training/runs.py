"""The result of a training: one student, or many at once, at the last step and at smaller budgets."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from course_lib.errors import CourseError

Taken = dict[int, tuple[dict[str, Tensor], float]]
Score = TypeVar("Score")


@dataclass(frozen=True, eq=False)
class Run:
    """One trained student.

    Attributes:
        model: the network, in eval mode.
        history: every unweighted term and "total" by name, each (steps,); ``Watch`` may have stopped before the last.
        seconds: wall-clock time of the training, with compilation, looks and checkpoints.
        seed: of the initial weights, the order of batches and dropout.
        watched: what ``Watch`` saw, one mapping with "step" and its numbers for each look.
        snapshots: weights by name, and seconds, after each number of steps that was to be kept.
        losses: the modules of losses with state, as they are at the end, by the name of their term.
        weights: of the terms whose weight was "balanced", by name.
        chosen: the step of the student in ``model``, if ``Watch`` chose the best; None for the last step.
    """

    model: nn.Module
    history: dict[str, np.ndarray]
    seconds: float
    seed: int
    watched: list[dict[str, float]] = field(default_factory=list)
    snapshots: Taken = field(default_factory=dict, repr=False)
    losses: dict[str, nn.Module] = field(default_factory=dict, repr=False)
    weights: dict[str, float] = field(default_factory=dict)
    chosen: int | None = None

    @property
    def budgets(self) -> tuple[int, ...]:
        """Numbers of steps at which the student is known, ascending; the last one is the whole training."""
        return _budgets(self)

    def at(self, steps: int) -> "Run":
        """The student as it was after this many steps, without its losses' modules.

        Raises:
            CourseError: it was not kept then.
        """
        weights, seconds = _taken(self, steps)
        if weights is None:
            return self
        model = copy.deepcopy(self.model)
        model.load_state_dict(weights)
        watched = [each for each in self.watched if each["step"] <= steps]
        return Run(model, _until(self.history, steps), seconds, self.seed, watched, weights=self.weights)

    def over(self, score: Callable[["Run"], Score]) -> dict[int, Score]:
        """A score of the student at every budget, by number of steps."""
        return {steps: score(self.at(steps)) for steps in self.budgets}


@dataclass(frozen=True, eq=False)
class Runs:
    """Many students, trained at once.

    Attributes:
        skeleton: a network of their architecture; its own weights mean nothing.
        parameters: by name, each (students, *shape).
        history: every unweighted term and "total" by name, each (steps, students).
        seconds: wall-clock time for all together.
        seeds: one per student.
        snapshots: parameters by name, and seconds, after each number of steps that was to be kept.
        losses: every student's modules of losses with parameters, at the end, by the name of their term.
        weights: of the terms whose weight was "balanced", by name, each (students,).
    """

    skeleton: nn.Module
    parameters: dict[str, Tensor]
    history: dict[str, np.ndarray]
    seconds: float
    seeds: tuple[int, ...]
    snapshots: Taken = field(default_factory=dict, repr=False)
    losses: dict[str, list[nn.Module]] = field(default_factory=dict, repr=False)
    weights: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def budgets(self) -> tuple[int, ...]:
        """Numbers of steps at which the students are known, ascending; the last one is the whole training."""
        return _budgets(self)

    def at(self, steps: int) -> "Runs":
        """The students as they were after this many steps.

        Raises:
            CourseError: they were not kept then.
        """
        parameters, seconds = _taken(self, steps)
        if parameters is None:
            return self
        history = _until(self.history, steps)
        return replace(self, parameters=parameters, history=history, seconds=seconds, snapshots={}, losses={})

    def over(self, score: Callable[["Runs"], Score]) -> dict[int, Score]:
        """A score of the students at every budget, by number of steps, as ``measure.budget_curve`` takes it."""
        return {steps: score(self.at(steps)) for steps in self.budgets}

    def logits(self, inputs: Tensor, *, batch_size: int = 512) -> Tensor:
        """Logits of every student for the same inputs (N, *shape), as (students, N, C)."""
        device = next(iter(self.parameters.values())).device
        forward = torch.vmap(lambda p, x: functional_call(self.skeleton, p, (x,)), in_dims=(0, None))
        with torch.no_grad():
            return torch.cat(
                [forward(self.parameters, x.to(device)) for x in inputs.split(batch_size)], dim=1
            )

    def model(self, student: int) -> nn.Module:
        """A network of its own with the weights of one student."""
        model = copy.deepcopy(self.skeleton)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(self.parameters[name][student])
        return model.eval()


def _budgets(run: Run | Runs) -> tuple[int, ...]:
    return tuple(sorted({*run.snapshots, _steps(run)}))


def _steps(run: Run | Runs) -> int:
    return len(run.history["total"])


def _taken(run: Run | Runs, steps: int) -> tuple[dict[str, Tensor] | None, float]:
    """Weights and seconds after this many steps; None for the weights at the end."""
    if steps == _steps(run):
        return None, run.seconds
    if steps not in run.snapshots:
        known = ", ".join(map(str, run.budgets))
        raise CourseError(f"steps must be one of {known}, got {steps!r}: fit(..., keep=[{steps!r}]) keeps it")
    return run.snapshots[steps]


def _until(history: Mapping[str, np.ndarray], steps: int) -> dict[str, np.ndarray]:
    return {name: values[:steps] for name, values in history.items()}
