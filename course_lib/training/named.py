"""Losses by their names, for recipes that are written on a command line or in a file.

All of the course but ``layer_response_loss``: which layers it compares, and by which adapter, belongs to a pair of
networks (chapter 07).
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses import (
    angle_loss,
    confidence_weighted_loss,
    gradient_loss,
    gradient_matching_loss,
    gradient_penalty_loss,
    hard_label_loss,
    input_gradient_loss,
    logit_loss,
    magnitude_loss,
    radius_loss,
    smoothed_label_loss,
    soft_target_loss,
    spherical_soft_target_loss,
)
from course_lib.training.objective import Objective, Term
from course_lib.training.sources import STUDENT_LOGITS, TEACHER_LOGITS


@dataclass(frozen=True)
class Named:
    """A loss with what is always the same about its term."""

    loss: Callable[..., Tensor]
    layers: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


_LOGITS = {"student": STUDENT_LOGITS, "teacher": TEACHER_LOGITS}

# A new loss is one line here.
LOSSES = {
    "hard": Named(hard_label_loss),
    "confidence_weighted": Named(confidence_weighted_loss),
    "smoothed_label": Named(smoothed_label_loss),
    "soft_target": Named(soft_target_loss),
    "logit": Named(logit_loss),
    "spherical_soft_target": Named(spherical_soft_target_loss),
    "radius": Named(radius_loss, settings=_LOGITS),
    "angle": Named(angle_loss, settings=_LOGITS),
    "magnitude": Named(magnitude_loss, settings=_LOGITS),
    "gradient": Named(gradient_loss, layers=("inputs",)),
    "gradient_matching": Named(gradient_matching_loss),
    "gradient_penalty": Named(gradient_penalty_loss, layers=("inputs",)),
    "input_gradient": Named(input_gradient_loss),
}


def named_objective(weights: Mapping[str, float] | Sequence[tuple[str, float]], **settings: Any) -> Objective:
    """An objective from the names of losses and their weights, such as ``{"hard": 0.1, "soft_target": 0.9}``.

    Args:
        weights: by name.
        settings: given to every loss that has a parameter of the name, such as ``temperature``.

    Raises:
        CourseError: an unknown name, a weight that is not a finite number, or a missing setting.
    """
    pairs = list(weights.items() if isinstance(weights, Mapping) else weights)
    terms = []
    for name, weight in pairs:
        if name not in LOSSES:
            raise CourseError(f"losses must be named {', '.join(LOSSES)}, got {name!r}")
        if not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise CourseError(f"the weight of {name} must be a finite number of at least 0, got {weight!r}")
        known = LOSSES[name]
        wanted = inspect.signature(known.loss).parameters
        own = {key: value for key, value in settings.items() if key in wanted}
        terms.append(Term(name, known.loss, float(weight), known.layers, **known.settings, **own))
    return Objective(terms)
