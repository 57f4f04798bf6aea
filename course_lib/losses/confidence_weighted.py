"""Confidence weighting by the teacher's maximum (CWTM): how sure a teacher is, without what it finds alike."""

from torch import Tensor

from course_lib.losses.common import at_labels, at_least_float32, check_labels, check_logits, log_softmax


def confidence_weighted_loss(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with labels, each example weighted by max_c softmax(y)_c; the weights of a batch sum to 1.

    A control for soft targets (Furlanello et al., "Born-Again Neural Networks", 2018): if distillation only weighted
    examples by the teacher's confidence, this would do as well.

    Args:
        student_logits: F, shape (N, C), any floating type; half precision is computed in float32.
        teacher_logits: y, shape (N, C); no gradient flows back to it.
        labels: c, class indices below C, shape (N,), int64.

    Returns:
        A scalar in nats: sum over classes, weighted mean over examples. Equal weights give ``hard_label_loss``.

    Raises:
        CourseError: a shape or type does not fit; on a CPU also a label that is not a class.

    Examples:
        >>> student, labels = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
        >>> teacher = torch.tensor([[0.0, 0.0], [0.0, 9.0]])  # twice as sure of the second
        >>> losses.confidence_weighted_loss(student, teacher, labels)
        tensor(0.5044)
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    check_labels(labels, student_logits)
    sure = at_least_float32(teacher_logits.detach()).softmax(dim=1).amax(dim=1)  # (N,)
    right = at_labels(log_softmax(student_logits).t(), labels)  # (N,)
    return -(sure / sure.sum() * right).sum()
