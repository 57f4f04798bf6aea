"""The course's methods as objectives, ready to train with; each takes ``PerStudent`` for its numbers."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses import (
    confidence_weighted_loss,
    gradient_loss,
    gradient_matching_loss,
    gradient_penalty_loss,
    hard_label_loss,
    logit_loss,
    smoothed_label_loss,
    soft_target_loss,
)
from course_lib.training.objective import Objective, PerStudent, Term


def hard_labels() -> Objective:
    """Labels alone, the baseline."""
    return Objective([Term("hard", hard_label_loss)])


def smoothed_labels(smoothing: float | PerStudent = 0.1) -> Objective:
    """Labels, softened without a teacher: the control that every soft target has to beat."""
    return Objective([Term("smoothed", smoothed_label_loss, smoothing=smoothing)])


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


def confidence_weighted() -> Objective:
    """Labels alone, weighted by how sure the teacher is (CWTM): a control without what a teacher finds alike."""
    return Objective([Term("hard", confidence_weighted_loss)])


def logits() -> Objective:
    """Regression on the teacher's logits, the data term of every formula of the article."""
    return Objective([Term("logits", logit_loss)])


def gradient(
    lam: float | PerStudent = 0.01,
    layers: Iterable[str] = ("inputs", "relu1", "relu2"),
    estimator: str = "exact",
) -> Objective:
    """The article's eq. (1), literally: logits + λ·gradient_loss, S from the teacher's cache."""
    return Objective(
        [
            Term("logits", logit_loss),
            Term("gradient", gradient_loss, weight=lam, layers=layers, estimator=estimator),
        ]
    )


def gradient_matching(lam: float | PerStudent = 1.0, estimator: str = "exact") -> Objective:
    """The matching reading of eq. (1) at the input: logits + λ·gradient_matching_loss, S from the teacher's cache."""
    return Objective(
        [
            Term("logits", logit_loss),
            Term("matching", gradient_matching_loss, weight=lam, estimator=estimator),
        ]
    )


def gradient_penalty(
    beta: float | PerStudent = 0.01,
    target_norm: float | Sequence[float] | Tensor | PerStudent = 1.0,
    layers: Iterable[str] = ("inputs", "relu1", "relu2"),
) -> Objective:
    """The article's eq. (2): logits + β·gradient_penalty_loss with targets α, S from the teacher's cache."""
    penalty = Term("penalty", gradient_penalty_loss, weight=beta, layers=layers, target_norm=target_norm)
    return Objective([Term("logits", logit_loss), penalty])
