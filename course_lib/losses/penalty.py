"""Penalised gradient distillation, the article's eq. (2): the student's gradients get a target size."""

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses.common import can_be_seen, check_positive
from course_lib.losses.jacobian import PullBack, checked_matrix, columns_of, differentiates, pull_back


@differentiates("activations")
def gradient_penalty_loss(
    student_logits: Tensor,
    activations: Tensor | Sequence[Tensor] | PullBack,
    soft_matrix: Tensor,
    target_norm: float | Sequence[float] | Tensor,
    *,
    eps: float = 1e-12,
) -> Tensor:
    """The term after β in eq. (2), 1/K Σ_k 1/N Σ_i (‖J_k(x_i)ᵀ S‖_F − α_k)² with J_k = ∂F/∂z_k.

    For one column, the input and α = 1 it is the two-sided penalty of WGAN-GP (Gulrajani et al. 2017). The norm is
    taken for each example. No estimate from random columns is unbiased here, so it is always exact.

    Args:
        student_logits: F, shape (N, C).
        activations: z_k, k = 1…K, as in ``gradient_loss``.
        soft_matrix: S, shape (C, m) or (N, C, m).
        target_norm: α ≥ 0, one number, or one per layer, (K,); ``teacher_gradient_norm`` gives the teacher's.
        eps: ε > 0 inside the root, √(‖·‖² + ε): the norm has infinite slope at 0, where a dead layer lies.

    Returns:
        A scalar ≥ 0, logits² per unit² of z: mean over examples and layers.

    Raises:
        CourseError: as in ``gradient_loss``; a target below 0, or not as many targets as layers; ε not above 0.

    Examples:
        >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        >>> logits = x * torch.tensor([3.0, 4.0])  # the norm of the slopes is 5
        >>> losses.gradient_penalty_loss(logits, x, torch.eye(2), target_norm=1.0).item()
        16.0
    """
    check_positive(eps=eps)
    matrix = checked_matrix(student_logits, soft_matrix, activations)
    columns = columns_of(matrix, len(student_logits))
    squares = _squared_norms(pull_back(student_logits, activations, columns))  # (K, N)
    targets = _targets(target_norm, squares)
    return ((squares + eps).sqrt() - targets).square().mean()


def teacher_gradient_norm(
    teacher_logits: Tensor, activations: Tensor | Sequence[Tensor], soft_matrix: Tensor
) -> Tensor:
    """The natural target of eq. (2): the teacher's own mean norm, α_k = 1/N Σ_i ‖J_big,k(x_i)ᵀ S‖_F.

    Args:
        teacher_logits: shape (N, C), computed from the activations.
        activations: the teacher's, one or several; for the input itself set requires_grad before the forward pass.
        soft_matrix: S, shape (C, m) or (N, C, m).

    Returns:
        One mean norm per layer, (K,), without graph. For a data set in several batches take the mean of theirs.

    Raises:
        CourseError: as in ``gradient_loss``.
    """
    columns = columns_of(checked_matrix(teacher_logits, soft_matrix, activations), len(teacher_logits))
    gradients = pull_back(teacher_logits, activations, columns, create_graph=False)
    return _squared_norms(gradients).sqrt().mean(dim=1)


def _squared_norms(gradients: Sequence[Tensor]) -> Tensor:
    """‖·‖_F² of every example in every layer, (K, N), from gradients (m, N, *shape)."""
    return torch.stack([each.square().flatten(2).sum(dim=(0, 2)) for each in gradients])


def _targets(target_norm: float | Sequence[float] | Tensor, squares: Tensor) -> Tensor:
    """α as (K, 1) or ()."""
    layers = len(squares)
    if not isinstance(target_norm, Tensor):
        # Looked at as plain numbers: a value of a tensor cannot be, where a training step is recorded.
        numbers = list(target_norm) if isinstance(target_norm, Sequence) else [target_norm]
        if not all(isinstance(each, Real) and not isinstance(each, bool) for each in numbers):
            raise CourseError(f"target_norm must be a number or one per layer, got {target_norm!r}")
        if not all(0 <= each < math.inf for each in numbers):
            raise CourseError(f"target_norm must be finite and at least 0, got {target_norm}")
        # Filled where it is used: a copy from the CPU would make the GPU wait at every step.
        target_norm = torch.stack(
            [torch.full((), each, dtype=squares.dtype, device=squares.device) for each in numbers]
        )
    elif can_be_seen(target_norm) and not ((target_norm >= 0) & (target_norm < math.inf)).all():
        raise CourseError(f"target_norm must be finite and at least 0, got {target_norm.tolist()}")
    if target_norm.shape not in ((), (1,), (layers,)):
        raise CourseError(
            f"target_norm must be one number or one per layer ({layers}), got shape {tuple(target_norm.shape)}"
        )
    return target_norm.to(squares).reshape(-1, 1)
