"""How a student is trained, apart from what for: optimiser, learning rate, batch size and number of steps."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import partial
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
    "adamw": torch.optim.AdamW,
}
FUSED = ("sgd", "momentum", "adam", "adamw")  # PyTorch has no fused RMSprop
SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run.

    Attributes:
        steps: number of optimiser steps.
        batch_size: examples per step; a smaller data set is used whole.
        optimizer: one of "sgd", "momentum" (0.9), "rmsprop", "adam", "adamw"; other options as in ``torch.optim``. Or a
            function such as ``torch.optim.NAdam`` that is called with groups of parameters, ``lr`` and
            ``weight_decay``; for ``fit_many`` one that treats each weight by itself.
        lr: learning rate at the start.
        weight_decay: L2 penalty as in ``torch.optim``.
        schedule: "constant", or "cosine" down to 0 over all steps; or a function from the optimiser to a
            ``torch.optim.lr_scheduler.LRScheduler``, which makes a step after each step of the training.
        clip: largest norm of a step's gradient, over all weights of a student; a longer one is shortened to it. Deep
            networks without norm layers may need it at large learning rates.

    Raises:
        CourseError: a value that cannot be trained with.
    """

    steps: int = 600
    batch_size: int = 32
    optimizer: str | Callable[..., torch.optim.Optimizer] = "adam"
    lr: float = 5e-3
    weight_decay: float = 0.0
    schedule: str | Callable[[torch.optim.Optimizer], LRScheduler] = "constant"
    clip: float | None = None

    def __post_init__(self):
        check_count(steps=self.steps, batch_size=self.batch_size)
        check_positive(lr=self.lr)
        check_not_negative(weight_decay=self.weight_decay)
        if self.clip is not None:
            check_positive(clip=self.clip)
        for name, known in (("optimizer", tuple(OPTIMIZERS)), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            if value not in known and not callable(value):
                raise CourseError(f"{name} must be one of {', '.join(known)}, or a function, got {value!r}")

    def make_optimizer(
        self, parameters: Iterable[Tensor], groups: Iterable[dict[str, Any]] = ()
    ) -> torch.optim.Optimizer:
        """The optimiser over ``parameters``, and over more groups of them, each with options of its own."""
        options = {"fused": True} if self.optimizer in FUSED else {}
        make = self.optimizer if callable(self.optimizer) else OPTIMIZERS[self.optimizer]
        every = [{"params": list(parameters)}, *groups]
        return make(every, lr=self.lr, weight_decay=self.weight_decay, **options)

    def make_schedule(self, optimizer: torch.optim.Optimizer) -> LRScheduler | None:
        """The learning-rate schedule, or None where it is constant."""
        if callable(self.schedule):
            return self.schedule(optimizer)
        return CosineAnnealingLR(optimizer, T_max=self.steps) if self.schedule == "cosine" else None

    def words(self) -> str:
        """All settings but the number of steps, the same in every process.

        Raises:
            CourseError: a function that a checkpoint could not know again.
        """
        shown = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "steps"}
        if self.clip is None:  # checkpoints of before know nothing of it
            del shown["clip"]
        shown |= {name: name_of_function(name, value) for name, value in shown.items() if callable(value)}
        return f"Recipe({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def name_of_function(setting: str, function: Callable) -> str:
    """Where a function is defined, and what a ``functools.partial`` gives it."""
    if isinstance(function, partial):
        given = [*map(repr, function.args), *(f"{key}={value!r}" for key, value in function.keywords.items())]
        return f"{name_of_function(setting, function.func)}({', '.join(given)})"
    if hasattr(function, "__qualname__"):
        return f"{function.__module__}.{function.__qualname__}"
    raise CourseError(
        f"{setting} must be a function with a name, which a checkpoint can know again, got {type(function).__name__}"
    )


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
        yield order.unfold(0, size, size)
