"""Layer-wise distillation, the article's eq. (3): a student's layer imitates the teacher's through an adapter."""

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses.common import at_least_float32, check_logits, on_smaller_grid
from course_lib.losses.gradient import gradient_loss
from course_lib.losses.jacobian import PullBack, differentiates


def layer_response_loss(
    student_response: Tensor, teacher_response: Tensor, adapter: Tensor | None = None
) -> Tensor:
    """The layer term of eq. (3), 1/N Σ_i ‖A z_small(x_i) − z_big(x_i)‖².

    With A from ``layer_adapter`` it is the article's recipe, with a learned A the hint of FitNets (Romero et al. 2015),
    where a 1 × 1 convolution is such a matrix.

    Args:
        student_response: z_small, (N, C_small, h, w), or (N, C_small) of a dense layer.
        teacher_response: z_big, (N, C_big, H, W) or (N, C_big); the larger maps are averaged down to the smaller grid.
        adapter: A, (C_big, C_small), the same at every position; None where the channels are the same.

    Returns:
        A scalar ≥ 0: sum over channels and positions, mean over examples. No gradient flows to the teacher.

    Raises:
        CourseError: the shapes do not fit.

    Examples:
        >>> student, teacher = torch.tensor([[1.0]]), torch.tensor([[2.0, 5.0]])
        >>> losses.layer_response_loss(student, teacher, adapter=torch.tensor([[2.0], [3.0]]))
        tensor(4.)
    """
    for name, value in (("student_response", student_response), ("teacher_response", teacher_response)):
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.ndim not in (2, 4):
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CourseError(f"{name} must be floating point of shape (N, C) or (N, C, H, W), got {came}")
    if len(student_response) != len(teacher_response) or student_response.ndim != teacher_response.ndim:
        raise CourseError(
            "teacher_response must have the examples and the dimensions of student_response, "
            f"{tuple(student_response.shape)}, got {tuple(teacher_response.shape)}"
        )
    channels = teacher_response.shape[1], student_response.shape[1]
    if adapter is None and channels[0] != channels[1]:
        raise CourseError(
            f"adapter must be given where channels differ, {channels[1]} of the student, {channels[0]}"
        )
    if adapter is not None and (not isinstance(adapter, Tensor) or adapter.shape != channels):
        came = tuple(adapter.shape) if isinstance(adapter, Tensor) else type(adapter).__name__
        raise CourseError(f"adapter must be a tensor of shape {channels}, (C_big, C_small), got {came}")
    student, teacher = at_least_float32(student_response), at_least_float32(teacher_response.detach())
    if student.ndim == 4:
        student, teacher = on_smaller_grid(student, teacher)
    if adapter is not None:
        student = torch.einsum("ts,ns...->nt...", adapter.to(student), student)
    return (student - teacher).square().sum() / len(student)


@differentiates("inputs")
def input_gradient_loss(
    student_logits: Tensor, inputs: Tensor | PullBack, *, estimator: str = "exact"
) -> Tensor:
    """The last term of eq. (3), 1/N Σ_i ‖∂F/∂x_i‖_F²: ``gradient_loss`` at the input with S = I.

    Args:
        student_logits: F, shape (N, C).
        inputs: x with requires_grad, shape (N, *shape).
        estimator: "exact", or "hutchinson" with one backward pass instead of C, as in ``gradient_loss``.

    Returns:
        A scalar ≥ 0, squared logits per squared unit of x: sum over classes and features, mean over examples.

    Raises:
        CourseError: as in ``gradient_loss``.

    Examples:
        >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
        >>> losses.input_gradient_loss(x * torch.tensor([3.0, 4.0]), x).item()
        25.0
    """
    check_logits(columns=1, student_logits=student_logits)
    # Made where it is used: a copy from the CPU would make the GPU wait at every step.
    identity = torch.eye(student_logits.shape[1], dtype=student_logits.dtype, device=student_logits.device)
    return gradient_loss(student_logits, inputs, identity, estimator=estimator)
