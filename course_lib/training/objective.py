"""What a student is trained for: a list of named, weighted loss terms, so that a new loss never needs a new loop."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.training.passes import Pass
from course_lib.training.sources import BY_PARAMETER, SOFT_MATRIX, STUDENT_GRADIENTS, Source


@dataclass(frozen=True)
class PerStudent:
    """One value per student, for training many at once: ``Term(..., temperature=PerStudent([1.0, 4.0]))``.

    The values are numbers, or tensors of one shape.
    """

    values: tuple[float | Tensor, ...]

    def __init__(self, values: Iterable[float | Tensor]):
        kept = tuple(value if isinstance(value, Tensor) else float(value) for value in values)
        object.__setattr__(self, "values", kept)

    def stacked(self) -> Tensor:
        """All values, (students, *shape)."""
        return torch.stack([torch.as_tensor(value) for value in self.values])


class Term:
    """One named, weighted loss of an objective.

    The loss's own parameter names say what it needs: ``student_logits``, ``teacher_logits``, ``labels``, ``inputs``,
    ``activations``, ``teacher_gradients`` and ``soft_matrix`` are supplied by the loop; everything else is a setting
    and is given here. Where a parameter has another name, name its ``Source``: ``student=student_activation("relu2")``.

    Args:
        name: under which the term is logged.
        loss: pure function of tensors that returns a scalar.
        weight: factor of the term in the total; a number, or ``PerStudent``.
        layers: whose activations a loss of ``activations`` is given, by name as in ``model.named_modules()``;
            "inputs" is the input itself.
        **settings: the loss's other arguments, e.g. ``temperature=4.0``; numbers and tensors may be ``PerStudent``.

    Raises:
        CourseError: a setting is missing, unknown, or of a name that the loop supplies; layers are missing or useless.
    """

    def __init__(
        self,
        name: str,
        loss: Callable[..., Tensor],
        weight: float | PerStudent = 1.0,
        layers: Iterable[str] = (),
        **settings,
    ):
        self.name, self.loss, self.weight = name, loss, weight
        called = getattr(loss, "func", loss)  # what a functools.partial calls
        self.loss_name = getattr(called, "__name__", type(called).__name__)
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        parameters = inspect.signature(loss).parameters
        # The parameter by which the loss differentiates the logits, see course_lib.losses.differentiates.
        self.by = getattr(loss, "differentiates", None)
        if self.by == "inputs":
            self.layers = ("inputs",)
        supplied = [key for key in parameters if key in BY_PARAMETER or key == self.by]
        self._refuse_unknown(settings, parameters, supplied)
        self.sources = {key: value for key, value in settings.items() if isinstance(value, Source)}
        self.settings = {key: value for key, value in settings.items() if key not in self.sources}
        self.sources |= {key: BY_PARAMETER[key] for key in supplied if key not in settings and key != self.by}
        missing = [
            key
            for key, parameter in parameters.items()
            if key not in settings and key not in supplied and parameter.default is parameter.empty
        ]
        if missing:
            raise CourseError(f"term {name!r} needs the setting {', '.join(missing)} of {self.loss_name}")
        if bool(self.layers) != bool(self.by):
            what = "needs layers, the names of the" if self.by else "was given layers, but takes no"
            raise CourseError(f"term {name!r} {what} activations of {self.loss_name}")
        if "soft_matrix" in self.settings and "teacher_gradients" in self.sources:
            raise CourseError(
                f"term {name!r} was given soft_matrix; {self.loss_name} takes it from the teacher's cache, "
                "whose gradients belong to it: cache_teacher(..., soft_matrix=...)"
            )

    def _refuse_unknown(self, settings: dict, parameters: Mapping, supplied: list[str]) -> None:
        """A soft matrix may be given; other names that the loop supplies only as another ``Source``."""
        unknown = [
            key
            for key, value in settings.items()
            if key not in parameters
            or (
                key in supplied
                and key != "soft_matrix"
                and not (isinstance(value, Source) and key != self.by)
            )
        ]
        if unknown:
            known = [key for key in parameters if key not in supplied or key == "soft_matrix"]
            raise CourseError(
                f"term {self.name!r} was given {', '.join(unknown)}; {self.loss_name} takes the settings: "
                f"{', '.join(known) or 'none'}"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """What the loop has to supply, in words."""
        activations = (f"{self.by} ({', '.join(self.layers)})",) if self.by else ()
        return (*map(str, self.sources.values()), *activations)

    @property
    def differentiated(self) -> tuple[str, ...]:
        """Layers with respect to which the logits are differentiated."""
        inputs = ("inputs",) if STUDENT_GRADIENTS in self.sources.values() else ()
        return tuple(dict.fromkeys((*self.layers, *inputs)))

    def knobs(self) -> dict[str, PerStudent]:
        """Weight and settings that differ between students, by ``"term.setting"``."""
        values = {"weight": self.weight, **self.settings}
        return {f"{self.name}.{key}": value for key, value in values.items() if isinstance(value, PerStudent)}

    def __call__(self, supplied: Pass, knobs: Mapping[str, Tensor | float]) -> tuple[Tensor, Tensor]:
        """The loss, unweighted and weighted, both scalars."""
        arguments = {key: knobs.get(f"{self.name}.{key}", value) for key, value in self.settings.items()}
        arguments |= {key: supplied[source] for key, source in self.sources.items()}
        if self.by:
            arguments[self.by] = supplied.differentiable(self.layers, single=self.by == "inputs")
        value = self.loss(**arguments)
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
    def sources(self) -> frozenset[Source]:
        """What the loop has to supply."""
        sources = {source for term in self.terms for source in term.sources.values()}
        return frozenset(sources | {SOFT_MATRIX} if STUDENT_GRADIENTS in sources else sources)

    @property
    def differentiated(self) -> tuple[str, ...]:
        """Layers with respect to which a term differentiates the logits; such an objective trains in float32."""
        return tuple(dict.fromkeys(layer for term in self.terms for layer in term.differentiated))

    @property
    def student_layers(self) -> tuple[str, ...]:
        """Layers of the student whose activations are read, the input left out."""
        read = (source.layer for source in self.sources if source.name == "student_activation")
        return tuple(dict.fromkeys(each for each in (*self.differentiated, *read) if each != "inputs"))

    def asking(self, *sources: str) -> str:
        """Names of the terms that need one of these, for messages."""
        return ", ".join(
            term.name for term in self.terms if any(each.name in sources for each in term.sources.values())
        )

    def knobs(self, students: int) -> dict[str, Tensor]:
        """Values that differ between students, each of shape (students, *shape)."""
        knobs = {key: value for term in self.terms for key, value in term.knobs().items()}
        for key, knob in knobs.items():
            if len(knob.values) != students:
                raise CourseError(
                    f"{key} must hold one value per student, {students}, got {len(knob.values)}"
                )
        return {key: knob.stacked() for key, knob in knobs.items()}

    def __call__(
        self, supplied: Pass, knobs: Mapping[str, Tensor | float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The weighted total, a scalar, and the record (terms + 1,): every unweighted term, then the total."""
        pairs = [term(supplied, knobs or {}) for term in self.terms]
        total = sum(weighted for _, weighted in pairs)
        return total, torch.stack([*(value for value, _ in pairs), total]).detach()
