"""Soft matrices: what a teacher finds alike, between classes and between the channels of two layers."""

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.losses.common import (
    check_finite,
    check_labels,
    check_logits,
    check_positive,
    log_softmax,
    on_smaller_grid,
    one_hot,
    powers_of_two,
)

__all__ = [
    "class_soft_matrix",
    "cross_entropy_matrix",
    "layer_adapter",
    "layer_soft_matrices",
    "softmax_jacobian",
]


def class_soft_matrix(teacher_logits: Tensor, labels: Tensor, temperature: float, num_classes: int) -> Tensor:
    """S_soft between classes: column c is the teacher's mean softened answer softmax(y/T) to the examples labelled c.

    As T → 0 it becomes the teacher's confusion, as T → ∞ it becomes 1/C everywhere. The article names the matrix and
    leaves it open; this is the course's default reading (dark knowledge, Hinton, Vinyals and Dean 2015, per class).

    Args:
        teacher_logits: y, shape (N, C), any floating type; half precision is computed in float32.
        labels: class of each example, (N,) int64.
        temperature: T > 0.
        num_classes: C.

    Returns:
        (C, C), row: class that the teacher names, column: class of the label. Columns sum to 1; a class without
        examples gets its one-hot column.

    Raises:
        CourseError: shapes do not fit, a label is not below C, T is not a finite number above 0.

    Examples:
        >>> answers, labels = torch.tensor([[4.0, 0.0], [0.0, 4.0]]), torch.tensor([0, 1])
        >>> matrices.class_soft_matrix(answers, labels, temperature=4.0, num_classes=2)
        tensor([[0.7311, 0.2689],
                [0.2689, 0.7311]])
    """
    check_logits(teacher_logits=teacher_logits)
    check_labels(labels, teacher_logits)
    check_positive(temperature=temperature)
    check_finite(teacher_logits=teacher_logits)
    classes = teacher_logits.shape[1]
    if num_classes != classes:
        raise CourseError(f"num_classes must be the {classes} columns of teacher_logits, got {num_classes!r}")
    low, high = labels.aminmax()
    if low < 0 or high >= classes:
        wrong = int(low) if low < 0 else int(high)
        raise CourseError(f"labels must be from 0 to {classes - 1}, got {wrong}")
    probabilities = log_softmax(teacher_logits, temperature).exp()  # (N, C)
    members = F.one_hot(labels, classes).to(probabilities)  # (N, C)
    counts = members.sum(dim=0)  # (C,)
    means = probabilities.t() @ members / counts.clamp(min=1)  # (C, C)
    return torch.where(counts > 0, means, torch.eye(classes).to(means))


def softmax_jacobian(teacher_logits: Tensor, temperature: float) -> Tensor:
    """Derivative of softmax(y/T) in the logits for every example, (diag(p) − p pᵀ)/T with p = softmax(y/T).

    As a soft matrix it makes JᵀS, by the chain rule, the gradient of the softened probabilities at the teacher's
    belief.

    Args:
        teacher_logits: y, shape (N, C), any floating type; half precision is computed in float32.
        temperature: T > 0.

    Returns:
        (N, C, C), symmetric; rows and columns sum to 0.

    Raises:
        CourseError: a shape does not fit, or T is not a finite number above 0.
    """
    check_logits(teacher_logits=teacher_logits)
    check_positive(temperature=temperature)
    p = log_softmax(teacher_logits, temperature).exp()  # (N, C)
    return (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) / temperature


def cross_entropy_matrix(logits: Tensor, labels: Tensor) -> Tensor:
    """The one column S = softmax(F) − onehot(c), with which JᵀS is the gradient of the cross-entropy with the labels.

    A loss of JᵀS is double backpropagation where the logits are the student's, in its graph; with detached logits it
    has the same value but another gradient with respect to the weights.

    Args:
        logits: F, shape (N, C), any floating type; half precision is computed in float32.
        labels: c, (N,) int64, below C; or shares of the classes, (N, C), in place of onehot(c).

    Returns:
        (N, C, 1); each column sums to 0.

    Raises:
        CourseError: a shape or type does not fit, or a label is not below C.
    """
    check_logits(student_logits=logits)
    check_labels(labels, logits, soft=True)
    p = log_softmax(logits).exp()
    shares = labels.to(p) if labels.is_floating_point() else one_hot(labels, p.detach())
    return (p - shares)[:, :, None]


def layer_soft_matrices(
    teacher_activation: Tensor, teacher_gradient: Tensor, student_activation: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """W_soft and S_soft between the channels of a teacher's and a student's layer, from a probe batch.

    W_soft is the correlation of the teacher's responses, gradient × activation, with the student's activations, over
    all examples and positions. S_soft = softmax of T·W_soft over the student's channels: for every teacher channel a
    soft choice among the student's. Here T *multiplies*, as in the article's code: a large T makes the choice hard.

    Args:
        teacher_activation: (N, C_big, H, W), or (N, C_big) of a dense layer.
        teacher_gradient: the gradient of what the teacher is judged by with respect to it, same shape.
        student_activation: (N, C_small, h, w) or (N, C_small); the larger maps are averaged down to the smaller grid.
        temperature: T > 0.

    Returns:
        W_soft in [−1, 1] and S_soft, whose rows sum to 1, both (C_big, C_small). A channel that never varies has
        correlation 0 with all others.

    Raises:
        CourseError: shapes do not fit, or T is not a finite number above 0.
    """
    check_positive(temperature=temperature)
    _check_layer("student_activation", student_activation)
    _check_layer("teacher_activation", teacher_activation, len(student_activation))
    _check_layer("teacher_gradient", teacher_gradient, len(student_activation))
    if teacher_gradient.shape != teacher_activation.shape:
        raise CourseError(
            f"teacher_gradient must have the shape of teacher_activation, {tuple(teacher_activation.shape)}, "
            f"got {tuple(teacher_gradient.shape)}"
        )
    check_finite(
        teacher_activation=teacher_activation,
        teacher_gradient=teacher_gradient,
        student_activation=student_activation,
    )
    gradient, activation, own = map(_as_maps, (teacher_gradient, teacher_activation, student_activation))
    # Scales do not count here, and the product of two small numbers would vanish.
    response, own = _scaled(gradient)[0] * _scaled(activation)[0], _scaled(own)[0]
    wide = torch.promote_types(response.dtype, own.dtype)
    big, small = map(_standardised, on_smaller_grid(response.to(wide), own.to(wide)))
    correlation = (big @ small.t()).clamp(-1, 1)  # (C_big, C_small)
    return correlation, (temperature * correlation).softmax(dim=1)


def layer_adapter(
    teacher_activation: Tensor, teacher_gradient: Tensor, student_activation: Tensor, temperature: float
) -> Tensor:
    """A(W_soft, S_soft) of eq. (3): predicts a teacher's channels from a student's, without learning.

    Row c is W_soft ⊙ S_soft, the sign from the correlation and the attention from the shares, with absolute values that
    sum to one. It speaks of responses of unit root mean square; the scales, measured on the probe batch, are part of
    the result, so that examples of a training batch stay independent of each other.

    Args:
        teacher_activation, teacher_gradient, student_activation, temperature: as in ``layer_soft_matrices``.

    Returns:
        (C_big, C_small), to be multiplied with the student's activations. A teacher's channel that correlates with
        nothing gets a row of zeros, and a student's channel that is always zero a column of zeros.

    Raises:
        CourseError: as in ``layer_soft_matrices``.
    """
    correlation, shares = layer_soft_matrices(
        teacher_activation, teacher_gradient, student_activation, temperature
    )
    weights = F.normalize(correlation * shares, p=1, dim=1)
    big, small = (_root_mean_square(maps) for maps in (teacher_activation, student_activation))
    return (
        big[:, None] * weights * torch.where(small > 0, 1 / small.clamp(min=torch.finfo(small.dtype).tiny), 0)
    )


def _root_mean_square(activation: Tensor) -> Tensor:
    """Of every channel over examples and positions, (channels,)."""
    maps, scale = _scaled(_as_maps(activation))
    return maps.square().mean(dim=(0, 2, 3)).sqrt() * scale[0, :, 0, 0]


def _check_layer(name: str, activation: Tensor, examples: int | None = None) -> None:
    """Refuse what is not a layer's activations, of so many examples if a number is given."""
    if isinstance(activation, Tensor):
        fits = activation.is_floating_point() and activation.ndim in (2, 4) and 0 not in activation.shape
        if fits and examples in (None, len(activation)):
            return
    came = (
        f"{activation.dtype} {tuple(activation.shape)}"
        if isinstance(activation, Tensor)
        else type(activation).__name__
    )
    number = "N ≥ 1" if examples is None else f"N = {examples}"
    raise CourseError(
        f"{name} must be floating point of shape (N, channels) or (N, channels, H, W) with {number}, got {came}"
    )


def _as_maps(activation: Tensor) -> Tensor:
    """(N, channels, H, W) in float32 or wider; a dense layer is a map of one position."""
    wide = activation.detach().to(torch.promote_types(activation.dtype, torch.float32))
    return wide if wide.ndim == 4 else wide[:, :, None, None]


def _scaled(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Every channel divided by a power of two, to numbers about 1, and the powers, (1, channels, 1, 1)."""
    scale = powers_of_two(maps.abs().amax(dim=(0, 2, 3), keepdim=True))
    return maps / scale, scale


def _standardised(maps: Tensor) -> Tensor:
    """One row per channel over all examples and positions, centred and of unit norm, (channels, N·H·W)."""
    rows = maps.transpose(0, 1).flatten(1)
    centred = rows - rows.mean(dim=1, keepdim=True)
    size, norm = rows.norm(dim=1, keepdim=True), centred.norm(dim=1, keepdim=True)
    # What is left of a constant after centring is rounding, and must not be blown up to a pattern.
    varies = norm > 1e-5 * size
    return torch.where(varies, centred / torch.where(varies, norm, 1), 0)
