"""Image files in folders, ``train/<class>/`` and ``test/<class>/``: found, checked, and decoded once into one array."""

import io
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from course_lib.errors import CourseError
from course_lib.progress import progress_bar

PARTS = ("train", "test")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_CHUNK = 500


@dataclass(frozen=True)
class Picture:
    """One image file: its part ("train" or "test"), class and file name, and its bytes or where they are."""

    part: str
    class_name: str
    name: str
    content: bytes | Path

    def __str__(self) -> str:
        return f"{self.part}/{self.class_name}/{self.name}"


def is_picture(name: PurePath) -> bool:
    """Whether this is ``…/train/<class>/<image>`` or ``…/test/<class>/<image>``; hidden files are not."""
    return (
        len(name.parts) >= 3
        and name.parts[-3] in PARTS
        and name.suffix.lower() in _SUFFIXES
        and not name.name.startswith(".")
    )


def find_pictures(folder: Path) -> list[Picture]:
    """All image files of a folder that holds train/<class>/ and test/<class>/."""
    return [as_picture(path, path) for path in picture_paths(folder)]


def picture_paths(folder: Path) -> list[Path]:
    """Where the image files are that ``find_pictures`` finds."""
    return [path for part in PARTS for path in (folder / part).glob("*/*") if is_picture(path)]


def as_picture(name: PurePath, content: bytes | Path) -> Picture:
    part, class_name, file = name.parts[-3:]
    return Picture(part, class_name, file, content)


def arrange(
    pictures: Iterable[Picture], classes: Sequence[str], per_class: dict[str, int], where: Path
) -> tuple[list[Picture], np.ndarray]:
    """Bring pictures into one order, train before test, by class and name; give it with the labels, (N,) int64.

    Raises:
        CourseError: a class is unknown or missing, or does not have ``per_class`` pictures in a part.
    """
    ordered = sorted(pictures, key=lambda each: (PARTS.index(each.part), each.class_name, each.name))
    counts = Counter((each.part, each.class_name) for each in ordered)
    unknown = sorted({class_name for _, class_name in counts} - set(classes))
    if unknown:
        raise CourseError(
            f"{where} has the class folder {unknown[0]!r}; the classes are {', '.join(classes)}"
        )
    for part in PARTS:
        missing = [name for name in classes if not counts[part, name]]
        if missing:
            raise CourseError(f"{where} has no image of {', '.join(f'{part}/{name}' for name in missing)}")
        for name in classes:
            if counts[part, name] != per_class[part]:
                raise CourseError(
                    f"{where} must have {per_class[part]} images in {part}/{name}, got {counts[part, name]}"
                )
    labels = {name: label for label, name in enumerate(classes)}
    return ordered, np.array([labels[each.class_name] for each in ordered], dtype=np.int64)


def decode(
    pictures: Sequence[Picture], size: tuple[int, int], where: Path, *, progress: bool = True
) -> tuple[np.ndarray, set[str]]:
    """Decode all pictures, in threads.

    Args:
        pictures: N image files.
        size: (W, H) that every image must have.
        where: the source, for messages.
        progress: show a bar.

    Returns:
        The pixels, (N, 3, H, W) uint8, and the file formats met ("JPEG", "PNG").

    Raises:
        CourseError: an image is damaged, of another format, or of another size.
    """
    pixels = np.empty((len(pictures), 3, size[1], size[0]), np.uint8)
    formats = [""] * len(pictures)

    def decode_rows(rows: range) -> int:
        for row in rows:
            pixels[row], formats[row] = _decode_one(pictures[row], size, where)
        return len(rows)

    chunks = [range(first, min(first + _CHUNK, len(pictures))) for first in range(0, len(pictures), _CHUNK)]
    # Small images spend half their time under Python's global lock: more threads than this bring nothing.
    pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1))
    try:
        with progress_bar("Decoding images", len(pictures), progress) as advance:
            for done in pool.map(decode_rows, chunks):
                advance(done)
    finally:
        pool.shutdown(cancel_futures=True)
    return pixels, set(formats)


def _decode_one(picture: Picture, size: tuple[int, int], where: Path) -> tuple[np.ndarray, str]:
    source = picture.content if isinstance(picture.content, Path) else io.BytesIO(picture.content)
    try:
        with Image.open(source, formats=("JPEG", "PNG")) as image:
            found = image.size  # read from the header: an image of another size is never decoded
            if found == size:
                rgb = image if image.mode == "RGB" else image.convert("RGB")  # it would copy
                return np.asarray(rgb).transpose(2, 0, 1), image.format or ""  # a file's is known
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CourseError(
            f"{where} holds {picture}, which is not a readable JPEG or PNG image: copy it again"
        ) from error
    raise CourseError(
        f"{where} holds {picture} of {found[0]}×{found[1]} pixels, expected {size[0]}×{size[1]}"
    )
