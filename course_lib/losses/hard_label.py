"""Hard labels: cross-entropy with the right class, or with given shares of the classes."""

from torch import Tensor

from course_lib.losses._common import (
    NO_LABEL,
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
        CourseError: a shape or type does not fit.
    """
    check_outputs(student_logits=student_logits)
    check_labels(labels, student_logits, soft=True)
    check_mask(mask, student_logits)
    log_q = log_shares(student_logits)  # (C, N, ...)
    if labels.is_floating_point():
        return mean_over(-(classes_first(labels) * log_q).sum(dim=0), mask)
    known = labels != NO_LABEL
    right = log_q.gather(0, labels.clamp(min=0).unsqueeze(0)).squeeze(0)  # (N, ...)
    return mean_over(-right, known if mask is None else known & mask)
