"""Reading a data set of PyTorch's by position, in worker processes that read ahead."""

import signal
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Source

from course_lib.data.pixels import marks_of
from course_lib.errors import CourseError, check_count


class Part(NamedTuple):
    """Some examples: inputs (n, ...), labels (n, ...), and marks of the inputs, (n,) int64."""

    inputs: Tensor
    labels: Tensor
    marks: Tensor

    @property
    def first(self) -> tuple[Tensor, Tensor]:
        """Input and label of the first."""
        return self.inputs[0], self.labels[0]


class Reader:
    """A data set whose examples are asked for by position.

    Args:
        source: with a length, giving (input, label).
        workers: processes that read; 0 reads in this one.
        prefetch: batches that each worker reads ahead.

    Raises:
        CourseError: not such a data set, or a number that makes no sense.
    """

    def __init__(self, source: Source, workers: int = 0, prefetch: int = 2):
        if isinstance(source, DataLoader):
            raise CourseError(
                "dataset must be a data set, got a DataLoader: give loader.dataset; the training shuffles and makes "
                "batches itself"
            )
        if not isinstance(source, Sized) or not hasattr(source, "__getitem__") or not len(source):
            raise CourseError("dataset must have a length of at least 1, with dataset[i] = (input, label)")
        check_count(0, workers=workers)
        check_count(prefetch=prefetch)
        self._positions, self._count = _ByPositions(source), len(source)
        self._workers, self._prefetch = workers, prefetch

    def __len__(self) -> int:
        return self._count

    def parts(self, rows: Iterable[list[int]], *, here: bool = False) -> Iterator[Part]:
        """The examples at each of these lists of positions.

        Args:
            rows: is asked for more of them while earlier ones are read.
            here: read in this process, not ahead.

        Raises:
            CourseError: an example cannot be read, or is not such a pair; shapes differ; a worker process ended.
        """
        workers = 0 if here else self._workers
        loader = DataLoader(
            self._positions,
            batch_sampler=rows,
            num_workers=workers,
            prefetch_factor=self._prefetch if workers else None,
            collate_fn=_as_it_is,
            worker_init_fn=_leave_it_to_the_reader,
            # Else a number is drawn from the global generator, and dropout would be another.
            generator=torch.Generator(),
        )
        try:
            found = iter(loader)
        except Exception as error:  # whatever is thrown by what cannot be pickled
            raise CourseError(
                f"workers must be 0 for this data set, which cannot be sent to another process: {error}"
            ) from error
        try:
            while (part := _next(found)) is not None:
                if isinstance(part, CourseError):
                    raise part
                yield part
        finally:
            del found  # Ends the workers now: the traceback of an error would keep them waiting.


class _ByPositions(Source):
    """What the workers have: many examples at once, or the reason why not, because an error that a worker raises would
    reach the reader as pages of text."""

    def __init__(self, source: Any):
        self._source = source

    def __getitems__(self, rows: Sequence[int]) -> Part | CourseError:
        inputs, labels = [], []
        for row in rows or [0]:  # where no row is asked for, the first gives the shape
            try:
                x, y = _pair(self._source[row])
            except CourseError as error:
                return error
            except Exception as error:  # whatever is thrown by what a stranger wrote
                failed = CourseError(f"dataset[{row}] cannot be read: {type(error).__name__}: {error}")
                failed.__cause__ = error
                return failed
            if inputs and (error := unlike((x, y), (inputs[0], labels[0]), row)):
                return error
            inputs.append(x)
            labels.append(y)
        together = torch.stack(inputs)
        return Part(*(each[: len(rows)] for each in (together, torch.stack(labels), marks_of(together))))


def unlike(example: Sequence[Tensor], first: Sequence[Tensor], row: int) -> CourseError | None:
    """What to say if an example does not fit another, else None; labels that are numbers may differ in type."""
    for name, value, before in zip(("input", "label"), example, first, strict=True):
        if value.shape != before.shape:
            return CourseError(
                f"dataset must give examples of one shape, got the {name} {tuple(value.shape)} at {row} after "
                f"{tuple(before.shape)}: give it a transform that brings them to one"
            )
    if example[0].dtype != first[0].dtype:
        return CourseError(
            f"dataset must give inputs of one type, got {example[0].dtype} at {row} after {first[0].dtype}"
        )
    return None


def _next(found: Iterator[Part | CourseError]) -> Part | CourseError | None:
    try:
        return next(found, None)
    except RuntimeError as error:
        raise CourseError(f"a worker process that reads the data has ended: {error}") from error


def _leave_it_to_the_reader(worker: int) -> None:
    """Ignore a request to end: the training gets it too, and needs data until it has written its checkpoint."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _as_it_is(part: Any) -> Any:
    return part


def _pair(example: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(example, tuple | list) or len(example) != 2:
        raise CourseError(f"dataset must give pairs (input, label), got {type(example).__name__}")
    return _as_tensor(example[0]), _as_tensor(example[1])


def _as_tensor(value: Any) -> Tensor:
    if isinstance(value, Image.Image):
        pixels = torch.from_numpy(np.array(value if value.mode in ("L", "RGB") else value.convert("RGB")))
        return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1).contiguous()
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CourseError(
            f"dataset must give pictures, tensors or numbers, got {type(value).__name__}"
        ) from error
