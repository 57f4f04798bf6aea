"""Regression on the teacher's logits: the data term of every formula of the article."""

from torch import Tensor

from course_lib.losses.common import check_mask, check_outputs, classes_first, mean_over


def logit_loss(student_logits: Tensor, teacher_logits: Tensor, mask: Tensor | None = None) -> Tensor:
    """Squared distance of the logits, 1/N Σ_i ‖F(x_i) − y_i‖².

    Ba and Caruana, "Do Deep Nets Really Need to be Deep?", 2014.

    Args:
        student_logits: F, shape (N, C), any floating type; half precision is computed in float32. Sequences
            (N, L, C) and maps (N, C, H, W) have logits at each position.
        teacher_logits: y, same shape; no gradient flows back to it.
        mask: torch.bool, one per position, (N,), (N, L) or (N, H, W): which of them count. All if None.

    Returns:
        A scalar, in squared logits: sum over classes, mean over all positions that count (so C times ``F.mse_loss``).

    Raises:
        CourseError: a shape or type does not fit.

    Examples:
        >>> student, teacher = torch.zeros(1, 2), torch.tensor([[3.0, -1.0]])
        >>> losses.logit_loss(student, teacher)
        tensor(10.)
    """
    check_outputs(student_logits=student_logits, teacher_logits=teacher_logits)
    check_mask(mask, student_logits)
    difference = classes_first(student_logits) - classes_first(teacher_logits.detach())  # (C, N, ...)
    return mean_over(difference.square().sum(dim=0), mask)
