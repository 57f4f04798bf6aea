"""Asking a teacher about all examples, batch by batch: its logits, for views too, its gradients, its activations."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.data import Examples, Views
from course_lib.data.examples import check_examples
from course_lib.errors import CourseError, check_count, check_positive
from course_lib.files import PART
from course_lib.losses import soft_gradients
from course_lib.models import Activations, evaluating
from course_lib.progress import progress_bar
from course_lib.training.top_k import Logits, TopLogits, keep_top

_PRECISIONS = (torch.float32, torch.float16)


@dataclass(frozen=True, eq=False)
class Question:
    """What a teacher is asked about each example, and how its answers are kept; as in ``cache_teacher``."""

    soft_matrix: Tensor | None = None
    layers: tuple[str, ...] = ()
    views: Views | None = None
    dtype: torch.dtype | None = None
    top_k: int | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.dtype not in (None, *_PRECISIONS):
            raise CourseError(f"dtype must be torch.float32 or torch.float16, got {self.dtype}")
        if self.views is not None and (self.soft_matrix is not None or self.layers):
            raise CourseError(
                "views go with logits alone; for gradients or activations of views give a LiveTeacher"
            )
        if (self.top_k is None) != (self.temperature is None):
            raise CourseError(
                "top_k and temperature must be given together: the temperature is that of the training, at which the "
                "left-out classes together keep their probability"
            )
        if self.top_k is not None:
            check_count(top_k=self.top_k)
            check_positive(temperature=self.temperature)

    @property
    def precision(self) -> torch.dtype:
        """The precision of the kept answers; half for those about views, which are many."""
        return self.dtype or self._usual

    @property
    def words(self) -> str:
        """How the answers are kept, in words; empty for the usual way."""
        precision = "" if self.precision == self._usual else f" {self.precision}"
        return precision + (f" top {self.top_k} at {self.temperature!r}" if self.top_k else "")

    @property
    def _usual(self) -> torch.dtype:
        return torch.float32 if self.views is None else torch.float16


class Gathered:
    """Rows that come batch by batch, as whole tensors by name.

    Args:
        count: of all rows.
        folder: where to keep the tensors as hidden files, because they may be larger than the memory; in memory if
            None.
    """

    def __init__(self, count: int, folder: Path | None = None):
        self._count, self._folder = count, folder
        self._filled: dict[str, int] = {}
        self.tensors: dict[str, Tensor] = {}

    def add(self, name: str, rows: Tensor) -> None:
        """The next rows of a tensor.

        Raises:
            CourseError: there is no room for it on the disk.
        """
        if name not in self.tensors:
            self.tensors[name] = self._empty((self._count, *rows.shape[1:]), rows.dtype)
        start = self._filled.get(name, 0)
        self._filled[name] = start + len(rows)
        self.tensors[name][start : start + len(rows)] = rows

    def _empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if self._folder is None:
            return torch.empty(shape, dtype=dtype)
        count = torch.Size(shape).numel()
        path = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, path = tempfile.mkstemp(dir=self._folder, prefix=PART)
            with os.fdopen(handle, "wb"):
                if hasattr(os, "posix_fallocate"):  # else a full disk would show as a crash later
                    os.posix_fallocate(handle, 0, count * dtype.itemsize)
            return torch.from_file(path, shared=True, size=count, dtype=dtype).view(shape)
        except OSError as error:
            raise CourseError(
                f"cannot keep the answers in {self._folder}: {error.strerror or error}"
            ) from error
        finally:
            if path:  # the tensor keeps its bytes, and they go with it, whatever happens; Windows refuses
                with suppress(OSError):
                    Path(path).unlink()


def teacher_logits(teacher: nn.Module, examples: Examples, *, batch_size: int = 512) -> Tensor:
    """Logits of a network for all examples, (N, ...) float32, in eval mode; the mode is restored afterwards."""
    check_examples(examples)
    with evaluating(teacher), torch.no_grad():
        batches = _batches(teacher, examples, batch_size)
        logits = torch.cat([_logits(teacher, inputs).float() for _, inputs in batches])
    _check(logits, len(examples))
    return logits


def ask_for_logits(
    teacher: nn.Module,
    examples: Examples,
    question: Question,
    batch_size: int,
    folder: Path | None,
    progress: bool,
) -> Logits:
    """Logits for all examples, (N, ..., C), or for all views of them, (N, views, ..., C), on the CPU."""
    gathered, top = Gathered(len(examples), folder), None
    with (
        evaluating(teacher),
        torch.no_grad(),
        progress_bar("Asking the teacher", len(examples), progress and question.views is not None) as advance,
    ):
        for rows, inputs in _batches(teacher, examples, batch_size):
            logits = _one_batch(teacher, inputs, question.views)
            _check(logits, len(rows))
            if question.top_k is None or question.temperature is None:  # there are both or none
                gathered.add("logits", _rounded(logits, question.precision, "logits"))
            else:
                top = _top(logits, question.top_k, question.temperature, views=question.views is not None)
                gathered.add("values", _rounded(top.values, question.precision, "logits"))
                gathered.add("rest", _rounded(top.rest, question.precision, "logits"))
                gathered.add("places", top.places.cpu())
            advance(len(rows))
    found = gathered.tensors
    if top is None:
        return found["logits"]
    return TopLogits(**found, classes=top.classes, temperature=top.temperature, dimension=top.dimension)


def _one_batch(teacher: nn.Module, inputs: Tensor, views: Views | None) -> Tensor:
    """Logits (B, ...), or (B, views, ...)."""
    if views is None:
        return _logits(teacher, inputs).float()
    numbers = torch.arange(len(views), device=inputs.device)
    each = [_logits(teacher, views.apply(inputs, number.expand(len(inputs)))) for number in numbers]
    return torch.stack(each, dim=1).float()


def _top(logits: Tensor, k: int, temperature: float, *, views: bool) -> TopLogits:
    if not views:
        return keep_top(logits, k, temperature)
    shape = logits.shape[:2]
    return keep_top(logits.flatten(0, 1), k, temperature).each(lambda values: values.unflatten(0, shape))


def ask_for_gradients(
    teacher: nn.Module, examples: Examples, question: Question, batch_size: int, folder: Path | None
) -> Tensor | None:
    """JᵀS at the input, (N, m, *input_shape), on the CPU; None without soft matrix."""
    matrix = question.soft_matrix
    if matrix is None:
        return None
    gathered = Gathered(len(examples), folder)
    with evaluating(teacher), torch.enable_grad():
        for rows, inputs in _batches(teacher, examples, batch_size):
            inputs.requires_grad_()
            own = matrix[rows] if matrix.ndim == 3 else matrix
            found = soft_gradients(teacher(inputs), inputs, own.to(inputs.device)).float()
            gathered.add("gradients", _rounded(found, question.precision, "gradients"))
    return gathered.tensors["gradients"]


def ask_for_activations(
    teacher: nn.Module, examples: Examples, question: Question, batch_size: int, folder: Path | None
) -> dict[str, Tensor]:
    """Outputs of layers, each (N, *shape), on the CPU."""
    layers: Iterable[str] = question.layers
    if not layers:
        return {}
    gathered = Gathered(len(examples), folder)
    with evaluating(teacher), torch.no_grad(), Activations(teacher, layers) as z:
        for _, inputs in _batches(teacher, examples, batch_size):
            teacher(inputs)
            for layer in layers:
                gathered.add(layer, _rounded(z[layer].float(), question.precision, f"activations of {layer}"))
    return gathered.tensors


def _rounded(values: Tensor, dtype: torch.dtype, what: str) -> Tensor:
    """On the CPU in the precision of the cache, whose range may be too small."""
    rounded = values.detach().to("cpu", dtype)
    if dtype == torch.float16 and rounded.isinf().any():
        raise CourseError(
            f"dtype must be torch.float32 for this teacher: its {what} exceed half precision, whose largest number is "
            f"65504"
        )
    return rounded


def _batches(teacher: nn.Module, examples: Examples, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and inputs, on the teacher's device and in its precision."""
    some = next(teacher.parameters(), torch.empty(0, device=examples.device))
    every = torch.arange(len(examples)).split(batch_size)
    for rows, inputs in zip(every, examples.batches(every), strict=True):
        precision = some.dtype if inputs.is_floating_point() else inputs.dtype  # tokens stay whole numbers
        yield rows, inputs.to(some.device, precision, copy=True)


def _logits(network: nn.Module, inputs: Tensor) -> Tensor:
    logits = network(inputs)
    if not isinstance(logits, Tensor):
        raise CourseError(f"the network must return one tensor of logits, got {type(logits).__name__}")
    return logits


def _check(logits: Tensor, count: int) -> None:
    fits = logits.ndim >= 2 and len(logits) == count
    if not fits or not torch.isfinite(logits).all():
        what = "NaN or infinite values" if fits else f"shape {tuple(logits.shape)}"
        raise CourseError(f"the network must return finite logits of shape (N, C), got {what}")
