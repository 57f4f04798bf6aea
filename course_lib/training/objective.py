"""What a student is trained for: a list of named, weighted loss terms, so that a new loss never needs a new loop."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss, soft_target_loss

# What the training loop can hand to a loss, by the name of the loss's parameter.
SUPPLIED = ("inputs", "labels", "student_logits", "teacher_logits")


@dataclass(frozen=True)
class PerStudent:
    """One value per student, for training many at once: ``Term(..., temperature=PerStudent([1.0, 4.0]))``."""

    values: tuple[float, ...]

    def __init__(self, values: Iterable[float]):
        object.__setattr__(self, "values", tuple(float(value) for value in values))


class Term:
    """One named, weighted loss of an objective.

    The loss's own parameter names say what it needs: ``student_logits``, ``labels``, ``inputs`` and
    ``teacher_logits`` are supplied by the loop; everything else is a setting and is given here.

    Args:
        name: under which the term is logged.
        loss: pure function of tensors that returns a scalar.
        weight: factor of the term in the total; a number, or ``PerStudent``.
        **settings: the loss's other arguments, e.g. ``temperature=4.0``; numbers may be ``PerStudent``.

    Raises:
        CourseError: a setting is missing, unknown, or of a name that the loop supplies.
    """

    def __init__(self, name: str, loss: Callable[..., Tensor], weight: float | PerStudent = 1.0, **settings):
        parameters = inspect.signature(loss).parameters
        unknown = [key for key in settings if key not in parameters or key in SUPPLIED]
        if unknown:
            raise CourseError(
                f"term {name!r} was given {', '.join(unknown)}; {loss.__name__} takes the settings: "
                f"{', '.join(key for key in parameters if key not in SUPPLIED) or 'none'}"
            )
        missing = [
            key
            for key, parameter in parameters.items()
            if key not in SUPPLIED and key not in settings and parameter.default is parameter.empty
        ]
        if missing:
            raise CourseError(f"term {name!r} needs the setting {', '.join(missing)} of {loss.__name__}")
        self.name, self.loss, self.weight, self.settings = name, loss, weight, settings
        self.needs = tuple(key for key in parameters if key in SUPPLIED)

    def knobs(self) -> dict[str, PerStudent]:
        """Weight and settings that differ between students, by ``"term.setting"``."""
        values = {"weight": self.weight, **self.settings}
        return {f"{self.name}.{key}": value for key, value in values.items() if isinstance(value, PerStudent)}

    def __call__(
        self, supplied: Mapping[str, Tensor], knobs: Mapping[str, Tensor | float]
    ) -> tuple[Tensor, Tensor]:
        """The loss, unweighted and weighted, both scalars."""
        settings = {key: knobs.get(f"{self.name}.{key}", value) for key, value in self.settings.items()}
        value = self.loss(**{key: supplied[key] for key in self.needs}, **settings)
        if not isinstance(value, Tensor) or value.ndim:
            came = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise CourseError(f"the loss of term {self.name!r} must return a scalar tensor, got {came}")
        return value, knobs.get(f"{self.name}.weight", self.weight) * value


class Objective:
    """A weighted sum of named terms.

    Args:
        terms: at least one ``Term``; names must differ, and "total" is taken.

    Raises:
        CourseError: no terms, or a name used twice.
    """

    def __init__(self, terms: Iterable[Term]):
        self.terms = tuple(terms)
        self.names = tuple(term.name for term in self.terms)
        if not self.terms:
            raise CourseError("terms must hold at least one Term, got none")
        if len(set(self.names)) < len(self.names) or "total" in self.names:
            raise CourseError(
                f"terms must have different names, none of them 'total', got {', '.join(self.names)}"
            )

    @property
    def needs(self) -> frozenset[str]:
        """What the loop has to supply."""
        return frozenset(key for term in self.terms for key in term.needs)

    def knobs(self, students: int) -> dict[str, Tensor]:
        """Values that differ between students, each of shape (students,)."""
        knobs = {key: value for term in self.terms for key, value in term.knobs().items()}
        for key, knob in knobs.items():
            if len(knob.values) != students:
                raise CourseError(
                    f"{key} must hold one value per student, {students}, got {len(knob.values)}"
                )
        return {key: torch.tensor(knob.values) for key, knob in knobs.items()}

    def __call__(
        self, supplied: Mapping[str, Tensor], knobs: Mapping[str, Tensor | float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The weighted total, a scalar, and the record (terms + 1,): every unweighted term, then the total."""
        pairs = [term(supplied, knobs or {}) for term in self.terms]
        total = sum(weighted for _, weighted in pairs)
        return total, torch.stack([*(value for value, _ in pairs), total]).detach()


def hard_labels() -> Objective:
    """Labels alone, the baseline."""
    return Objective([Term("hard", hard_label_loss)])


def soft_targets(temperature: float | PerStudent = 4.0, lam: float | PerStudent = 0.9) -> Objective:
    """Hinton's mix (1 − λ)·hard + λ·soft: λ is the weight of the *soft* targets, in [0, 1].

    Raises:
        CourseError: a λ outside [0, 1].
    """
    lams = lam.values if isinstance(lam, PerStudent) else (lam,)
    if not all(0 <= value <= 1 for value in lams):
        raise CourseError(f"lam must lie in [0, 1] (0: labels only, 1: soft targets only), got {lam!r}")
    rest = PerStudent(1 - value for value in lams) if isinstance(lam, PerStudent) else 1 - lam
    return Objective(
        [
            Term("hard", hard_label_loss, weight=rest),
            Term("soft", soft_target_loss, weight=lam, temperature=temperature),
        ]
    )
