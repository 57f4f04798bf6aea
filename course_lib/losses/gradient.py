"""Gradient-based distillation, the article's eq. (1): literally, and as matching of the teacher's gradients."""

from collections.abc import Sequence

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses.common import check_finite
from course_lib.losses.jacobian import (
    PullBack,
    checked_matrix,
    differentiates,
    probed,
    pull_back,
    sum_of_squares,
)


@differentiates("activations")
def gradient_loss(
    student_logits: Tensor,
    activations: Tensor | Sequence[Tensor] | PullBack,
    soft_matrix: Tensor,
    *,
    estimator: str = "exact",
    probes: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The gradient term of eq. (1) as the article writes it, Σ_k 1/N Σ_i ‖J_k(x_i)ᵀ S‖_F² with J_k = ∂F/∂z_k.

    It makes the student flat along the combinations of logits that are the columns of S; S counts through S Sᵀ alone.
    For S = I and the input it is Jacobian regularisation (Hoffman, Roberts and Yaida 2019). For the one column
    S = softmax(F) − onehot it has the value of double backpropagation (Drucker and Le Cun 1992), and is that loss only
    where S stays part of the student's graph: with S detached, the weights learn something else.

    Args:
        student_logits: F, shape (N, C).
        activations: z_k, k = 1…K, tensors (N, *shape) of the graph of F; the input itself (k = 0) may be one.
        soft_matrix: S, shape (C, m) or (N, C, m).
        estimator: "exact", all m columns in one batched call; or "hutchinson", random combinations of them, right
            in expectation (Hutchinson 1989) and about as cheap as one column.
        probes: how many random combinations are averaged.
        generator: of the probes; PyTorch's global one where None.

    Returns:
        A scalar ≥ 0, squared logits per squared unit of z: sum over columns, features and layers, mean over examples.

    Raises:
        CourseError: as in ``soft_gradients``, or an unknown estimator.

    Examples:
        >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        >>> logits = x * torch.tensor([3.0, 4.0])  # slopes 3 and 4
        >>> losses.gradient_loss(logits, x, torch.eye(2)).item()
        25.0
    """
    matrix = checked_matrix(student_logits, soft_matrix, activations)
    columns, signs = probed(matrix, len(student_logits), estimator, probes, generator)
    if len(columns) == 1:  # a sum of squares can do without the dimension, and so without differentiating it
        columns = columns[0]
    gradients = pull_back(student_logits, activations, columns)  # K × (m or P, N, *shape), or (N, *shape)
    return sum_of_squares(gradients) / (len(student_logits) * _repeats(signs))


@differentiates("inputs")
def gradient_matching_loss(
    student_logits: Tensor,
    inputs: Tensor | PullBack,
    teacher_gradients: Tensor,
    soft_matrix: Tensor,
    *,
    estimator: str = "exact",
    probes: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """The matching reading of eq. (1), 1/N Σ_i ‖(J(x_i) − J_big(x_i))ᵀ S‖_F² with J = ∂F/∂x.

    Sobolev training (Czarnecki et al. 2017) and Jacobian matching (Srinivas and Fleuret 2018); for m = 1 the gradient
    form of attention transfer (Zagoruyko and Komodakis 2017).

    Args:
        student_logits: F, shape (N, C).
        inputs: x with requires_grad, shape (N, *shape); or any activation whose space the teacher shares.
        teacher_gradients: the teacher's J_bigᵀ S for the same examples and the same S, shape (N, m, *shape), from
            ``soft_gradients`` or a cache.
        soft_matrix, estimator, probes, generator: as in ``gradient_loss``.

    Returns:
        A scalar ≥ 0, sum over columns and features, mean over examples. No gradient flows to the teacher.

    Raises:
        CourseError: as in ``gradient_loss``, or ``teacher_gradients`` of another shape.

    Examples:
        >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        >>> logits = x * torch.tensor([3.0, 4.0])
        >>> teacher = torch.tensor([[[3.0, 0.0], [0.0, 6.0]]])  # its slopes are 3 and 6
        >>> losses.gradient_matching_loss(logits, x, teacher, torch.eye(2)).item()
        4.0
    """
    matrix = checked_matrix(student_logits, soft_matrix, inputs)
    _check_teacher(teacher_gradients, inputs, (len(student_logits), matrix.shape[-1]))
    columns, signs = probed(matrix, len(student_logits), estimator, probes, generator)
    (gradients,) = pull_back(student_logits, inputs, columns)  # (m or P, N, *shape)
    targets = teacher_gradients.detach()  # (N, m, *shape)
    # Where the student's columns are combined at random, the teacher's are combined alike.
    same = (
        targets.transpose(0, 1)
        if signs is None
        else torch.einsum("pnm,nm...->pn...", signs, targets.to(signs))
    )
    return sum_of_squares([gradients - same]) / (len(student_logits) * _repeats(signs))


def _repeats(signs: Tensor | None) -> int:
    return 1 if signs is None else len(signs)


def _check_teacher(teacher_gradients: Tensor, inputs: Tensor | PullBack, leading: tuple[int, int]) -> None:
    if not isinstance(teacher_gradients, Tensor) or not teacher_gradients.is_floating_point():
        raise CourseError(
            f"teacher_gradients must be a floating-point tensor (N, m, *shape), got {type(teacher_gradients).__name__}"
        )
    if isinstance(inputs, PullBack):
        return
    if not isinstance(inputs, Tensor):
        raise CourseError(f"inputs must be one tensor, got {type(inputs).__name__}")
    expected = (*leading, *inputs.shape[1:])
    if tuple(teacher_gradients.shape) != expected:
        raise CourseError(
            f"teacher_gradients must have shape (N, m, *inputs.shape[1:]) = {expected}, "
            f"got {tuple(teacher_gradients.shape)}"
        )
    check_finite(teacher_gradients=teacher_gradients)
