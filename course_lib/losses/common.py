"""What the losses share: checks that answer a wrong call in one sentence, and numerically safe logarithms."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

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


NO_LABEL = -100  # as in PyTorch: an example, or a position, whose class is unknown


def class_dimension(logits: Tensor) -> int:
    """Where the classes of logits are: (N, C) and (N, L, C) have them last, maps (N, C, H, W) after the examples."""
    return 1 if logits.ndim == 4 else logits.ndim - 1


def check_outputs(**logits: Tensor) -> None:
    """Refuse logits that are not floating point of one shape (N, C), (N, L, C) or (N, C, H, W) with C ≥ 2."""
    for value in logits.values():
        if isinstance(value, Tensor) and value.ndim in (3, 4):
            break
    else:
        return check_logits(columns=2, **logits)
    first_name, first = next(iter(logits.items()))
    for name, value in logits.items():
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.shape != first.shape:
            came = (
                f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            )
            raise CourseError(
                f"{name} must be a floating-point tensor of the shape of {first_name}, {tuple(first.shape)}, got {came}"
            )
    if not first.shape[0] or first.shape[class_dimension(first)] < 2:
        raise CourseError(
            f"{first_name} must have shape (N, C), (N, L, C) or (N, C, H, W) with N ≥ 1 and C ≥ 2, got "
            f"{tuple(first.shape)}"
        )
    return None


def classes_first(logits: Tensor) -> Tensor:
    """(N, C) to (C, N), (N, L, C) to (C, N, L), (N, C, H, W) to (C, N, H, W), in float32 or wider."""
    return at_least_float32(logits).movedim(class_dimension(logits), 0)


def log_shares(logits: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """log softmax(z/T) with the classes first, (C, N, ...).

    PyTorch's CPU kernel is several times slower along a short last dimension than along an earlier one, and with ten
    classes this is most of a small student's step.
    """
    return (classes_first(logits) / temperature).log_softmax(dim=0)


def mean_over(values: Tensor, mask: Tensor | None) -> Tensor:
    """The mean of the values, (N, ...), where the mask is true; 0 where it is so nowhere.

    Written so that ``torch.vmap`` can take it.
    """
    if mask is None:
        return values.mean()
    return torch.where(mask, values, 0).sum() / mask.sum().clamp(min=1)


def check_mask(mask: Tensor | None, logits: Tensor) -> None:
    """Refuse a mask that is not true or false for every position of the logits."""
    if mask is None:
        return
    expected = positions_of(logits)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or tuple(mask.shape) != expected:
        came = f"{mask.dtype} {tuple(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise CourseError(f"mask must be a torch.bool tensor of shape {expected}, got {came}")


def positions_of(logits: Tensor) -> tuple[int, ...]:
    """The shape of the logits without the classes."""
    place = class_dimension(logits)
    return tuple(size for dimension, size in enumerate(logits.shape) if dimension != place)


def check_labels(labels: Tensor, student_logits: Tensor, *, soft: bool = False) -> None:
    """Refuse labels that are not class indices, one per position of the logits, or, if ``soft``, shares of classes.

    Whether an index is below C shows where the label is looked up (``at_labels``): looking at values before would wait
    for the GPU at every step.
    """
    expected = positions_of(student_logits)
    if isinstance(labels, Tensor):
        if labels.dtype == torch.int64 and tuple(labels.shape) == expected:
            return
        if soft and labels.is_floating_point() and labels.shape == student_logits.shape:
            return
    came = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
    shares = f", or shares of the classes of shape {tuple(student_logits.shape)}" if soft else ""
    raise CourseError(f"labels must be torch.int64 class indices of shape {expected}{shares}, got {came}")


def at_labels(values: Tensor, labels: Tensor) -> Tensor:
    """Of values for each class, (C, N, ...), those of the labels, (N, ...).

    Raises:
        CourseError: a label is not a class; on a GPU it is PyTorch that stops, with an error of the device.
    """
    with _classes_below(len(values)):
        return values.gather(0, labels.unsqueeze(0)).squeeze(0)


def one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    """1 at each label's class, else 0, in the shape (N, C) and precision of the logits; errors as ``at_labels``.

    Unlike PyTorch's ``one_hot`` it does not make a GPU wait.
    """
    with _classes_below(logits.shape[1]):
        return torch.zeros_like(logits).scatter(1, labels[:, None], 1)


@contextmanager
def _classes_below(number: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if "out of bounds" not in str(error):
            raise
        raise CourseError(
            f"labels must be classes from 0 to {number - 1}, got one that is not ({error})"
        ) from error


def can_be_seen(value: Tensor) -> bool:
    """Whether a value can be looked at for nothing.

    Not on a GPU, which would have to be waited for, nor under ``torch.vmap``, nor where a step is recorded.
    """
    recorded = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None
    stacked = torch._C._functorch.is_batchedtensor(value)  # pyright: ignore[reportAttributeAccessIssue]
    return value.device.type == "cpu" and not recorded and not stacked


def numbers_seen(**values: float | Tensor) -> dict[str, object]:
    """What can be seen of arguments that must be single numbers: a tensor's value, or nothing of it.

    Raises:
        CourseError: a tensor of several numbers.
    """
    for name, value in values.items():
        if isinstance(value, Tensor) and value.ndim:
            raise CourseError(f"{name} must be a single number, got a tensor of shape {tuple(value.shape)}")
    return {
        name: value.item() if isinstance(value, Tensor) else value
        for name, value in values.items()
        if not isinstance(value, Tensor) or can_be_seen(value)
    }


def check_positive(**values: float | Tensor) -> None:
    """Refuse a number that is not finite and above zero.

    A tensor on a GPU, or under ``torch.vmap``, passes unseen (``fit_many`` checks it before).
    """
    errors.check_positive(**numbers_seen(**values))


def check_finite(**values: Tensor) -> None:
    """Refuse NaN and infinity where they can be seen."""
    for name, value in values.items():
        if not can_be_seen(value) or math.isfinite(value.detach().sum()):  # one fast look at all of them
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
    height, width = (min(sides) for sides in zip(first.shape[2:], second.shape[2:], strict=True))
    grid = (height, width)
    return F.adaptive_avg_pool2d(first, grid), F.adaptive_avg_pool2d(second, grid)


def powers_of_two(largest: Tensor) -> Tensor:
    """The largest power of two up to each number, 1 for zero and what is too small for full precision.

    To divide by, so that squares neither overflow nor vanish: a division by a power of two rounds nothing.
    """
    is_zero = largest < torch.finfo(largest.dtype).tiny
    return torch.where(is_zero, 1, largest / (2 * torch.frexp(largest).mantissa))


def at_least_float32(logits: Tensor) -> Tensor:
    """Half precision loses the small probabilities that distillation is about: compute in float32 or wider."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def log_softmax(logits: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """log softmax(z/T) over the classes of logits z, (N, C) → (N, C), in float32 or wider."""
    return log_shares(logits, temperature).t()
