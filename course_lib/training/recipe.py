"""How a student is trained, apart from what for: optimiser, learning rate, batch size and number of steps."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from course_lib.errors import CourseError, check_count, check_not_negative, check_positive

# One line per optimiser. All act on each weight by itself, so that students trained at once do not touch each other.
OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "momentum": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, **options),
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
}
FUSED = ("sgd", "momentum", "adam")  # PyTorch has no fused RMSprop
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run.

    Attributes:
        steps: number of optimiser steps.
        batch_size: examples per step; a smaller data set is used whole.
        optimizer: one of "sgd", "momentum" (0.9), "rmsprop", "adam"; other options as in ``torch.optim``.
        lr: learning rate at the start.
        weight_decay: L2 penalty as in ``torch.optim``.
        schedule: "constant", or "cosine" down to 0 over all steps.

    Raises:
        CourseError: a value that cannot be trained with.
    """

    steps: int = 600
    batch_size: int = 32
    optimizer: str = "adam"
    lr: float = 5e-3
    weight_decay: float = 0.0
    schedule: str = "constant"

    def __post_init__(self):
        check_count(steps=self.steps, batch_size=self.batch_size)
        check_positive(lr=self.lr)
        check_not_negative(weight_decay=self.weight_decay)
        for name, known in (("optimizer", tuple(OPTIMIZERS)), ("schedule", SCHEDULES)):
            if getattr(self, name) not in known:
                raise CourseError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")

    def make_optimizer(
        self, parameters: Iterable[Tensor], groups: Iterable[dict[str, Any]] = ()
    ) -> torch.optim.Optimizer:
        """The optimiser over ``parameters``, and over more groups of them, each with options of its own."""
        options = {"fused": True} if self.optimizer in FUSED else {}
        make = OPTIMIZERS[self.optimizer]
        every = [{"params": list(parameters)}, *groups]
        return make(every, lr=self.lr, weight_decay=self.weight_decay, **options)

    def make_schedule(self, optimizer: torch.optim.Optimizer) -> LRScheduler | None:
        """The learning-rate schedule, or None where it is constant."""
        return CosineAnnealingLR(optimizer, T_max=self.steps) if self.schedule == "cosine" else None


def batch_order(examples: int, batch_size: int, seed: int, views: int = 1) -> Iterator[Tensor]:
    """Endless epochs, each the draws of its batches, (batches, batch_size) int64, newly shuffled.

    A draw is the position of an example; where an example has several views, position · views + view, with a view
    drawn again each time. The last, smaller batch of an epoch is left out so that all batches weigh the same; the
    next shuffle brings its examples back. The order depends on the seed alone, not on the global random state.
    """
    generator = torch.Generator().manual_seed(int(seed))
    size = min(batch_size, examples)
    while True:
        order = torch.randperm(examples, generator=generator)
        if views > 1:
            order = order * views + torch.randint(views, (examples,), generator=generator)
        yield order[: examples - examples % size].view(-1, size)
