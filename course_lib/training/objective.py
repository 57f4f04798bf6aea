"""What a student is trained for: a list of named, weighted loss terms, so that a new loss never needs a new loop."""

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from course_lib.errors import CourseError, check_positive
from course_lib.training.forward import ForwardResult
from course_lib.training.loss_modules import ModuleLoss, module_of, name_of, signature_of
from course_lib.training.sources import BY_PARAMETER, SOFT_MATRIX, STUDENT_GRADIENTS, Source
from course_lib.training.weights import number_at

BALANCED = "balanced"


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
    ``index``, ``activations``, ``teacher_gradients`` and ``soft_matrix`` are supplied by the loop; everything else is a
    setting and is given here. If a parameter has another name, say which ``Source`` it gets:
    ``student=student_activation("relu2")``.

    A loss may have state: parameters that are learned with the student, such as a projector's, and buffers, such as a
    memory. Then it is a ``torch.nn.Module``, or a method of one. Each training works on a copy of it, so that an
    objective can be used again; ``Run.losses`` holds the copies as they are at the end.

    Args:
        name: under which the term is logged.
        loss: function of tensors that returns a scalar; pure, or a module or a module's method.
        weight: factor of the term in the total: a number, or ``PerStudent``. Or "balanced": before the first step, the
            weight is set on the first batches so that the term's gradient with respect to the student's weights is as
            long as that of all terms with a number together; ``Run.weights`` holds it. Or a function, such as a
            ``Ramp``, from the share of the steps that are done, from 0 to below 1, to the weight in the next step.
        layers: names, as in ``model.named_modules()``, of the layers whose activations go to a loss with a parameter
            ``activations``; "inputs" is the input itself.
        lr: learning rate of the loss's own parameters; the recipe's if None.
        **settings: the loss's other arguments, e.g. ``temperature=4.0``; numbers and tensors may be ``PerStudent``.

    Raises:
        CourseError: a setting is missing or unknown, or has a name that the loop supplies; layers are missing or not
            used; a learning rate for a loss without parameters.
    """

    def __init__(
        self,
        name: str,
        loss: Callable[..., Tensor],
        weight: float | PerStudent | str | Callable[[float], float] = 1.0,
        layers: Iterable[str] = (),
        *,
        lr: float | None = None,
        **settings,
    ):
        self.name, self.loss, self.weight, self.lr = name, loss, weight, lr
        self.module = module_of(loss)
        self.loss_name = name_of(loss)
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        self.signature = signature_of(loss)
        # The parameter by which the loss differentiates the logits, see course_lib.losses.differentiates.
        self.by = getattr(loss, "differentiates", None)
        if self.by == "inputs":
            self.layers = ("inputs",)
        supplied = [key for key in self.signature if key in BY_PARAMETER or key == self.by]
        self._refuse_unknown(settings, supplied)
        self.sources = {key: value for key, value in settings.items() if isinstance(value, Source)}
        self.settings = {key: value for key, value in settings.items() if key not in self.sources}
        self.sources |= {key: BY_PARAMETER[key] for key in supplied if key not in settings and key != self.by}
        self._refuse_missing({*settings, *supplied})
        self._refuse_unsuited()

    def _refuse_unknown(self, settings: Mapping[str, Any], supplied: list[str]) -> None:
        """A soft matrix may be given; other names that the loop supplies only as another ``Source``."""
        unknown = [
            key
            for key, value in settings.items()
            if key not in self.signature
            or (
                key in supplied
                and key != "soft_matrix"
                and not (isinstance(value, Source) and key != self.by)
            )
        ]
        if unknown:
            known = [key for key in self.signature if key not in supplied or key == "soft_matrix"]
            raise CourseError(
                f"term {self.name!r} was given {', '.join(unknown)}; {self.loss_name} takes the settings: "
                f"{', '.join(known) or 'none'}"
            )
        if modules := [key for key, value in settings.items() if isinstance(value, nn.Module)]:
            raise CourseError(
                f"term {self.name!r} was given a module as a setting ({modules[0]}), whose weights would not be "
                "trained: make the loss a torch.nn.Module that holds it"
            )

    def _refuse_missing(self, given: set[str]) -> None:
        missing = [
            key
            for key, parameter in self.signature.items()
            if key not in given and parameter.default is Parameter.empty
        ]
        if missing:
            raise CourseError(
                f"term {self.name!r} needs the setting {', '.join(missing)} of {self.loss_name}"
            )

    def _refuse_unsuited(self) -> None:
        if bool(self.layers) != bool(self.by):
            what = "needs layers, the names of the" if self.by else "was given layers, but takes no"
            raise CourseError(f"term {self.name!r} {what} activations of {self.loss_name}")
        if "soft_matrix" in self.settings and "teacher_gradients" in self.sources:
            raise CourseError(
                f"term {self.name!r} was given soft_matrix; {self.loss_name} takes it from the teacher's cache, "
                "whose gradients belong to it: cache_teacher(..., soft_matrix=...)"
            )
        if isinstance(self.weight, str) and self.weight != BALANCED:
            raise CourseError(
                f'term {self.name!r} needs a weight that is a number, PerStudent or "balanced", got {self.weight!r}'
            )
        self.weight_at(0.0)
        if self.lr is not None:
            check_positive(lr=self.lr)
            if self.module is None or not any(each.requires_grad for each in self.module.parameters()):
                raise CourseError(
                    f"term {self.name!r} was given lr, but {self.loss_name} has no parameters to learn"
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

    def own_copy(self, known: dict[int, Any], device: torch.device) -> "Term":
        """The same term with a copy of its loss's module on a device; ``known`` holds the copies made before."""
        term = copy.copy(self)
        if self.module is not None:
            term.loss = copy.deepcopy(self.loss, known)
            module = module_of(term.loss)
            assert module is not None  # as the original
            term.module = module.to(device).train()
        return term

    def knobs(self) -> dict[str, PerStudent]:
        """Weight and settings that differ between students, by ``"term.setting"``."""
        values = {"weight": self.weight, **self.settings}
        return {f"{self.name}.{key}": value for key, value in values.items() if isinstance(value, PerStudent)}

    def weight_at(self, progress: float) -> Any:
        """The weight when this share of the steps is done; 1 if it is still to be balanced.

        Raises:
            CourseError: the weight is a function and returned something other than a finite number.
        """
        if callable(self.weight):
            return number_at(self.name, self.weight, progress)
        return 1.0 if self.weight == BALANCED else self.weight

    def __call__(self, supplied: ForwardResult, knobs: Mapping[str, Tensor | float]) -> tuple[Tensor, Tensor]:
        """The loss, unweighted and weighted, both scalars."""
        arguments: dict[str, Any] = {
            key: knobs.get(f"{self.name}.{key}", value) for key, value in self.settings.items()
        }
        arguments |= {key: supplied[source] for key, source in self.sources.items()}
        if self.by:
            arguments[self.by] = supplied.differentiable(self.layers, single=self.by == "inputs")
        own = {key: knobs[key] for key in self.state_names() if key in knobs}
        value = self._call_with(own, arguments) if own else self.loss(**arguments)
        if not isinstance(value, Tensor) or value.ndim:
            came = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise CourseError(f"the loss of term {self.name!r} must return a scalar tensor, got {came}")
        # A number or a scalar tensor: weights that differ between students or change are among the knobs.
        key = f"{self.name}.weight"
        return value, (knobs[key] if key in knobs else self.weight_at(0.0)) * value

    def state_names(self) -> dict[str, str]:
        """Names of the loss's own parameters in the module, by the names under which a stacked training has them."""
        if self.module is None:
            return {}
        return {f"{self.name}/{name}": name for name, _ in self.module.named_parameters()}

    def _call_with(self, own: Mapping[str, Any], arguments: dict[str, Any]) -> Tensor:
        """The loss with other parameters than its module's."""
        assert self.module is not None  # or it had no parameters
        names = self.state_names()
        called = ModuleLoss(self.loss, self.module)
        return functional_call(
            called, {f"module.{names[key]}": value for key, value in own.items()}, (), arguments
        )


class Objective:
    """A weighted sum of named terms.

    Args:
        terms: at least one ``Term``; names must differ, and "total" is taken.

    Raises:
        CourseError: no terms, or a name used twice.

    Examples:
        >>> hard = training.Term("hard", losses.hard_label_loss, weight=0.1)
        >>> soft = training.Term("soft", losses.soft_target_loss, weight=0.9, temperature=4.0)
        >>> [term.name for term in training.Objective([hard, soft]).terms]
        ['hard', 'soft']
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
        read = (source.layer or "" for source in self.sources if source.name == "student_activation")
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

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Modules of the losses, each once, by the name of the first term that has it."""
        found: dict[str, nn.Module] = {}
        for term in self.terms:
            if term.module is not None and all(term.module is not each for each in found.values()):
                found[term.name] = term.module
        return found

    @property
    def balanced(self) -> tuple[str, ...]:
        """Names of the terms whose weights are set before the first step."""
        return tuple(term.name for term in self.terms if term.weight == BALANCED)

    @property
    def changing(self) -> tuple[str, ...]:
        """Names of the terms whose weights are functions of the progress."""
        return tuple(term.name for term in self.terms if callable(term.weight))

    def weights_at(self, progress: float) -> dict[str, float]:
        """These weights by name, when this share of the steps is done."""
        return {term.name: term.weight_at(progress) for term in self.terms if callable(term.weight)}

    def own_copy(self, device: torch.device) -> "Objective":
        """The same objective with copies of its losses' modules on a device; modules that terms share stay shared."""
        known: dict[int, Any] = {}
        return Objective(term.own_copy(known, device) for term in self.terms)

    def parameter_groups(self, stacked: Mapping[str, Tensor] | None = None) -> list[dict[str, Any]]:
        """What an optimiser is given of the losses' own parameters: a group for each module, with its learning rate.

        Args:
            stacked: many students' parameters in place of the modules' own, by the names of ``Term.state_names``.
        """
        groups = []
        for name, module in self.modules.items():
            terms = [term for term in self.terms if term.module is module]
            own = (
                {f"{name}/{key}": value for key, value in module.named_parameters()}
                if stacked is None
                else stacked
            )
            learned = [own[key] for key in terms[0].state_names() if own[key].requires_grad]
            rates = [term.lr for term in terms if term.lr is not None]
            if learned:
                groups.append({"params": learned, **({"lr": rates[0]} if rates else {})})
        return groups

    def __call__(
        self, supplied: ForwardResult, knobs: Mapping[str, Tensor | float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The weighted total, a scalar, and the record (terms + 1,): every unweighted term, then the total."""
        pairs = [term(supplied, knobs or {}) for term in self.terms]
        total = cast(Tensor, sum(weighted for _, weighted in pairs))  # of at least one term
        return total, torch.stack([*(value for value, _ in pairs), total]).detach()
