"""The registry of methods: a loss is declared once, here; all that trains, offers, lists or draws it reads this.

A new loss is a file in ``course_lib.losses`` and a line here: then ``course distill --loss`` takes it, searches and the
tuning panel offer it, and ``show.method_table`` lists it. Two losses of the course have no line: layers and adapters of
``layer_response_loss`` belong to a pair of networks, and ``double_backpropagation_loss`` knows no teacher.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from course_lib.training.loss_modules import signature_of
from course_lib.training.objective import Objective, PerStudent, Term
from course_lib.training.sources import BY_PARAMETER, STUDENT_LOGITS, TEACHER_LOGITS

# Layers of the course's small perceptrons, in which a search looks at gradients.
LAYERS = ("inputs", "relu1", "relu2")


@dataclass(frozen=True)
class Method:
    """A loss, and how students are taught with it.

    Attributes:
        name: in plans, on the command line, and of a term in logs.
        loss: function of tensors, or a module, as for ``Term``.
        title: its name in words, in figures, in tables, and as a setting of a search; the name if empty.
        compares: what the loss compares, for tables.
        paper: where it is from.
        symbol: its abbreviation in formulas, and in the objectives of ``course_lib.training``; the name if empty.
        beside: name of the loss to which it is added, weighted by λ; None where it teaches alone, without λ.
        mixes: whether the loss beside it is weighted by 1 − λ, so that λ lies in [0, 1].
        lams: smallest and largest λ that a search or a slider offers.
        layers, settings: of its term, always the same.
        searched: further settings of its term in a search, which offers T and λ alone.
    """

    name: str
    loss: Callable[..., Tensor]
    title: str = ""
    compares: str = ""
    paper: str = ""
    symbol: str = ""
    beside: str | None = None
    mixes: bool = False
    lams: tuple[float, float] | None = None
    layers: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    searched: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, value in {"title": self.name.replace("_", " "), "symbol": self.name}.items():
            object.__setattr__(self, key, getattr(self, key) or value)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the loss's arguments that are settings: neither supplied by the training, nor always the same."""
        supplied = {*BY_PARAMETER, *self.settings, getattr(self.loss, "differentiates", None)}
        return tuple(key for key in signature_of(self.loss) if key not in supplied)

    @property
    def softens(self) -> bool:
        """Whether it has a temperature."""
        return "temperature" in self.options

    @property
    def formula(self) -> str:
        """What students are trained for in a search."""
        if self.beside is None:
            return self.symbol
        rest = "(1 − λ)·" if self.mixes else ""
        return f"{rest}{LOSSES[self.beside].symbol} + λ·{self.symbol}"

    def term(self, weight: float | PerStudent = 1.0, *, name: str = "", **settings: Any) -> Term:
        """Its term of an objective, under its symbol if no other name is given; settings as for ``Term``."""
        given = {"layers": self.layers, **self.settings, **settings}
        return Term(name or self.symbol, self.loss, weight, **given)

    def objective(self, temperature: float | PerStudent, lam: float | PerStudent) -> Objective:
        """What ``formula`` says, with T and λ where it has them."""
        settings = {**self.searched, **({"temperature": temperature} if self.softens else {})}
        if self.beside is None:
            return Objective([self.term(**settings)])
        other = LOSSES[self.beside].term(_rest(lam) if self.mixes else 1.0)
        return Objective([other, self.term(lam, **settings)])


def _rest(lam: float | PerStudent) -> float | PerStudent:
    return PerStudent(1 - value for value in lam.values) if isinstance(lam, PerStudent) else 1 - lam


_MIX: dict[str, Any] = {"beside": "hard", "mixes": True, "lams": (0.01, 1.0)}
_LOGITS: dict[str, Any] = {"student": STUDENT_LOGITS, "teacher": TEACHER_LOGITS}
_OF_LOGITS: dict[str, Any] = {"beside": "hard", "lams": (1e-3, 10.0), "settings": _LOGITS}

# A new loss is one line here.
_DECLARED = (
    Method("hard", hard_label_loss, "hard labels", "the answer with the label"),
    Method(
        "confidence_weighted",
        confidence_weighted_loss,
        compares="the answer with the label, weighted by how sure the teacher is: a control",
        paper="Furlanello et al. 2018",
    ),
    Method(
        "smoothed_label",
        smoothed_label_loss,
        "smoothed labels",
        "the answer with the softened label, without a teacher: the control",
        "Szegedy et al. 2016",
        symbol="smoothed",
        searched={"smoothing": 0.1},
    ),
    Method(
        "soft_target",
        soft_target_loss,
        "soft targets",
        "softened answers",
        "Hinton, Vinyals and Dean 2015",
        symbol="soft",
        **_MIX,
    ),
    Method(
        "logit",
        logit_loss,
        "logits",
        "logits, number by number",
        "Ba and Caruana 2014",
        symbol="logits",
        **_MIX,
    ),
    Method(
        "spherical_soft_target",
        spherical_soft_target_loss,
        "spherical soft targets",
        "softened answers of logits brought to one length",
        "Guo et al. 2020",
        symbol="spherical",
        **_MIX,
    ),
    Method("radius", radius_loss, "radius", "the size of two vectors, here the logits", **_OF_LOGITS),
    Method("angle", angle_loss, "angle", "the direction of two vectors, here the logits", **_OF_LOGITS),
    Method(
        "magnitude",
        magnitude_loss,
        "magnitude",
        "the absolute values of two vectors, here the logits",
        **_OF_LOGITS,
    ),
    Method(
        "gradient",
        gradient_loss,
        "gradient",
        "nothing: makes the student flat along the columns of S",
        "the article's eq. (1)",
        beside="logit",
        lams=(1e-4, 1.0),
        layers=("inputs",),
        searched={"layers": LAYERS},
    ),
    Method(
        "gradient_matching",
        gradient_matching_loss,
        "gradient matching",
        "slopes with respect to the input",
        "Czarnecki et al. 2017",
        symbol="matching",
        beside="logit",
        lams=(0.01, 100.0),
    ),
    Method(
        "gradient_penalty",
        gradient_penalty_loss,
        "penalty",
        "the length of slopes with a target",
        "the article's eq. (2)",
        symbol="penalty",
        beside="logit",
        lams=(1e-4, 1.0),
        layers=("inputs",),
        searched={"layers": LAYERS, "target_norm": 1.0},
    ),
    Method(
        "input_gradient",
        input_gradient_loss,
        "input gradient",
        "nothing: makes the student flat with respect to the input, with or without a teacher",
        "the article's eq. (3)",
        beside="hard",
        lams=(1e-4, 1.0),
    ),
)
LOSSES: dict[str, Method] = {each.name: each for each in _DECLARED}


class _Titles(Mapping[str, Method]):
    """``LOSSES`` by title, and also by name; a loss that is added there appears here."""

    def __getitem__(self, key: str) -> Method:
        for each in LOSSES.values():
            if key in (each.title, each.name):
                return each
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return (each.title for each in LOSSES.values())

    def __len__(self) -> int:
        return len(LOSSES)


METHODS = _Titles()


def named_objective(weights: Mapping[str, float] | Sequence[tuple[str, float]], **settings: Any) -> Objective:
    """An objective from the names of losses and their weights, such as ``{"hard": 0.1, "soft_target": 0.9}``.

    Args:
        weights: by name.
        settings: given to every loss that has a parameter of the name, such as ``temperature``.

    Raises:
        CourseError: an unknown name, a weight that is not a finite number, a missing setting, or one of no loss.

    Examples:
        >>> objective = training.named_objective({"hard": 0.1, "soft_target": 0.9}, temperature=4.0)
        >>> [term.name for term in objective.terms]
        ['hard', 'soft_target']
    """
    known = {option for each in LOSSES.values() for option in signature_of(each.loss)}
    if unknown := [key for key in settings if key not in known]:
        raise CourseError(f"settings must be of a loss, got {unknown[0]}, which none has")
    pairs = list(weights.items() if isinstance(weights, Mapping) else weights)
    terms = []
    for name, weight in pairs:
        if name not in LOSSES:
            raise CourseError(f"losses must be named {', '.join(LOSSES)}, got {name!r}")
        if not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise CourseError(f"the weight of {name} must be a finite number of at least 0, got {weight!r}")
        wanted = signature_of(LOSSES[name].loss)
        own = {key: value for key, value in settings.items() if key in wanted}
        terms.append(LOSSES[name].term(float(weight), name=name, **own))
    return Objective(terms)
