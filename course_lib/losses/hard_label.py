"""Learning from labels alone: the baseline that every distillation loss has to beat."""

from torch import Tensor

from course_lib.losses._common import check_labels, check_logits, log_softmax


def hard_label_loss(student_logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of softmax(F) with the labels, −1/N Σ_i log softmax(F(x_i))[c_i].

    Args:
        student_logits: F, shape (N, C), any floating type; half precision is computed in float32.
        labels: c, class indices below C, shape (N,), int64.

    Returns:
        A scalar in nats: sum over classes, mean over examples.

    Raises:
        CourseError: a shape or type does not fit.
    """
    check_logits(student_logits=student_logits)
    check_labels(labels, student_logits)
    log_q = log_softmax(student_logits)  # (N, C)
    return -log_q.gather(1, labels[:, None]).mean()
