"""Labelled images as whole tensors: what training and measuring take, and what every subset of them still is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from course_lib.data.splits import balanced_order, stratified_split
from course_lib.errors import CourseError, check_number

_KEPT = (
    2**28
)  # bytes: up to here the normalised images of a set are kept, beyond they are made batch by batch


# Without slots, so that cached_property has a place; compared by identity, as tensors have no single truth value.
@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled images with what is needed to normalise them.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, class indices.
        index: (N,) int64, position of each example in the full data set; names it across splits and subsets.
        mean: (C,) float32, of the pixels of the train split divided by 255.
        std: (C,) float32, likewise.

    Raises:
        CourseError: the tensors do not have these shapes and types.
    """

    images: Tensor
    labels: Tensor
    index: Tensor
    mean: Tensor
    std: Tensor

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            shape = tuple(self.images.shape)
            raise CourseError(f"images must be uint8 (N, C, H, W), got {self.images.dtype} {shape}")
        count, channels = self.images.shape[:2]
        wanted = {"labels": count, "index": count, "mean": channels, "std": channels}
        for name, length in wanted.items():
            shape = tuple(getattr(self, name).shape)
            if shape != (length,):
                raise CourseError(f"{name} must have shape ({length},), got {shape}")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Examples({len(self)} of {tuple(self.images.shape[1:])}, {self.images.device})"

    @property
    def inputs(self) -> Tensor:
        """All images normalised, (N, C, H, W) float32; kept after the first time unless the set is large."""
        return self._inputs if self._is_small else self._normalise(self.images)

    def batch(self, index: Tensor | Sequence[int]) -> Tensor:
        """Normalised images at ``index``, float32.

        Args:
            index: positions in this set, from 0, of any shape: (B,) gives (B, C, H, W), (S, B) gives (S, B, C, H, W).

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
        return replace(self, images=self.images[index], labels=self.labels[index], index=self.index[index])

    def subset(self, n: int, seed: int) -> "Examples":
        """``n`` labelled examples drawn at random, balanced by class.

        The numbers per class differ by at most one; only where a class has too few examples the others make up
        for it. With the same seed a smaller subset lies within a larger one.

        Args:
            n: from the number of classes to the number of examples.
            seed: another seed draws other examples.

        Raises:
            CourseError: n is out of range or not an integer, or the seed is not one.
        """
        classes = len(self.labels.unique())
        if not isinstance(n, int) or not classes <= n <= len(self):
            raise CourseError(
                f"n must be an integer from {classes} (one example per class) to {len(self)} (all), got {n!r}"
            )
        order = balanced_order(self.labels.cpu(), seed)
        return self.take(order[:n].sort().values)

    def to(self, device: torch.device | str) -> "Examples":
        """The same examples with all tensors on ``device``."""
        if self.images.device == torch.device(device):
            return self
        return Examples(*(getattr(self, name).to(device) for name in self.__dataclass_fields__))

    @property
    def _is_small(self) -> bool:
        return self.images.numel() * 4 <= _KEPT

    @cached_property
    def _inputs(self) -> Tensor:
        return self._normalise(self.images)

    def _normalise(self, images: Tensor) -> Tensor:
        shape = (-1, 1, 1)
        scaled = images.float().div_(255)
        return scaled.sub_(self.mean.view(shape)).div_(self.std.view(shape))

    def _positions(self, index: Tensor | Sequence[int]) -> Tensor:
        index = torch.as_tensor(index, device=self.images.device)
        if index.numel() and (index.is_floating_point() or index.dtype == torch.bool):
            raise CourseError(f"index must hold integers, got {index.dtype}")
        return index.long()

    def _outside(self, index: Tensor) -> CourseError:
        return CourseError(
            f"index must hold positions from 0 to {len(self) - 1}, "
            f"got {int(index.min())} to {int(index.max())}"
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set split in three parts that share no example.

    Attributes:
        name: as given to ``load``.
        title: what to call it in a text; a copy that differs from the original says so.
        classes: name of each class, in the order of the labels.
        train: for fitting; its pixels give mean and std.
        validation: for choosing settings.
        test: to be read once, at the end.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    train: Examples
    validation: Examples
    test: Examples

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        return tuple(self.train.images.shape[1:])

    @property
    def num_classes(self) -> int:
        return len(self.classes)


def assemble(
    name: str, title: str, classes: Sequence[str], images: Tensor, labels: Tensor, parts: Sequence[Tensor]
) -> Dataset:
    """A data set from all its images (N, C, H, W) and labels (N,), and the positions of its three parts."""
    train = images[parts[0]]
    mean, std = channel_statistics(train)
    pictures = [train, *(images[part] for part in parts[1:])]
    examples = [Examples(x, labels[part], part, mean, std) for x, part in zip(pictures, parts, strict=True)]
    return Dataset(name, title, tuple(classes), *examples)


def resplit(dataset: Dataset, validation: float, seed: int) -> Dataset:
    """The same data set with another share set aside for validation; the test images stay what they are.

    Args:
        dataset: as loaded.
        validation: share of the images that are not for the test, between 0 and 1.
        seed: of the new split, which keeps the shares of the classes.

    Raises:
        CourseError: not a share, or one that leaves a part without an image of each class.
    """
    check_number("a number between 0 and 1", lambda value: 0 < value < 1, validation=validation)
    parts = (dataset.train, dataset.validation)
    images, labels, index = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("images", "labels", "index")
    )
    size = round(validation * len(labels))
    if not dataset.num_classes <= size <= len(labels) - dataset.num_classes:
        raise CourseError(
            f"validation must leave an image of each of the {dataset.num_classes} classes on both sides, got "
            f"{validation!r} of {len(labels)} images"
        )
    order = index.argsort()  # so that the split does not depend on the one before
    kept, aside = (order[part] for part in stratified_split(labels[order], (len(labels) - size, size), seed))
    mean, std = channel_statistics(images[kept])
    train, held_out = (Examples(images[part], labels[part], index[part], mean, std) for part in (kept, aside))
    test = replace(dataset.test, mean=mean, std=std)
    return replace(dataset, train=train, validation=held_out, test=test)


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of pixel / 255 per channel, (C,) each, over all images and positions.

    From the counts of the 256 values: exact, and without a float copy of the images.
    """
    values = torch.arange(256, dtype=torch.float64) / 255
    counts = torch.stack([_histogram(images[:, channel]) for channel in range(images.shape[1])])  # (C, 256)
    shares = counts / counts.sum(dim=1, keepdim=True)
    mean = shares @ values
    std = (shares * (values - mean[:, None]) ** 2).sum(dim=1).sqrt()
    # A channel of one colour has no spread: one grey level keeps the division finite.
    return mean.float(), std.clamp(min=1 / 255).float()


def _histogram(pixels: Tensor) -> Tensor:
    counts = torch.zeros(256, dtype=torch.float64)
    for part in pixels.split(8192):
        counts += part.flatten().bincount(minlength=256)
    return counts
