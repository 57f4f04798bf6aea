"""The data sets by name: load one, list them all, fetch or verify one."""

import difflib
from dataclasses import dataclass
from pathlib import Path

from course_lib.data import cifar10, digits
from course_lib.data.dataset import Dataset, resplit
from course_lib.data.download import download
from course_lib.data.places import Root, data_root
from course_lib.data.splits import check_seed
from course_lib.errors import CourseError

NAMES = ("digits", "cifar10")
_EMBEDDED = "embedded in scikit-learn"


@dataclass(frozen=True)
class Record:
    """Where a data set is.

    Attributes:
        name: for ``load``.
        ready: whether it can be loaded without a download.
        where: where it is, or why it is not there.
        fix: how to get it; empty where it is ready.
        required: whether the course runs at all without it.
    """

    name: str
    ready: bool
    where: str
    fix: str = ""
    required: bool = False

    def __str__(self) -> str:
        return f"{self.name} is ready: {self.where}"


@dataclass(frozen=True)
class Verified:
    """A data set that was read again and found complete.

    Attributes:
        name: for ``load``.
        title: what to call it in a text.
        where: where it is.
        examples: number of images.
        sha256: hash of labels and pixels, to compare with that of another copy.
    """

    name: str
    title: str
    where: str
    examples: int
    sha256: str

    def __str__(self) -> str:
        return f"{self.title} is complete, {self.examples} images, SHA-256 of the pixels {self.sha256}: {self.where}"


def load(
    name: str = "digits",
    *,
    seed: int = 0,
    root: str | Path | None = None,
    validation: float | None = None,
) -> Dataset:
    """A data set with its train, validation and test parts.

    "digits" has 1200, 200 and 397 images of 1×8×8, all drawn by the seed. "cifar10" has 45000, 5000 and the official
    10000 test images of 3×32×32; the first two are drawn from the official training images by the seed. All draws
    keep the shares of the classes. CIFAR-10 is decoded once and then read from a cache; where neither ``root`` nor
    COURSE_DATA names a copy and the course's data folder has none, it is downloaded.

    Args:
        name: "digits" or "cifar10".
        seed: of the split.
        root: a copy of CIFAR-10 or a folder with one; by default what COURSE_DATA names, else the course's ``data/``.
        validation: share of the images outside the test to set aside for validation, between 0 and 1; the numbers
            above if None.

    Raises:
        CourseError: no such name, a seed or a share out of range, or a copy that is missing, damaged or incomplete.

    Examples:
        >>> digits = data.load("digits", seed=0)
        >>> len(digits.train), len(digits.validation), len(digits.test)
        (1200, 200, 397)
    """
    _check_name(name)
    check_seed(seed)
    if name == "digits":
        dataset = digits.load_digits(seed)
    else:
        place = data_root(root)
        dataset = cifar10.build(cifar10.prepare(place, _copy(place)), seed)
    return dataset if validation is None else resplit(dataset, validation, seed)


def available(root: str | Path | None = None) -> list[Record]:
    """One record for each data set; looks for the copies without reading them."""
    return [Record("digits", True, _EMBEDDED, required=True), _cifar10_record(data_root(root))]


def fetch(name: str, *, root: str | Path | None = None, progress: bool = True) -> Record:
    """Make a data set ready: download it where there is no copy, and decode it into the cache.

    Raises:
        CourseError: as ``load``.
    """
    _check_name(name)
    if name == "digits":
        return available()[0]
    place = data_root(root)
    cifar10.prepare(place, _copy(place, progress), progress=progress)
    return _cifar10_record(place)


def verify(name: str, *, root: str | Path | None = None, progress: bool = True) -> Verified:
    """Read a data set again, past the cache, and check that it is complete; downloads nothing.

    Raises:
        CourseError: it is missing, damaged or incomplete.
    """
    _check_name(name)
    if name == "digits":
        found, where = digits.read(), _EMBEDDED
    else:
        copy = cifar10.find(data_root(root))
        found, where = cifar10.read(copy, progress=progress), str(copy)
    return Verified(name, found.title, where, len(found.labels), found.sha256())


def _copy(root: Root, progress: bool = True) -> Path:
    """The copy in a root; downloaded if there is none in the course's own folder."""
    if not root.named_by and not cifar10.is_there(root):
        return download(root.path, progress=progress)
    return cifar10.find(root)


def _cifar10_record(root: Root) -> Record:
    try:
        return Record("cifar10", True, str(cifar10.find(root)))
    except CourseError as error:
        fix = "course data fetch cifar10, or name a copy with COURSE_DATA"
        if root.named_by:
            fix = f"Let {root.named_by} name a copy, or leave it unset: course data fetch cifar10 then downloads one"
        return Record("cifar10", False, str(error), fix)


def _check_name(name: str) -> None:
    if name in NAMES:
        return
    close = difflib.get_close_matches(str(name).lower(), NAMES, n=1, cutoff=0.5)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    raise CourseError(f"name must be one of {', '.join(map(repr, NAMES))}, got {name!r}{guess}")
