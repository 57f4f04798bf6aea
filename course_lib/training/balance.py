"""Weights of terms from the lengths of their gradients, for losses of unknown scale."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.training.forward import ForwardResult
from course_lib.training.objective import Objective

BATCHES = 8  # the first ones of a training, which the lengths are averaged over


def balanced_weights(
    objective: Objective,
    passes: Iterable[ForwardResult],
    weights: Sequence[Tensor],
    knobs: Mapping[str, Tensor | float],
) -> dict[str, float]:
    """The weight of every term that is to be balanced, by name.

    Args:
        objective: of which at least one term is to be balanced. Where no term has a number, the first counts as 1.
        passes: of a few batches through one student.
        weights: the student's, by which the terms are differentiated.
        knobs: weights and settings of this student, as ``Objective`` takes them.

    Raises:
        CourseError: a term has no gradient, so that no weight brings it to a length.
    """
    names = objective.balanced
    fixed = [term for term in objective.terms if term.name not in (*names, *objective.changing)]
    lengths = dict.fromkeys(names, 0.0)
    reference = 0.0
    for supplied in passes:
        pairs = {term.name: term(supplied, knobs) for term in objective.terms}
        for name in names:
            lengths[name] += _length(pairs[name][0], weights)
        if fixed:
            together = cast(Tensor, sum(pairs[term.name][1] for term in fixed))
            reference += _length(together, weights)
    reference = reference or lengths[names[0]]
    for name, length in lengths.items():
        if not length:
            raise CourseError(
                f'term {name!r} cannot be weighted "balanced": over the first {BATCHES} batches it has no gradient by '
                "the student's weights; give its weight as a number"
            )
    return {name: reference / length for name, length in lengths.items()}


def _length(value: Tensor, weights: Sequence[Tensor]) -> float:
    """Of the gradient by all weights together."""
    if not value.requires_grad:
        return 0.0
    learned = [each for each in weights if each.requires_grad]
    gradients = torch.autograd.grad(value, learned, retain_graph=True, allow_unused=True)
    return math.sqrt(sum(float(each.square().sum()) for each in gradients if each is not None))
