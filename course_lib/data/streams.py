"""Examples that are read each time they are asked for: data larger than the memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

import torch
from torch import Tensor
from torch.utils.data import Dataset as Source

from course_lib.data.examples import Examples
from course_lib.data.pixels import channel_counts, statistics_of_counts
from course_lib.data.reading import Part, Reader, unlike
from course_lib.errors import CourseError
from course_lib.progress import progress_bar

_PART = 64  # examples that are read at once where nothing says how many


def streamed(
    dataset: Source,
    *,
    workers: int = 2,
    prefetch: int = 2,
    mean: Tensor | None = None,
    std: Tensor | None = None,
    progress: bool = True,
) -> "Streamed":
    """A PyTorch data set as ``Examples`` whose inputs stay where they are, and are read when a batch needs them.

    The data set is read through once, for the labels, the statistics of the pixels, and a mark of each example; only
    these are kept. ``fit``, ``fit_many``, ``cache_teacher``, ``teacher_logits`` and ``measure.evaluate`` then read
    batches ahead in worker processes, and compute the bits that they compute from ``from_dataset(dataset)``.

    Args:
        dataset: as for ``from_dataset``. It must give the same input at the same position each time: random draws would
            change what the teacher was asked, and the training after a checkpoint. Augment with
            ``fit``'s ``views`` and ``transform``.
        workers: processes that read; 0 reads in this one, when it is needed.
        prefetch: batches that each worker reads ahead.
        mean: (C,) float32, as for ``Examples``: for uint8 images alone, and their own if None.
        std: (C,) float32, likewise.
        progress: show a bar where a person can see it, while the data set is read through.

    Raises:
        CourseError: it has no length, an example cannot be read or is not a pair (input, label), or their shapes or
            types differ.
    """
    reader = Reader(dataset, workers, prefetch)
    count = len(reader)
    labels, marks, counts, first = _read_through(reader, mean is None and std is None, progress)
    if counts is not None:
        mean, std = statistics_of_counts(counts)
    images = torch.empty(count, *first.shape, dtype=first.dtype, device="meta")
    return Streamed(
        images, labels, mean=mean, std=std, reader=reader, rows=torch.arange(count), kept_marks=marks
    )


def _read_through(
    reader: Reader, count_pixels: bool, progress: bool
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """All labels and marks, how often each value comes in each channel of images, and the first input."""
    count, filled, counts, first = len(reader), 0, None, None
    labels: list[Tensor] = []
    marks: list[Tensor] = []
    with progress_bar("Reading", count, progress) as advance:
        for part in reader.parts(rows.tolist() for rows in torch.arange(count).split(_PART)):
            first = first or part.first
            if error := unlike(part.first, first, filled):
                raise error
            if count_pixels and part.inputs.dtype == torch.uint8 and part.inputs.ndim == 4:
                more = channel_counts(part.inputs)
                counts = more if counts is None else counts + more
            labels.append(part.labels)
            marks.append(part.marks)
            filled += len(part.labels)
            advance(len(part.labels))
    assert first is not None  # the reader has at least one example
    return torch.cat(labels), torch.cat(marks), counts, first[0]


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Streamed(Examples):
    """Examples as ``streamed`` makes them; ``images`` has their shape and type, without content.

    Args:
        reader: where they come from.
        rows: (N,) int64, positions there, on the CPU.
        kept_marks: (N,) int64, on the CPU.
        others: as for ``Examples``.
    """

    reader: Reader
    rows: Tensor
    kept_marks: Tensor

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        index: Tensor | None = None,
        mean: Tensor | None = None,
        std: Tensor | None = None,
        extras: Mapping[str, Tensor] | None = None,
        *,
        reader: Reader,
        rows: Tensor,
        kept_marks: Tensor,
    ):
        own = {"reader": reader, "rows": rows, "kept_marks": kept_marks}
        for name, value in own.items():
            object.__setattr__(self, name, value)
        index = torch.arange(len(labels), device=labels.device) if index is None else index
        super().__init__(images, labels, index, mean, std, extras)

    @property
    def device(self) -> torch.device:
        """Where labels lie, and where inputs are put."""
        return self.labels.device

    @property
    def inputs(self) -> NoReturn:
        """Refused, because there is no memory for all of them."""
        raise self._only_in_memory()

    @property
    def pixel_scale(self) -> NoReturn:
        """Refused, as ``inputs`` is."""
        raise self._only_in_memory()

    def batch(self, index: Tensor | Sequence[int]) -> Tensor:
        """The inputs at ``index``, as of ``Examples``, read in this process."""
        return next(self._read([torch.as_tensor(index)], here=True))

    def batches(self, index: Iterable[Tensor]) -> Iterator[Tensor]:
        """``batch`` for each index; worker processes read the next batches while the caller works on one."""
        return self._read(index)

    def marks(self) -> Tensor:
        """A 64-bit mark of each example, (N,) int64, on the CPU, as it was when the data set was read through."""
        return self.kept_marks

    def spread(self, count: int) -> Tensor:
        """At least ``count`` of the inputs as they are kept, or all, evenly spread; on the CPU."""
        some = torch.arange(0, len(self), max(1, len(self) // count))
        return torch.cat([inputs for inputs, _ in self._parts(some.split(_PART))])

    def _read(self, index: Iterable[Tensor], *, here: bool = False) -> Iterator[Tensor]:
        for inputs, shape in self._parts(index, here=here):
            yield self._normalise(inputs.to(self.device)).view(*shape, *inputs.shape[1:])

    def _parts(self, index: Iterable[Tensor], *, here: bool = False) -> Iterator[tuple[Tensor, torch.Size]]:
        """Inputs as the data set gives them, on the CPU, and the shape that was asked for."""
        asked: deque[tuple[Tensor, torch.Size]] = deque()

        def positions() -> Iterator[list[int]]:
            for each in index:
                flat = self._positions(each).flatten().cpu()
                if len(flat) and not (int(flat.min()) >= 0 and int(flat.max()) < len(self)):
                    raise self._outside(flat)
                asked.append((flat, each.shape))
                yield self.rows[flat].tolist()

        for part in self.reader.parts(positions(), here=here):
            flat, shape = asked.popleft()
            self._check_same(part, flat)
            yield part.inputs, shape

    def _check_same(self, part: Part, flat: Tensor) -> None:
        now = (
            (part.marks != self.kept_marks[flat])
            if part.inputs.shape[1:] == self.images.shape[1:]
            else flat >= 0
        )
        if now.any():
            raise CourseError(
                f"dataset must give the same input each time, but input {int(self.rows[flat[now]][0])} has changed "
                "since it was read through: leave out what draws at random, and augment with views or transform of fit"
            )

    def _only_in_memory(self) -> CourseError:
        return CourseError(
            "examples must be in memory for this, got streamed ones: read a part of them with from_dataset, or "
            "ask batch by batch, as teacher_logits(network, examples) does"
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Streamed":
        labels = change(self.labels)
        return replace(
            self,
            images=self.images.new_empty((len(labels), *self.images.shape[1:])),
            labels=labels,
            index=change(self.index),
            extras={name: change(values) for name, values in self.extras.items()},
            rows=change(self.rows.to(self.device)).cpu(),
            kept_marks=change(self.kept_marks.to(self.device)).cpu(),
        )
