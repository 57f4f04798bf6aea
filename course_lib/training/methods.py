"""The course's methods as objectives, ready to train with; each takes ``PerStudent`` for its numbers."""

from collections.abc import Iterable, Sequence
from numbers import Real

from torch import Tensor

from course_lib.errors import CourseError, check_not_negative
from course_lib.training.named import LAYERS, LOSSES
from course_lib.training.objective import Objective, PerStudent


def hard_labels() -> Objective:
    """Labels alone, the baseline."""
    return Objective([LOSSES["hard"].term()])


def smoothed_labels(smoothing: float | PerStudent = 0.1) -> Objective:
    """Labels, softened without a teacher: the control that every soft target has to beat."""
    return Objective([LOSSES["smoothed_label"].term(smoothing=smoothing)])


def soft_targets(temperature: float | PerStudent = 4.0, lam: float | PerStudent = 0.9) -> Objective:
    """Hinton's mix (1 − λ)·hard + λ·soft: λ is the weight of the *soft* targets, in [0, 1].

    Raises:
        CourseError: a λ outside [0, 1].
    """
    lams = lam.values if isinstance(lam, PerStudent) else (lam,)
    if not all(isinstance(value, Real | Tensor) and 0 <= value <= 1 for value in lams):
        raise CourseError(f"lam must lie in [0, 1] (0: labels only, 1: soft targets only), got {lam!r}")
    return LOSSES["soft_target"].objective(temperature, lam)


def confidence_weighted() -> Objective:
    """Labels alone, weighted by how sure the teacher is (CWTM): a control without what a teacher finds alike."""
    return Objective([LOSSES["confidence_weighted"].term()])


def logits() -> Objective:
    """Regression on the teacher's logits, the data term of every formula of the article."""
    return Objective([LOSSES["logit"].term()])


def gradient(
    lam: float | PerStudent = 0.01,
    layers: Iterable[str] = LAYERS,
    estimator: str = "exact",
) -> Objective:
    """The article's eq. (1), literally: logits + λ·gradient_loss, S from the teacher's cache.

    Raises:
        CourseError: a λ below 0.
    """
    _refuse_negative(lam=lam)
    added = LOSSES["gradient"].term(lam, layers=layers, estimator=estimator)
    return Objective([LOSSES["logit"].term(), added])


def gradient_matching(lam: float | PerStudent = 1.0, estimator: str = "exact") -> Objective:
    """The matching reading of eq. (1) at the input: logits + λ·gradient_matching_loss, S from the teacher's cache.

    Raises:
        CourseError: a λ below 0.
    """
    _refuse_negative(lam=lam)
    added = LOSSES["gradient_matching"].term(lam, estimator=estimator)
    return Objective([LOSSES["logit"].term(), added])


def gradient_penalty(
    beta: float | PerStudent = 0.01,
    target_norm: float | Sequence[float] | Tensor | PerStudent = 1.0,
    layers: Iterable[str] = LAYERS,
) -> Objective:
    """The article's eq. (2): logits + β·gradient_penalty_loss with targets α, S from the teacher's cache.

    Raises:
        CourseError: a β below 0.
    """
    _refuse_negative(beta=beta)
    added = LOSSES["gradient_penalty"].term(beta, layers=layers, target_norm=target_norm)
    return Objective([LOSSES["logit"].term(), added])


def _refuse_negative(**weights: object) -> None:
    """Refuse a number below 0, which would teach the opposite; ``Term`` checks everything else."""
    for name, weight in weights.items():
        for value in weight.values if isinstance(weight, PerStudent) else (weight,):
            if isinstance(value, Real):
                check_not_negative(**{name: value})
