"""Hard labels: cross-entropy with the right class, or with given shares of the classes."""

from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses.common import (
    NO_LABEL,
    at_labels,
    can_be_seen,
    check_labels,
    check_mask,
    check_outputs,
    classes_first,
    log_shares,
    mean_over,
)


def hard_label_loss(student_logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Cross-entropy of softmax(F) with the labels, −1/N Σ_i log softmax(F(x_i))[c_i].

    Args:
        student_logits: F, shape (N, C), any floating type; half precision is computed in float32. Sequences
            (N, L, C) and maps (N, C, H, W) have a class at each position.
        labels: c, class indices below C, int64, one per position: (N,), (N, L) or (N, H, W); -100 where there is no
            label. Or shares of the classes in the shape of the logits, such as mixed labels.
        mask: torch.bool, one per position: which of them count. All if None.

    Returns:
        A scalar in nats: sum over classes, mean over all positions that count; 0 if there are none.

    Raises:
        CourseError: a shape or type does not fit; on a CPU also a label that is not a class, or a share below 0.

    Examples:
        >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
        >>> losses.hard_label_loss(logits, labels)
        tensor(0.4100)
    """
    check_outputs(student_logits=student_logits)
    check_labels(labels, student_logits, soft=True)
    check_mask(mask, student_logits)
    log_q = log_shares(student_logits)  # (C, N, ...)
    if labels.is_floating_point():
        _check_shares(labels, mask)
        return mean_over(-(classes_first(labels) * log_q).sum(dim=0), mask)
    known = labels != NO_LABEL
    right = at_labels(log_q, labels.where(known, 0))  # (N, ...)
    return mean_over(-right, known if mask is None else known & mask)


def _check_shares(labels: Tensor, mask: Tensor | None) -> None:
    """Logits given for shares would be learned without a word; where a mask is given, anything may be outside it."""
    if mask is None and can_be_seen(labels) and not (lowest := labels.amin()) >= 0:
        raise CourseError(f"labels must be shares of the classes, at least 0, got {lowest:g}")
