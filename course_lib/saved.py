"""Reads what ``torch.save`` wrote, whoever made the file: plain values only, and no more memory than it has bytes."""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch

from course_lib.errors import CourseError

_PICKLE = "data.pkl"
_PROTOCOL = 2  # torch.save's
_STORAGES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}


def load_plain(source: Path | BinaryIO, *, mmap: bool = False) -> Any:
    """``torch.load`` of tensors and plain values, on the CPU.

    What the file claims is compared with what it holds before any of it is made: ``torch.load`` itself would unpack a
    small file to any size, and read past the end of a tensor.

    Args:
        source: a path, or a file at its beginning.
        mmap: leave the tensors in the file, which must be a path, until they are read.

    Raises:
        CourseError: the file is not one of ``torch.save``, holds something else, or claims more than it holds.
        OSError: it cannot be read.
    """
    try:
        _check_claims(source)
        if not isinstance(source, Path):
            source.seek(0)
        return torch.load(source, map_location="cpu", weights_only=True, mmap=mmap)
    except (CourseError, OSError):
        raise
    except zipfile.BadZipFile as error:
        raise CourseError(f"it is not a whole file of torch.save ({error})") from error
    except Exception as error:  # whatever comes of what a stranger wrote
        raise CourseError(f"its content cannot be read ({type(error).__name__}: {error})") from error


def _check_claims(source: Path | BinaryIO) -> None:
    with zipfile.ZipFile(source) as whole:
        records = {record.filename: record.file_size for record in whole.infolist()}
        length = source.stat().st_size if isinstance(source, Path) else source.seek(0, io.SEEK_END)
        stored = all(record.compress_type == zipfile.ZIP_STORED for record in whole.infolist())
        if not stored or len(records) < len(whole.infolist()) or sum(records.values()) > length:
            raise CourseError("it claims to hold more than the file has bytes")
        name = next((name for name in records if name.endswith(f"/{_PICKLE}")), "")
        if not name:
            raise CourseError("it is not a file of torch.save")
        content = whole.read(name)
    for operation, argument, _ in pickletools.genops(content):
        # Some of the later ones, and numbers of memory places, make room for whatever they claim.
        if operation.proto > _PROTOCOL or ("PUT" in operation.name and int(argument or 0) > len(content)):
            raise CourseError("its content is not as torch.save writes it")
    _Claims(content, records, name.removesuffix(_PICKLE), length).load()


class _Claims(pickle.Unpickler):
    """Goes through a pickle without making tensors or calling anything but the harmless."""

    def __init__(self, content: bytes, records: Mapping[str, int], folder: str, length: int):
        super().__init__(io.BytesIO(content))
        self._records, self._folder, self._length = records, folder, length

    def find_class(self, module: str, name: str, /) -> Any:
        known = {
            "collections.OrderedDict": OrderedDict,
            "__builtin__.set": set,
            "_codecs.encode": _nothing,
            "torch.Size": tuple,
            "torch.device": _nothing,
            "torch._utils._rebuild_tensor_v2": self._tensor,
            "torch._utils._rebuild_parameter": _nothing,
        }
        if (full := f"{module}.{name}") in known:
            return known[full]
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if module == "torch" and isinstance(kind := getattr(torch, name, None), torch.dtype):
            return kind
        raise CourseError(
            f"it holds something other than tensors and plain values ({full}), which might run code"
        )

    def persistent_load(self, pid: Any, /) -> torch.dtype:
        _, kind, key, _, numbers = pid
        if not 0 <= numbers * kind.itemsize <= self._records[f"{self._folder}data/{key}"]:
            raise CourseError(f"it claims {numbers} numbers for a tensor, and holds fewer")
        return kind

    def _tensor(self, kind: torch.dtype, offset: int, size: Sequence[int], *rest: object) -> None:
        # Where one number stands for many, there may be more of them than bytes.
        if math.prod(size) * kind.itemsize > self._length:
            raise CourseError(f"it claims a tensor of shape {tuple(size)}, which is larger than the file")


def _nothing(*arguments: object) -> None:
    """Stands for what need not be made."""
