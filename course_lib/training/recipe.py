"""How a student is trained, apart from what for: optimiser, learning rate, batch size and number of steps."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from course_lib.errors import CourseError, check_count, check_not_negative, check_number, check_positive
from course_lib.training.functions import words_of_function
from course_lib.training.schedules import SCHEDULES, Warmup, named_schedule

MakeOptimizer = Callable[..., torch.optim.Optimizer]

# One line per optimiser. All act on each weight by itself, so that students trained at once do not touch each other.
OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "momentum": lambda parameters, **options: torch.optim.SGD(parameters, momentum=0.9, **options),
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
FUSED = ("sgd", "momentum", "adam", "adamw")  # PyTorch has no fused RMSprop


@dataclass(frozen=True)
class Recipe:
    """Settings of one training run.

    Attributes:
        steps: number of optimiser steps.
        batch_size: examples per step; a smaller data set is used whole.
        optimizer: one of "sgd", "momentum" (0.9), "rmsprop", "adam", "adamw"; other options as in ``torch.optim``. Or a
            function such as ``torch.optim.NAdam``, or ``spare_norms("adamw")``, that is called with groups of
            parameters, ``lr`` and ``weight_decay``. For ``fit_many`` it must treat each weight by itself; the groups
            then also hold ``students``, their number, which is the first dimension of all parameters.
        lr: learning rate at the start.
        weight_decay: L2 penalty as in ``torch.optim``.
        schedule: "constant", or "cosine" down to 0 over all steps, or ``Warmup`` before either; or a function from the
            optimiser to a ``torch.optim.lr_scheduler.LRScheduler``, which takes a step after each step of the training.
        clip: largest norm of a step's gradient, over all weights of a student; a longer one is shortened to it. Deep
            networks without norm layers may need it at large learning rates.
        average: decay of a moving average of the weights, e.g. 0.999. Then this average is the student: it is what the
            training returns, what is watched and what is kept. Parts of losses that are learned are not averaged.
        accumulate: number of equal parts into which a batch is cut and whose gradients are added up, for batches that
            need too much memory. The result is that of the whole batch if every term is a mean over examples; batch
            norm, a mask or missing labels make a difference, because each part has its own statistics and counts.

    Raises:
        CourseError: a value that cannot be trained with.
    """

    steps: int = 600
    batch_size: int = 32
    optimizer: str | MakeOptimizer = "adam"
    lr: float = 5e-3
    weight_decay: float = 0.0
    schedule: str | Warmup | Callable[[torch.optim.Optimizer], LRScheduler] = "constant"
    clip: float | None = None
    average: float | None = None
    accumulate: int = 1

    def __post_init__(self):
        check_count(steps=self.steps, batch_size=self.batch_size, accumulate=self.accumulate)
        check_positive(lr=self.lr)
        check_not_negative(weight_decay=self.weight_decay)
        if self.clip is not None:
            check_positive(clip=self.clip)
        if self.average is not None:
            check_number("a number between 0 and 1", lambda value: 0 < value < 1, average=self.average)
        for name, known in (("optimizer", tuple(OPTIMIZERS)), ("schedule", SCHEDULES)):
            value = getattr(self, name)
            if value not in known and not callable(value) and not isinstance(value, Warmup):
                raise CourseError(f"{name} must be one of {', '.join(known)}, or a function, got {value!r}")
        if isinstance(self.schedule, Warmup) and self.schedule.steps >= self.steps:
            raise CourseError(
                f"schedule must warm up in fewer than the {self.steps} steps of the recipe, got {self.schedule}"
            )

    @property
    def endless(self) -> bool:
        """Whether the learning rate does not depend on the number of steps."""
        then = self.schedule.then if isinstance(self.schedule, Warmup) else self.schedule
        return then == "constant"

    def make_optimizer(
        self, parameters: Iterable[Tensor], groups: Iterable[dict[str, Any]] = (), students: int | None = None
    ) -> torch.optim.Optimizer:
        """The optimiser over ``parameters``, and over more groups of them, each with options of its own.

        Args:
            students: how many of them are stacked along the first dimension of every parameter, if any are.
        """
        stacked = {} if students is None else {"students": students}
        every = [{**group, **stacked} for group in ({"params": list(parameters)}, *groups)]
        return _optimizer(self.optimizer, every, self.lr, self.weight_decay)

    def make_schedule(self, optimizer: torch.optim.Optimizer) -> LRScheduler | None:
        """The learning-rate schedule, or None where it is constant."""
        if callable(self.schedule):
            return self.schedule(optimizer)
        return named_schedule(self.schedule, optimizer, self.steps)

    def words(self) -> str:
        """All settings but the number of steps, the same in every process.

        Raises:
            CourseError: a function that a checkpoint could not recognise.
        """
        shown = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "steps"}
        # Checkpoints of before know nothing of these.
        for name, default in {"clip": None, "average": None, "accumulate": 1}.items():
            if shown[name] == default:
                del shown[name]
        shown |= {name: words_of_function(name, value) for name, value in shown.items() if callable(value)}
        return f"Recipe({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def spare_norms(optimizer: str | MakeOptimizer) -> MakeOptimizer:
    """An optimiser whose weight decay spares norms and biases: ``Recipe(optimizer=spare_norms("adamw"))``.

    Every parameter with fewer than two dimensions is spared, because it only shifts or scales; matrices and the kernels
    of convolutions decay.

    Args:
        optimizer: as in ``Recipe``.

    Raises:
        CourseError: neither the name of an optimiser nor a function.
    """
    if optimizer not in OPTIMIZERS and not callable(optimizer):
        raise CourseError(
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, or a function, got {optimizer!r}"
        )
    return partial(_sparing, optimizer)


def _sparing(
    optimizer: str | MakeOptimizer, groups: Iterable[dict[str, Any]], lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    parts = []
    for group in groups:
        own = [each.ndim - ("students" in group) for each in group["params"]]
        for decays in (True, False):
            some = [each for each, dims in zip(group["params"], own, strict=True) if (dims > 1) == decays]
            if some:
                parts.append({**group, "params": some, **({} if decays else {"weight_decay": 0.0})})
    return _optimizer(optimizer, parts, lr, weight_decay)


def _optimizer(
    optimizer: str | MakeOptimizer, groups: list[dict[str, Any]], lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    options = {"fused": True} if optimizer in FUSED else {}
    make = optimizer if callable(optimizer) else OPTIMIZERS[optimizer]
    return make(groups, lr=lr, weight_decay=weight_decay, **options)


def batch_order(
    examples: int, batch_size: int, seed: int, views: int = 1, *, together: int = 1
) -> Iterator[Tensor]:
    """Endless epochs, each the draws of its batches, (batches, batch_size) int64, newly shuffled.

    A draw is the position of an example; where an example has several views, position · views + view, with a view
    drawn again each time. The last, smaller batch of an epoch is left out so that all batches weigh the same; the
    next shuffle brings its examples back. The order depends on the seed alone, not on the global random state.
    ``together`` epochs are drawn at once, which takes less time if they are short.
    """
    generator = torch.Generator().manual_seed(int(seed))
    size = min(batch_size, examples)

    def epoch() -> Tensor:
        order = torch.randperm(examples, generator=generator)
        if views > 1:
            order = order * views + torch.randint(views, (examples,), generator=generator)
        return order

    while True:
        yield torch.stack([epoch() for _ in range(together)]).unfold(1, size, size).flatten(0, 1)
