"""What the losses share: checks that answer a wrong call in one sentence, and numerically safe logarithms."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib import errors
from course_lib.errors import CourseError


def check_logits(*, columns: int = 2, **logits: Tensor) -> None:
    """Refuse logits that are not floating point of one shape (N, C) with N ≥ 1 and C ≥ ``columns``."""
    first_name, first = next(iter(logits.items()))
    for name, value in logits.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            came = f"{value.dtype} tensor" if isinstance(value, Tensor) else type(value).__name__
            raise CourseError(f"{name} must be a floating-point tensor of shape (N, C), got {came}")
        if value.ndim != 2 or value.shape[0] < 1 or value.shape[1] < columns:
            wanted = f"(N, C) with N ≥ 1 and C ≥ {columns}"
            raise CourseError(f"{name} must have shape {wanted}, got {tuple(value.shape)}")
        if value.shape != first.shape:
            raise CourseError(
                f"{name} must have the shape of {first_name}, {tuple(first.shape)}, got {tuple(value.shape)}"
            )


def check_labels(labels: Tensor, student_logits: Tensor) -> None:
    """Refuse labels that are not class indices, one per row of the logits.

    Whether an index is below C is left to PyTorch: looking at values would wait for the GPU at every step.
    """
    expected = tuple(student_logits.shape[:1])
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or tuple(labels.shape) != expected:
        came = (
            f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        )
        raise CourseError(f"labels must be torch.int64 class indices of shape {expected}, got {came}")


def check_positive(**values: float | Tensor) -> None:
    """Refuse a number that is not finite and above zero.

    A tensor passes unseen: under ``torch.vmap`` its value cannot be looked at (``fit_many`` checks it before).
    """
    errors.check_positive(**{name: value for name, value in values.items() if not isinstance(value, Tensor)})


def check_finite(**values: Tensor) -> None:
    """Refuse NaN and infinity on a CPU; elsewhere looking would wait for the device at every step."""
    for name, value in values.items():
        if value.device.type != "cpu" or math.isfinite(value.detach().sum()):  # one fast look at all of them
            continue
        if not torch.isfinite(value).all():
            raise CourseError(
                f"{name} must hold finite numbers, got {float(value.detach()[~torch.isfinite(value)][0])}: "
                "look for bad values in the inputs, or lower the learning rate"
            )


def on_smaller_grid(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both maps (N, C, H, W), the larger one averaged down to the smaller grid."""
    if first.shape[2:] == second.shape[2:]:  # pooling would cost a layer's loss half of its time
        return first, second
    grid = [min(sides) for sides in zip(first.shape[2:], second.shape[2:], strict=True)]
    return F.adaptive_avg_pool2d(first, grid), F.adaptive_avg_pool2d(second, grid)


def at_least_float32(logits: Tensor) -> Tensor:
    """Half precision loses the small probabilities that distillation is about: compute in float32 or wider."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def log_softmax(logits: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """log softmax(z/T) over the classes of logits z, (N, C) → (N, C), in float32 or wider.

    PyTorch's CPU kernel is several times slower along a short last dimension than along an earlier one, and with
    ten classes this is most of a small student's step: so the classes go first, (C, N), and back.
    """
    return (at_least_float32(logits).t() / temperature).log_softmax(dim=0).t()
