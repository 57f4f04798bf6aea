"""Labelled examples as whole tensors: what training and measuring take, and what every subset of them still is."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from course_lib.data.pixels import channel_statistics, marks_of
from course_lib.data.splits import balanced_order
from course_lib.errors import CourseError

_KEPT = (
    2**28
)  # bytes: up to here the normalised images of a set are kept, beyond they are made batch by batch


# Without slots, so that cached_property has a place; compared by identity, as tensors have no single truth value.
@dataclass(frozen=True, eq=False, init=False)
class Examples:
    """Examples of any kind, with their labels.

    ``Examples(inputs=X, labels=Y)`` is all that is needed: X are images, features, tokens or anything else that comes
    as one tensor for each example.

    Args:
        images: (N, ...) what each example is. uint8 images (N, C, H, W) are normalised by mean and std when they are
            asked for; tensors of any other type are handed on as they are.
        labels: (N, ...) class indices, int64, one for each example or for each of its positions, with -100 where there
            is none; or floating-point numbers: shares of classes (soft labels, class sets), or values (regression).
        index: (N,) int64, position of each example in the full data set; names it across splits and subsets. Counted
            from 0 if None.
        mean: (C,) float32, of the pixels of the train split divided by 255; for uint8 images alone, and their own if
            None. Give all other sets the mean of the training images: a network must see them on the same scale.
        std: (C,) float32, likewise.
        extras: more tensors by name, each with N rows, such as the mask of padded sequences: a term takes one through
            ``course_lib.training.extra``.
        inputs: the same as ``images``, for what is not an image.

    Raises:
        CourseError: the tensors do not have these shapes and types.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    mean: Tensor | None
    std: Tensor | None
    extras: Mapping[str, Tensor]

    def __init__(
        self,
        images: Tensor | None = None,
        labels: Tensor | None = None,
        index: Tensor | None = None,
        mean: Tensor | None = None,
        std: Tensor | None = None,
        extras: Mapping[str, Tensor] | None = None,
        *,
        inputs: Tensor | None = None,
    ):
        if (images is None) == (inputs is None):
            came = "neither" if images is None else "both"
            raise CourseError(
                f"either images or inputs must be given, one tensor with a row for each example, got {came}"
            )
        images = _rows("images", images) if inputs is None else _rows("inputs", inputs)
        labels = _rows("labels", labels)
        extras = {name: _rows(name, value) for name, value in dict(extras or {}).items()}
        if index is None:
            index = torch.arange(len(images), device=images.device)
        if images.dtype == torch.uint8 and images.ndim == 4 and mean is None and std is None and len(images):
            mean, std = (each.to(images.device) for each in channel_statistics(images.cpu()))
        values = (images, labels, index, mean, std, extras)
        for field, value in zip(fields(Examples), values, strict=True):
            object.__setattr__(self, field.name, value)
        self._check()

    def _check(self) -> None:
        if self.images.dtype == torch.uint8:
            if self.images.ndim != 4:
                shape = tuple(self.images.shape)
                raise CourseError(
                    f"images must be uint8 (N, C, H, W), got {self.images.dtype} {shape}; class or token numbers are "
                    "int64, features floating-point numbers"
                )
            for name in ("mean", "std"):
                channels, shape = self.images.shape[1], tuple(getattr(self, name).shape)
                if shape != (channels,):
                    raise CourseError(f"{name} must have shape ({channels},), got {shape}")
            if self.scale[1].device.type == "cpu" and not (self.scale[1] > 0).all():
                raise CourseError(f"std must be above 0 in every channel, got {self.scale[1].tolist()}")
        elif self.mean is not None or self.std is not None:
            raise CourseError(
                f"mean and std go with uint8 images, got {self.images.dtype}: normalise such inputs beforehand"
            )
        if tuple(self.index.shape) != (len(self),):
            raise CourseError(f"index must have shape ({len(self)},), got {tuple(self.index.shape)}")
        for name, value in {"labels": self.labels, **self.extras}.items():
            if len(value) != len(self):
                wanted = f"({len(self)},) or ({len(self)}, ...)"
                raise CourseError(f"{name} must have shape {wanted}, got {tuple(value.shape)}")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} of {tuple(self.images.shape[1:])}, {self.device})"

    @property
    def device(self) -> torch.device:
        """Where all tensors lie."""
        return self.images.device

    @property
    def scale(self) -> tuple[Tensor, ...]:
        """Mean and standard deviation that images are normalised by; nothing for other inputs."""
        return () if self.mean is None or self.std is None else (self.mean, self.std)

    @property
    def pixel_scale(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation that images are normalised by, for what is made of pixels.

        Raises:
            CourseError: the examples are not uint8 images.
        """
        if self.mean is None or self.std is None:
            raise CourseError(f"examples must be uint8 images (N, C, H, W), got {self.images.dtype}")
        return self.mean, self.std

    @property
    def inputs(self) -> Tensor:
        """What a network is given, (N, ...): images normalised, float32, kept after the first time unless the set is
        large; all else as it is."""
        return self._inputs if self._is_small else self._normalise(self.images)

    def batch(self, index: Tensor | Sequence[int]) -> Tensor:
        """The inputs at ``index``.

        Args:
            index: positions in this set, from 0, of any shape: (B,) gives (B, ...), (S, B) gives (S, B, ...).

        Raises:
            CourseError: not integers, or (on a CPU) a position outside 0 to N - 1.
        """
        index = self._positions(index)
        source = self._inputs if self._is_small else self.images
        try:
            # Several times faster than fancy indexing.
            chosen = source.index_select(0, index.flatten())
        except IndexError as error:
            raise self._outside(index) from error
        chosen = chosen if self._is_small else self._normalise(chosen)
        return chosen.view(*index.shape, *self.images.shape[1:])

    def batches(self, index: Iterable[Tensor]) -> Iterator[Tensor]:
        """``batch`` for each index; a streamed set reads the next batches while the caller works on one."""
        return map(self.batch, index)

    def marks(self) -> Tensor:
        """A 64-bit mark of each example, (N,) int64, on the CPU: equal inputs have equal marks, different inputs almost
        surely different ones."""
        return marks_of(self.images)

    def spread(self, count: int) -> Tensor:
        """At least ``count`` of the inputs as they are kept, evenly spread, or all of them: they tell sets apart."""
        return self.images[:: max(1, len(self) // count)]

    def take(self, index: Tensor | Sequence[int]) -> "Examples":
        """The examples at these positions of this set, (n,), in this order.

        Raises:
            CourseError: not a list of integers, or a position outside 0 to N - 1.
        """
        index = self._positions(index)
        if index.ndim != 1:
            raise CourseError(f"index must be a list of positions (n,), got shape {tuple(index.shape)}")
        if len(index) and not (int(index.min()) >= 0 and int(index.max()) < len(self)):
            raise self._outside(index)
        return self._each(lambda values: values[index])

    def subset(self, n: int, seed: int) -> "Examples":
        """``n`` labelled examples drawn at random, balanced by class where each has one class index.

        The numbers per class differ by at most one; only where a class has too few examples the others make up
        for it. With the same seed a smaller subset lies within a larger one.

        Args:
            n: from the number of classes, or 1, to the number of examples.
            seed: another seed draws other examples.

        Raises:
            CourseError: n is out of range or not an integer, or the seed is not one.
        """
        one_class_each = self.labels.ndim == 1 and not self.labels.is_floating_point()
        kinds = self.labels.cpu() if one_class_each else torch.zeros(len(self), dtype=torch.int64)
        classes = len(kinds.unique())
        if not isinstance(n, int) or not classes <= n <= len(self):
            least = f"{classes} (one example per class)" if one_class_each else str(classes)
            raise CourseError(f"n must be an integer from {least} to {len(self)} (all), got {n!r}")
        return self.take(balanced_order(kinds, seed)[:n].sort().values)

    def to(self, device: torch.device | str) -> "Examples":
        """The same examples with all tensors on ``device``."""
        if self.device == torch.device(device):
            return self
        moved = self._each(lambda values: values.to(device))
        if self.mean is None or self.std is None:  # there are both or none
            return moved
        return replace(moved, mean=self.mean.to(device), std=self.std.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Examples":
        """The same change of everything that has a row for each example."""
        return replace(
            self,
            images=change(self.images),
            labels=change(self.labels),
            index=change(self.index),
            extras={name: change(values) for name, values in self.extras.items()},
        )

    @property
    def _is_small(self) -> bool:
        return self.mean is None or self.images.numel() * 4 <= _KEPT

    @cached_property
    def _inputs(self) -> Tensor:
        return self._normalise(self.images)

    def _normalise(self, images: Tensor) -> Tensor:
        if self.mean is None or self.std is None:
            return images
        shape = (-1, 1, 1)
        scaled = images.float().div_(255)
        return scaled.sub_(self.mean.view(shape)).div_(self.std.view(shape))

    def _positions(self, index: Tensor | Sequence[int]) -> Tensor:
        index = torch.as_tensor(index, device=self.device)
        if index.numel() and (index.is_floating_point() or index.dtype == torch.bool):
            raise CourseError(f"index must hold integers, got {index.dtype}")
        return index.long()

    def _outside(self, index: Tensor) -> CourseError:
        return CourseError(
            f"index must hold positions from 0 to {len(self) - 1}, "
            f"got {int(index.min())} to {int(index.max())}"
        )


def check_examples(examples: object) -> None:
    """Refuse what is not ``Examples``, such as a pair of tensors or a data set of PyTorch's."""
    if not isinstance(examples, Examples):
        raise CourseError(
            f"examples must be course_lib.data.Examples, got {type(examples).__name__}: Examples(inputs=X, labels=Y) "
            "makes them of tensors, from_dataset of a PyTorch data set"
        )


def _rows(name: str, value: object) -> Tensor:
    """The value, refused if it is not a tensor with a row for each example."""
    if not isinstance(value, Tensor) or not value.ndim:
        came = "a single number" if isinstance(value, Tensor) else type(value).__name__
        raise CourseError(f"{name} must be a tensor with a row for each example, got {came}")
    return value
