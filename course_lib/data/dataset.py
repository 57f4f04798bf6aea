"""A data set in three parts that share no example."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from course_lib.data.examples import Examples
from course_lib.data.pixels import channel_statistics
from course_lib.data.splits import stratified_split
from course_lib.errors import CourseError, check_number


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
    def image_shape(self) -> tuple[int, ...]:
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
        validation: share of the images outside the test, between 0 and 1.
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
