"""Hypersphere distance: the size of features and their direction, compared apart.

‖z_s − z_t‖² = (r_s − r_t)² + 2 r_s r_t (1 − cos θ): the article keeps the radius part alone, the literature the angle.
"""

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses.common import at_least_float32, check_logits, powers_of_two
from course_lib.losses.soft_target import soft_target_loss


def radius_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of sizes, 1/N Σ_i (r_s/√d_s − r_t/√d_t)² with r = ‖z‖: the article's reading.

    A radius divided by the root of its dimension is the root mean square of the numbers, so that spaces of different
    dimension can be compared.

    Args:
        student: z_s, logits, features or gradients, shape (N, *shape_s), flattened per example to d_s numbers.
        teacher: z_t, shape (N, *shape_t), flattened to d_t numbers; d_t may differ from d_s.

    Returns:
        A scalar ≥ 0 in squared units of z, mean over examples; float32 or wider. It does not see directions. At a
        zero vector its gradient is zero.

    Raises:
        CourseError: not floating point, no numbers, or not equally many examples.

    Examples:
        >>> student, teacher = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 10.0]])
        >>> losses.radius_loss(student, teacher)  # (5 − 10)² / 2
        tensor(12.5000)
    """
    own, target = _flat(student, teacher, equal=False)
    gap = _length(own)[0] / own.shape[1] ** 0.5 - _length(target)[0] / target.shape[1] ** 0.5  # (N, 1)
    return gap.square().mean()


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Cosine distance, 1/N Σ_i (1 − cos θ_i) with θ the angle between z_s and z_t: what the literature compares.

    Computed as half the squared distance of the unit vectors: 1 − cos θ itself loses small angles to rounding.

    Args:
        student: z_s, shape (N, *shape_s), flattened per example to d numbers.
        teacher: z_t, shape (N, *shape_t), flattened to as many.

    Returns:
        A scalar in [0, 2], mean over examples; float32 or wider. It does not see sizes. A zero vector counts as at a
        right angle to every other vector and as equal to another zero vector; its gradient is finite.

    Raises:
        CourseError: as ``radius_loss``, or not equally many numbers for each example.

    Examples:
        >>> student, teacher = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 10.0]])
        >>> losses.angle_loss(student, teacher)  # 1 − cos θ, and cos θ = 4/5
        tensor(0.2000)
    """
    own, target = _flat(student, teacher)
    (r_s, own_is_zero), (r_t, target_is_zero) = _length(own), _length(target)
    apart = _direction(own, r_s, own_is_zero) - _direction(target, r_t, target_is_zero)
    halves = apart.square().sum(dim=1, keepdim=True) / 2  # (N, 1)
    # A zero vector beside another has half the squared distance 1/2; one half more makes it the right angle's 1.
    return (halves + (own_is_zero != target_is_zero) / 2).mean()


def magnitude_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of absolute values, 1/N Σ_i ‖ |z_s| − |z_t| ‖²: element by element, signs ignored.

    Args:
        student: z_s, shape (N, *shape_s), flattened per example to d numbers.
        teacher: z_t, shape (N, *shape_t), flattened to as many.

    Returns:
        A scalar ≥ 0 in squared units of z, sum over features, mean over examples; float32 or wider. At a zero its
        gradient is zero. For features after a ReLU it is the squared distance.

    Raises:
        CourseError: as ``angle_loss``.

    Examples:
        >>> student, teacher = torch.tensor([[3.0, -4.0]]), torch.tensor([[3.0, 4.0]])
        >>> losses.magnitude_loss(student, teacher)
        tensor(0.)
    """
    own, target = _flat(student, teacher)
    return (own.abs() - target.abs()).square().sum(dim=1).mean()


def hypersphere_split(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """The squared distance in two parts, ‖z_s − z_t‖² = (r_s − r_t)² + 2 r_s r_t (1 − cos θ).

    Neither part is computed by taking the other off the sum, and both are as exact for vectors that are almost equal.

    Args:
        student: z_s, shape (N, *shape_s), flattened per example to d numbers.
        teacher: z_t, shape (N, *shape_t), flattened to as many.

    Returns:
        Radius part and angle part, each (N,), ≥ 0, in squared units of z, float32 or wider. A zero vector has no angle
        part, and there the gradient of both parts is finite.

    Raises:
        CourseError: as ``angle_loss``.
    """
    own, target = _flat(student, teacher)
    largest = torch.maximum(own.abs(), target.abs()).detach().amax(dim=1, keepdim=True)
    scale = powers_of_two(largest)  # (N, 1), for products that would overflow or vanish
    own, target = own / scale, target / scale
    (r_s, own_is_zero), (r_t, target_is_zero) = _length(own), _length(target)
    step = own - target
    # r_s − r_t, but from the difference of the vectors: two large radii would cancel.
    gap = (step * (own + target)).sum(dim=1, keepdim=True) / (r_s + r_t)
    # 2 r_s r_t (1 − cos θ) = r_s r_t ‖u_s − u_t‖² = r_s/r_t ‖z_s − z_t − (r_s − r_t) u_s‖², or with s and t exchanged;
    # the one whose quotient is below 1 does not blow rounding up.
    unit = torch.where(r_s < r_t, _direction(own, r_s, own_is_zero), _direction(target, r_t, target_is_zero))
    across = (step - gap * unit).square().sum(dim=1, keepdim=True)
    angle_part = torch.minimum(r_s, r_t) / torch.maximum(r_s, r_t) * across
    return (scale * gap).square()[:, 0], (scale * angle_part * scale)[:, 0]


def spherical_soft_target_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float | Tensor
) -> Tensor:
    """Soft targets of logits brought to one sphere: both centred over the classes, both scaled to one radius.

    The radius is the mean norm of the teacher's centred logits in the batch, a constant without gradient. The
    student's own norm is divided out and the gradient knows it: so the loss teaches direction only, and the size of
    the student's logits, its confidence, is left to the other terms of the objective.

    Guo et al., "Reducing the Teacher-Student Gap via Spherical Knowledge Distillation", 2020.

    Args:
        student_logits: F, shape (N, C), any floating type; half precision is computed in float32.
        teacher_logits: y, same shape.
        temperature: T > 0.

    Returns:
        A scalar ≥ 0 in nats, times T², as ``soft_target_loss``. Logits that are all equal stay all zero.

    Raises:
        CourseError: a shape or type does not fit, or T is not a finite number above 0.

    Examples:
        >>> teacher = torch.tensor([[4.0, 0.0, 2.0]])  # the student has the same direction
        >>> losses.spherical_soft_target_loss(teacher / 10, teacher, temperature=4.0).item() < 1e-6
        True
    """
    check_logits(student_logits=student_logits, teacher_logits=teacher_logits)
    own, target = (_centred(at_least_float32(logits)) for logits in (student_logits, teacher_logits.detach()))
    (r_s, own_is_zero), (r_t, target_is_zero) = _length(own), _length(target)
    radius = r_t.mean()
    return soft_target_loss(
        radius * _direction(own, r_s, own_is_zero),
        radius * _direction(target, r_t, target_is_zero),
        temperature,
    )


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(dim=1, keepdim=True)


def _length(flat: Tensor) -> tuple[Tensor, Tensor]:
    """‖z‖ of every row, (N, 1), and whether it is zero, or too small for full precision, (N, 1).

    The smallest normal number inside the root gives it a slope at zero, 0 instead of NaN.
    """
    largest = flat.detach().abs().amax(dim=1, keepdim=True)
    scale, tiny = powers_of_two(largest), torch.finfo(flat.dtype).tiny
    return scale * ((flat / scale).square().sum(dim=1, keepdim=True) + tiny).sqrt(), largest < tiny


def _direction(flat: Tensor, length: Tensor, is_zero: Tensor) -> Tensor:
    """z/‖z‖ of every row, (N, d). A zero vector stays zero; it is divided by 1, or its gradient would be 1e19."""
    return flat / torch.where(is_zero, 1.0, length)


def _flat(student: Tensor, teacher: Tensor, *, equal: bool = True) -> tuple[Tensor, Tensor]:
    """Both as (N, d) in float32 or wider, after checking that they can be compared."""
    for name, value in (("student", student), ("teacher", teacher)):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            came = f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__
            raise CourseError(f"{name} must be a floating-point tensor of shape (N, ...), got {came}")
        if value.ndim < 2 or 0 in value.shape:
            raise CourseError(
                f"{name} must have shape (N, ...) with at least one example and one number, got {tuple(value.shape)}"
            )
    own, target = at_least_float32(student.flatten(1)), at_least_float32(teacher.detach().flatten(1))
    if len(own) != len(target):
        raise CourseError(f"teacher must have {len(own)} examples like student, got {len(target)}")
    if equal and own.shape != target.shape:
        raise CourseError(
            f"teacher must have {own.shape[1]} numbers for each example like student, got {target.shape[1]}: "
            "directions can be compared in one space only (radius_loss does not need this)"
        )
    return own, target
