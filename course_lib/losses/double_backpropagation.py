"""Double backpropagation: the slope of the loss itself is kept small, in place of the slopes of all logits."""

from torch import Tensor

from course_lib.losses.common import check_labels, check_logits, log_softmax, one_hot
from course_lib.losses.jacobian import PullBack, checked_matrix, columns_of, differentiates, pull_back


@differentiates("inputs")
def double_backpropagation_loss(student_logits: Tensor, labels: Tensor, inputs: Tensor | PullBack) -> Tensor:
    """Squared input gradient of the cross-entropy, 1/N Σ_i ‖∂CE_i/∂x_i‖².

    Drucker and Le Cun, "Improving Generalization Performance Using Double Backpropagation", 1992. It has the value of
    ``gradient_penalty_loss`` for α = 0 and the one column S = p − onehot, but here p depends on the student, and its
    weights learn through p as well. One backward pass more than plain training, where S with C columns takes C.

    Args:
        student_logits: F, shape (N, C).
        labels: class indices, shape (N,), int64.
        inputs: x with requires_grad, shape (N, *shape).

    Returns:
        A scalar ≥ 0, nats² per squared unit of x: sum over features, mean over examples.

    Raises:
        CourseError: as in ``gradient_penalty_loss``, or labels that do not fit.

    Examples:
        >>> x = torch.zeros(1, 2, requires_grad=True)
        >>> losses.double_backpropagation_loss(x * 1.0, torch.tensor([0]), x).item()  # (1/2)² + (1/2)²
        0.5
    """
    check_logits(student_logits=student_logits)
    check_labels(labels, student_logits)
    wrong = log_softmax(student_logits).exp() - one_hot(labels, student_logits)  # ∂CE/∂F
    matrix = checked_matrix(student_logits, wrong[:, :, None], inputs)
    (gradients,) = pull_back(student_logits, inputs, columns_of(matrix, len(student_logits)))
    return gradients.square().sum() / len(student_logits)
