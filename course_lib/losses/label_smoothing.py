"""Label smoothing: soft targets without a teacher, the control for every claim about a teacher's softness."""

from torch import Tensor

from course_lib.errors import check_below_one
from course_lib.losses.common import at_labels, check_labels, check_logits, log_softmax, numbers_seen


def smoothed_label_loss(student_logits: Tensor, labels: Tensor, smoothing: float | Tensor) -> Tensor:
    """Cross-entropy of softmax(F) with (1 − ε)·onehot(c) + ε/C (Szegedy et al. 2016).

    Args:
        student_logits: F, shape (N, C), any floating type; half precision is computed in float32.
        labels: c, class indices below C, shape (N,), int64.
        smoothing: ε in [0, 1); 0 is ``hard_label_loss``.

    Returns:
        A scalar in nats: sum over classes, mean over examples. Its least value is the targets' entropy, above 0.

    Raises:
        CourseError: a shape or type does not fit, or a smoothing outside [0, 1); on a CPU also a label that is not a
            class.

    Examples:
        >>> logits, labels = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
        >>> losses.smoothed_label_loss(logits, labels, smoothing=0.1)
        tensor(0.2269)
    """
    check_logits(student_logits=student_logits)
    check_labels(labels, student_logits)
    check_below_one(**numbers_seen(smoothing=smoothing))
    log_q = log_softmax(student_logits)  # (N, C)
    right = at_labels(log_q.t(), labels)  # (N,)
    return -((1 - smoothing) * right + smoothing * log_q.mean(dim=1)).mean()
