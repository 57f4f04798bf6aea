"""The largest logits of each example and what the rest comes to: answers about many classes in little memory."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses import class_dimension


@dataclass(frozen=True, eq=False)
class TopLogits:
    """The K largest logits of each example, and one number for all others.

    At the temperature T that it is made for, ``full`` has the probabilities of the K largest and the sum of all others
    as they were; these others are all alike. So the divergence KL(p ‖ p') of the softened answers p from what is left
    of them, p', is r · (log(C − K) − H), where r is the probability of the others and H the entropy among them: at
    most r · log(C − K) nats. At another temperature the K largest still keep their proportions, but the others
    together get too much above T, and too little below it.

    Attributes:
        values: (N, ..., K), the largest first.
        places: (N, ..., K), which classes these are.
        rest: (N, ..., 1), the logit of every other class.
        classes: C, of all logits.
        temperature: T.
        dimension: of the classes in ``full``, counted from the end.
    """

    values: Tensor
    places: Tensor
    rest: Tensor
    classes: int
    temperature: float
    dimension: int = -1

    def __len__(self) -> int:
        return len(self.values)

    def full(self) -> Tensor:
        """All logits again, (N, ..., C), in the precision of the kept ones."""
        rest = self.rest.expand(*self.rest.shape[:-1], self.classes)
        return rest.scatter(-1, self.places.long(), self.values).movedim(-1, self.dimension)

    def each(self, change: Callable[[Tensor], Tensor]) -> "TopLogits":
        """The same change, of the examples alone, to all tensors."""
        changed = {name: change(getattr(self, name)) for name in ("values", "places", "rest")}
        return replace(self, **changed)


Logits = Tensor | TopLogits


def keep_top(logits: Tensor, k: int, temperature: float) -> TopLogits:
    """The k largest logits of each example, with the others evened so that their sum at a temperature is what it was.

    Args:
        logits: (N, C), (N, L, C) or (N, C, H, W).
        k: how many are kept, below C.
        temperature: T > 0 of the softmax in which the others have the probability that they had.

    Raises:
        CourseError: k is not below the number of classes.
    """
    place = class_dimension(logits)
    dimension, classes = place - logits.ndim, logits.shape[place]
    if not k < classes:
        raise CourseError(f"top_k must be below the {classes} classes of the logits, got {k}")
    every = logits.movedim(dimension, -1)
    # Of equal logits the first is the largest, as for argmax; topk takes any.
    values, places = every.max(dim=-1, keepdim=True) if k == 1 else every.topk(k, dim=-1)
    wide = every.to(torch.promote_types(every.dtype, torch.float32))
    others = wide.scatter(-1, places, -math.inf) / temperature
    rest = temperature * (others.logsumexp(dim=-1, keepdim=True) - math.log(classes - k))
    return TopLogits(
        values, _compact(places, classes), rest.to(logits.dtype), classes, temperature, dimension
    )


def changed(logits: Logits, change: Callable[[Tensor], Tensor]) -> Logits:
    """The same change, of the examples alone, to logits in either form."""
    return change(logits) if isinstance(logits, Tensor) else logits.each(change)


def in_full(logits: Logits) -> Tensor:
    """All logits, however they are kept."""
    return logits if isinstance(logits, Tensor) else logits.full()


def tensors_of(logits: Logits) -> tuple[Tensor, ...]:
    """What is kept."""
    return (logits,) if isinstance(logits, Tensor) else (logits.values, logits.places, logits.rest)


def _compact(places: Tensor, classes: int) -> Tensor:
    for kind in (torch.uint8, torch.int16):
        if classes - 1 <= torch.iinfo(kind).max:
            return places.to(kind)
    return places.int()
