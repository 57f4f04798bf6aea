"""Learning rates that change from step to step."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler

from course_lib.errors import CourseError, check_count

SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Warmup:
    """A learning rate that grows evenly over the first steps: ``Recipe(schedule=Warmup(100))``.

    Attributes:
        steps: number of steps in which it grows; the first is taken with ``lr`` / steps, the last with ``lr``.
        then: "constant", or "cosine" down to 0 over the steps that are left.

    Raises:
        CourseError: ``steps`` is below 1, or ``then`` is another word.
    """

    steps: int
    then: str = "cosine"

    def __post_init__(self) -> None:
        check_count(steps=self.steps)
        if self.then not in SCHEDULES:
            raise CourseError(f"then must be one of {', '.join(SCHEDULES)}, got {self.then!r}")

    def factor(self, done: int, of: int) -> float:
        """Of the learning rate in the step after ``done`` of ``of`` steps."""
        if done < self.steps:
            return (done + 1) / self.steps
        if self.then == "constant":
            return 1.0
        return (1 + math.cos(math.pi * (done - self.steps) / (of - self.steps))) / 2


def named_schedule(
    schedule: str | Warmup, optimizer: torch.optim.Optimizer, steps: int
) -> LRScheduler | None:
    """A schedule that a recipe names, over this many steps; None where the learning rate is constant."""
    if isinstance(schedule, Warmup):
        return LambdaLR(optimizer, partial(schedule.factor, of=steps))
    return CosineAnnealingLR(optimizer, T_max=steps) if schedule == "cosine" else None
