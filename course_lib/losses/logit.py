"""Regression on the teacher's logits: the data term of every formula of the article."""

from torch import Tensor

from course_lib.losses._common import at_least_float32, check_logits


def logit_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Squared distance of the logits, 1/N Σ_i ‖F(x_i) − y_i‖².

    Ba and Caruana, "Do Deep Nets Really Need to be Deep?", 2014.

    Args:
        student_logits: F, shape (N, C), any floating type; half precision is computed in float32.
        teacher_logits: y, same shape.

    Returns:
        A scalar, in squared logits: sum over classes, mean over examples (so C times ``F.mse_loss``).

    Raises:
        CourseError: a shape or type does not fit.
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    difference = at_least_float32(student_logits) - at_least_float32(teacher_logits)  # (N, C)
    return difference.square().sum(dim=1).mean()
