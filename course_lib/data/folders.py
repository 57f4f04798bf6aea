"""Your own pictures and data sets, read once into whole tensors."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset as Source

from course_lib.data.dataset import Dataset, assemble
from course_lib.data.examples import Examples
from course_lib.data.reading import Reader, unlike
from course_lib.data.splits import stratified_split
from course_lib.errors import CourseError, check_count, check_number
from course_lib.progress import progress_bar

_PARTS = ("train", "validation", "test")
_BATCH = 64


def from_folder(
    path: str | Path,
    size: int = 32,
    *,
    shares: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    workers: int = 0,
    progress: bool = True,
) -> Dataset:
    """Pictures in a folder for each class, as ``load`` gives a data set.

    Args:
        path: a folder with ``<class>/<picture>``, which is split at random; or with ``train/<class>/<picture>``,
            ``test/…`` and perhaps ``validation/…``, which stay apart; without ``validation``, a part of ``train`` is
            set aside.
        size: of the square that every picture becomes, in pixels: shrunk or enlarged to fit with its shorter side,
            then cut to its middle. Pictures are read as colours, (3, size, size).
        shares: of the pictures that go to train, validation and test; with a folder ``test``, only the ratio of the
            first two counts.
        seed: of the split.
        workers: processes that read; 0 reads in this one.
        progress: show a bar where a person can see it.

    Raises:
        CourseError: there is no such folder or no picture in it, a picture cannot be read, or a class is too small to
            have an example in each part.

    Examples:
        >>> pictures = data.from_folder("photographs", size=32)  # photographs/cat/1.png, photographs/dog/1.png, ...
        >>> pictures.classes, pictures.train.images.shape[1:]
        (('cat', 'dog'), torch.Size([3, 32, 32]))
    """
    from course_lib._torchvision import torchvision  # a slow import

    path = Path(path)
    check_count(size=size)
    for share in shares:
        check_number("a number between 0 and 1", lambda value: 0 < value < 1, shares=share)
    fit = torchvision.transforms.Compose(
        [torchvision.transforms.Resize(size), torchvision.transforms.CenterCrop(size)]
    )
    if not (path / "train").is_dir():
        found = _pictures(path, fit, workers, progress)
        return assemble(
            path.name, path.name, found[1], *found[0], _split(found[0][1], shares, seed, found[1])
        )
    kept = {part: _pictures(path / part, fit, workers, progress) for part in _PARTS if (path / part).is_dir()}
    if "test" not in kept:
        raise CourseError(f"{path} must have a folder test beside train, or one folder for each class")
    classes = kept["train"][1]
    if others := [part for part, (_, names) in kept.items() if names != classes]:
        raise CourseError(f"{path / others[0]} must have the classes of train, {', '.join(classes)}")
    images, labels = (torch.cat([kept[part][0][place] for part in kept]) for place in (0, 1))
    return assemble(path.name, path.name, classes, images, labels, _kept_parts(kept, shares, seed))


def from_dataset(dataset: Source, *, workers: int = 0, progress: bool = True) -> Examples:
    """All examples of a PyTorch data set, such as torchvision's with their transforms, read once.

    Args:
        dataset: has a length and gives (input, label): PIL pictures or uint8 tensors (C, H, W) of one size, or other
            tensors or numbers of one shape; its own transform can bring them to one. Pixels that a transform has made
            floating-point numbers are taken as they are.
        workers: processes that read; 0 reads in this one.
        progress: show a bar where a person can see it.

    Raises:
        CourseError: it has no examples, an example is not such a pair, or their shapes differ.

    Examples:
        >>> pairs = [(torch.rand(5), 0), (torch.rand(5), 1)]
        >>> data.from_dataset(pairs, progress=False).inputs.shape
        torch.Size([2, 5])
    """
    reader, parts, filled = Reader(dataset, workers), [], 0
    rows = (some.tolist() for some in torch.arange(len(reader)).split(_BATCH))
    with progress_bar("Reading", len(reader), progress) as advance:
        for part in reader.parts(rows):
            parts.append(part)
            if error := unlike(part.first, parts[0].first, filled):
                raise error
            filled += len(part.labels)
            advance(len(part.labels))
    inputs, labels, _ = (torch.cat(each) for each in zip(*parts, strict=True))
    return Examples(inputs=inputs, labels=labels)


def _pictures(
    path: Path, fit: Callable, workers: int, progress: bool
) -> tuple[tuple[Tensor, Tensor], list[str]]:
    """Images and labels of the folders of classes, and the classes' names."""
    from course_lib._torchvision import torchvision  # a slow import

    if not path.is_dir():
        raise CourseError(f"path must be a folder of pictures, got {path}")
    try:
        found = torchvision.datasets.ImageFolder(path, transform=fit, loader=_open)
    except FileNotFoundError as error:
        raise CourseError(f"{path} must hold a folder of pictures for each class: {error}") from error
    examples = from_dataset(found, workers=workers, progress=progress)
    return (examples.images, examples.labels), found.classes


def _open(path: str) -> Image.Image:
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except OSError as error:
        raise CourseError(f"{path} cannot be read as a picture: {error}") from error


def _split(labels: Tensor, shares: Sequence[float], seed: int, classes: Sequence[str]) -> list[Tensor]:
    """Positions of the parts, with the same shares of the classes."""
    total = sum(shares)
    others = [round(share / total * len(labels)) for share in shares[1:]]
    sizes = [len(labels) - sum(others), *others]
    fewest = int(labels.bincount(minlength=len(classes)).min())
    if min(sizes) < len(classes) or fewest < len(sizes):
        raise CourseError(
            f"each of the {len(classes)} classes needs a picture in each of {len(sizes)} parts, got {len(labels)} "
            f"pictures, with {fewest} in the smallest class"
        )
    return stratified_split(labels, sizes, seed)


def _kept_parts(kept: dict[str, Any], shares: Sequence[float], seed: int) -> list[Tensor]:
    """Positions of train, validation and test where the folders say which is which."""
    ends, start = {}, 0
    for part, ((_, labels), _names) in kept.items():
        ends[part] = torch.arange(start, start + len(labels))
        start += len(labels)
    if "validation" not in ends:
        (_, labels), names = kept["train"]
        chosen = _split(labels, shares[:2], seed, names)
        ends["validation"], ends["train"] = ends["train"][chosen[1]], ends["train"][chosen[0]]
    return [ends[part] for part in _PARTS]
