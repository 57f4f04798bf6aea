"""CIFAR-10 from wherever it is: downloaded, or a local copy in one of the forms that people have it in."""

import hashlib
import pickle
import warnings
from pathlib import Path, PurePosixPath

import torch

from course_lib.data import store
from course_lib.data.archive import SUFFIXES, read_archive
from course_lib.data.dataset import Dataset, assemble
from course_lib.data.pictures import (
    PARTS,
    Picture,
    arrange,
    as_picture,
    decode,
    find_pictures,
    is_picture,
    picture_paths,
)
from course_lib.data.places import VARIABLE, Root, cache_folder
from course_lib.data.splits import stratified_split
from course_lib.data.store import Decoded
from course_lib.errors import CourseError

TITLE = "CIFAR-10"
ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
PER_CLASS = {"train": 5000, "test": 1000}  # images of each class
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# SHA-256 of the official files, which torchvision knows by MD5 only.
OFFICIAL = {
    "data_batch_1": "54636561a3ce25bd3e19253c6b0d8538147b0ae398331ac4a2d86c6d987368cd",
    "data_batch_2": "766b2cef9fbc745cf056b3152224f7cf77163b330ea9a15f9392beb8b89bc5a8",
    "data_batch_3": "0f00d98ebfb30b3ec0ad19f9756dc2630b89003e10525f5e148445e82aa6a1f9",
    "data_batch_4": "3f7bb240661948b8f4d53e36ec720d8306f5668bd0071dcb4e6c947f78e9682b",
    "data_batch_5": "d91802434d8376bbaeeadf58a737e3a1b12ac839077e931237e0dcd43adcb154",
    "test_batch": "f53d8d457504f7cff4ea9e021afcf0e0ad8e24a91f3fc42091b8adef61157831",
}
_BATCH_FILES = tuple(OFFICIAL)
_SIZE = (32, 32)
_PICTURE_LIMIT, _BATCH_LIMIT, _TOTAL_LIMIT = 2**20, 2**26, 2**29  # bytes; far above the real ones
_FORMS = f"{ARCHIVE}, its folder {FOLDER}, or train/<class>/ and test/<class>/ with JPEG or PNG images, or a tar of it"


def build(decoded: Decoded, seed: int) -> Dataset:
    """Train and validation, 9 : 1, are drawn from the training images by the seed; the test images stay together."""
    labels = decoded.labels
    cut = PER_CLASS["train"] * len(CLASSES)
    train, validation = stratified_split(labels[:cut], (cut - cut // 10, cut // 10), seed)
    parts = (train, validation, torch.arange(cut, len(labels)))
    return assemble("cifar10", decoded.title, CLASSES, decoded.images, labels, parts)


def find(root: Root) -> Path:
    """The copy of CIFAR-10 in a root.

    Raises:
        CourseError: there is none, or several, or the root does not exist or cannot be read.
    """
    try:
        if not root.path.exists():
            raise CourseError(
                f"{root} does not exist; it must be {_FORMS}, or a folder that holds one of these"
            )
        copies = _copies(root.path)
    except OSError as error:
        raise CourseError(f"{root} cannot be read ({error})") from error
    if not copies and root.path.is_file():
        raise CourseError(f"{root} is not an archive: its name must end in {', '.join(SUFFIXES)}")
    if not copies:
        raise CourseError(f"{root} holds no copy of CIFAR-10, that is {_FORMS} with cifar in its name")
    if len(copies) > 1:
        names = ", ".join(path.name for path in copies)
        raise CourseError(
            f"{root} holds several copies of CIFAR-10 ({names}): name one of them with {VARIABLE}"
        )
    return copies[0]


def is_there(root: Root) -> bool:
    """Whether there is a copy, or several."""
    return bool(_copies(root.path))


def _copies(path: Path) -> list[Path]:
    if _is_copy(path):
        return [path]
    official = [path / name for name in (ARCHIVE, FOLDER) if _is_copy(path / name)]
    if official or not path.is_dir():
        return official[:1]
    return [each for each in sorted(path.iterdir()) if "cifar" in each.name.lower() and _is_copy(each)]


def _is_copy(path: Path) -> bool:
    if path.is_file():
        return path.name.endswith(SUFFIXES)
    return (path / _BATCH_FILES[0]).is_file() or all((path / part).is_dir() for part in PARTS)


def prepare(root: Root, source: Path, *, progress: bool = True) -> Decoded:
    """All images of a copy: from the cache if it was made from this very copy, else decoded and cached."""
    folder = cache_folder(root)
    if folder is None:
        return read(source, progress=progress)
    key = store.source_key(source, _files(source))
    path = store.cache_path(folder, source)
    decoded = store.read(path, key, (sum(PER_CLASS.values()) * len(CLASSES), 3, *_SIZE))
    if decoded is None:
        decoded = read(source, progress=progress)
        try:
            store.write(path, decoded, key)
        except CourseError as error:
            warnings.warn(f"CIFAR-10 is decoded again each time: {error}", stacklevel=2)
    return decoded


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    batches = [source / name for name in _BATCH_FILES if (source / name).is_file()]
    return batches or sorted(picture_paths(source))


def read(source: Path, *, progress: bool = True) -> Decoded:
    """Read, check and decode a copy, whatever its form.

    Raises:
        CourseError: it is damaged, incomplete, or has something unexpected in it.
    """
    batches: dict[str, bytes | Path]
    if source.is_file():
        found = read_archive(source, _size_limit, _TOTAL_LIMIT, progress=progress)
        batches = {name.name: content for name, content in found.items() if name.name in _BATCH_FILES}
        pictures = [as_picture(name, content) for name, content in found.items() if is_picture(name)]
    else:
        batches = {name: (source / name) for name in _BATCH_FILES if (source / name).is_file()}
        pictures = [] if batches else find_pictures(source)
    if batches:
        return _read_batches(batches, source)
    if not pictures:
        raise CourseError(f"{source} holds no image of CIFAR-10; it must be {_FORMS}")
    return _read_pictures(pictures, source, progress)


def _size_limit(name: PurePosixPath) -> int:
    if is_picture(name):
        return _PICTURE_LIMIT
    return _BATCH_LIMIT if name.name in _BATCH_FILES else 0


def _read_pictures(pictures: list[Picture], source: Path, progress: bool) -> Decoded:
    ordered, labels = arrange(pictures, CLASSES, PER_CLASS, source)
    pixels, formats = decode(ordered, _SIZE, source, progress=progress)
    kind = "JPEG" if "JPEG" in formats else "PNG"
    return Decoded(f"{TITLE} ({kind} copy)", torch.from_numpy(pixels), torch.from_numpy(labels))


def _read_batches(batches: dict[str, bytes | Path], source: Path) -> Decoded:
    missing = [name for name in _BATCH_FILES if name not in batches]
    if missing:
        raise CourseError(f"{source} lacks {', '.join(missing)}: copy or download it again")
    pixels, labels = [], []
    for name in _BATCH_FILES:
        content = batches.pop(name)
        content = _bytes_of(content) if isinstance(content, Path) else content
        # Checked before it is unpickled: a pickle from elsewhere could run any program.
        if hashlib.sha256(content).hexdigest() != OFFICIAL[name]:
            raise CourseError(
                f"{source} holds a {name} that is not the official file: copy or download it again"
            )
        batch = pickle.loads(content, encoding="latin1")
        pixels.append(torch.from_numpy(batch["data"]).view(-1, 3, *_SIZE))
        labels += batch["labels"]
    return Decoded(TITLE, torch.cat(pixels), torch.tensor(labels))


def _bytes_of(path: Path) -> bytes:
    """The content of a file, or as much of it as the official file may have: a sparse file can claim any size."""
    with path.open("rb") as file:
        return file.read(_BATCH_LIMIT)
