"""The teacher's answers, computed once: distillation then costs hardly more than training on labels."""

import hashlib
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.data import Examples, Views
from course_lib.errors import CourseError
from course_lib.files import content_hash, save_atomically
from course_lib.losses import class_dimension
from course_lib.saved import load_plain
from course_lib.training.asking import (
    Question,
    ask_for_activations,
    ask_for_gradients,
    ask_for_logits,
    teacher_logits,
)
from course_lib.training.top_k import Logits, TopLogits, changed, in_full, keep_top, tensors_of


@dataclass(frozen=True, eq=False)
class TeacherCache:
    """A teacher's answers for every example of a set, found by the example, never by its place in a batch.

    Attributes:
        key: hash of the teacher's architecture and weights, of the examples as it saw them, and of what was asked.
        index: position of each example in the full data set, ascending, (N,) int64.
        marks: fingerprint of each example's inputs, (N,) int64.
        kept: the logits as they are kept: (N, C), or (N, L, C) or (N, C, H, W), with views (N, views, C); or the
            largest of them.
        soft_matrix: S with which the gradients were made, (C, m) or (N, C, m); None where none was given.
        gradients: JᵀS at the input, (N, m, *input_shape); None without soft matrix.
        activations: by layer, each (N, *shape).
        views: of every example, about which the teacher was asked; None for the examples as they are.
        mapped: all this lies in a file, and a training reads from it what each batch needs.
    """

    key: str
    index: Tensor
    marks: Tensor
    kept: Logits
    soft_matrix: Tensor | None = None
    gradients: Tensor | None = None
    activations: dict[str, Tensor] = field(default_factory=dict)
    views: Views | None = None
    mapped: bool = False

    @property
    def logits(self) -> Tensor:
        """All logits, (N, C), (N, L, C) or (N, C, H, W), with views (N, views, C); computed at each call if only the
        largest are kept."""
        return in_full(self.kept)

    @property
    def class_dimension(self) -> int:
        """Where ``logits`` have the classes, counted from the end."""
        if isinstance(self.kept, TopLogits):
            return self.kept.dimension
        of_one_view = self.kept if self.views is None else self.kept[:, 0]
        return class_dimension(of_one_view) - of_one_view.ndim

    @property
    def bytes(self) -> int:
        """Size of the kept logits, gradients and activations."""
        tensors = [*tensors_of(self.kept), self.gradients, *self.activations.values()]
        return sum(each.numel() * each.element_size() for each in tensors if each is not None)

    def lookup(self, examples: Examples) -> Tensor:
        """The teacher's logits for ``examples`` as they are, (len(examples), C) float32, as ``answers`` finds them."""
        kept, views = self.answers(examples).kept, self.views
        return in_full(kept if views is None else changed(kept, lambda all: all[:, views.unchanged])).float()

    def answers(self, examples: Examples) -> "TeacherCache":
        """All answers for ``examples`` alone, in their order and on their device.

        Raises:
            CourseError: an example is not in the cache, or is there with other pixels.
        """
        return self._at(self.places(examples), examples.device)

    def places(self, examples: Examples) -> Tensor:
        """The row of each of ``examples`` in the cache, (len(examples),) int64, on the CPU.

        Raises:
            CourseError: an example is not in the cache, or is there with other pixels.
        """
        index = examples.index.cpu()
        place = torch.searchsorted(self.index, index).clamp(max=len(self.index) - 1)
        missing = self.index[place] != index
        if missing.any():
            raise CourseError(
                f"teacher does not know {int(missing.sum())} of the {len(index)} examples, because its cache was made "
                f"for {len(self.index)} others: cache the teacher for these examples"
            )
        if not torch.equal(self.marks[place], fingerprints(examples)):
            raise CourseError(
                "teacher was cached for another data set: the same positions hold other inputs here"
            )
        return place

    def _at(self, place: Tensor, device: torch.device | str) -> "TeacherCache":
        # A set of views is large: where all is asked for, it is not copied.
        whole = len(place) == len(self.index) and torch.equal(place, torch.arange(len(place)))

        def chosen(values: Tensor) -> Tensor:
            return (values if whole else values[place]).to(device)

        matrix = self.soft_matrix
        if matrix is not None:  # one for all examples stays whole
            matrix = matrix.to(device) if matrix.ndim == 2 else chosen(matrix)
        return replace(
            self,
            index=self.index[place],
            marks=self.marks[place],
            kept=changed(self.kept, chosen),
            soft_matrix=matrix,
            gradients=None if self.gradients is None else chosen(self.gradients),
            activations={name: chosen(values) for name, values in self.activations.items()},
            mapped=False,
        )


def fingerprints(examples: Examples) -> Tensor:
    """A 64-bit mark of each example, (N,) int64: equal inputs have equal marks, others almost surely not."""
    return examples.marks()


def cache_teacher(
    teacher: nn.Module,
    examples: Examples,
    *,
    soft_matrix: Tensor | None = None,
    layers: Iterable[str] = (),
    views: Views | None = None,
    dtype: torch.dtype | None = None,
    top_k: int | None = None,
    temperature: float | None = None,
    directory: str | Path | None = None,
    mapped: bool = False,
    batch_size: int = 512,
    progress: bool = True,
) -> TeacherCache:
    """Run the teacher once over all examples, or over all views of them, in eval mode.

    Args:
        teacher: network whose logits for an example depend on that example alone.
        examples: all examples that will be asked for; subsets of them are found too.
        soft_matrix: S, (C, m), or (N, C, m) in the order of the examples: keep the teacher's gradients JᵀS at the
            input as well, for losses that compare gradients. They take N·m·inputs numbers of memory.
        layers: names of layers whose activations are kept as well.
        views: keep the logits for each of these views of every example: exact answers under augmentation, for
            N·views·C half-precision numbers of memory and as many forward passes as N·views examples take. Gradients
            and activations would take far more; a ``LiveTeacher`` gives them step by step.
        dtype: in which all answers are kept: float32, or float16, which takes half of the memory and rounds to 11 bits
            (a logit below 16 by at most 0.004, numbers below 0.00000003 to 0). If None, float16 with views, else
            float32.
        top_k: keep only this many logits of each example, the largest, and one number for all others; for teachers
            with many classes. Each kept logit takes 3 to 8 bytes, where otherwise every class takes 2 or 4. A training
            is given all logits, with the same number for all left-out classes (``TopLogits`` states the error).
        temperature: T of the training, with ``top_k``: at this T alone, the left-out classes together have the
            probability that the teacher gives them. A term with another temperature is refused.
        directory: keep the result in a file there, named by its key, and read it back the next time. Another
            teacher, or the same with other weights, has another key. A key does not show everything, such as changed
            code; so the teacher is asked again about a few examples, and the file is made again if the answers differ.
        mapped: leave the answers in the file, and let a training read from it what each batch needs: for answers that
            are larger than the memory. While the file is being made, it takes its room on the disk twice. The bits are
            the same.
        batch_size: examples per forward pass.
        progress: show a bar where a person can see it; for views, which take long.

    Returns:
        The cache, on the CPU.

    Raises:
        CourseError: the teacher does not return finite logits, (N, C), (N, L, C) or (N, C, H, W), a layer or the soft
            matrix does not fit, an answer exceeds half precision, or a kept file is damaged.

    Examples:
        >>> cache = training.cache_teacher(models.cnn_teacher(), digits.train)
        >>> cache.lookup(digits.train.subset(50, seed=0)).shape
        torch.Size([50, 10])
    """
    _check(teacher, examples, soft_matrix, directory, mapped)
    index = examples.index.cpu()
    order = index.argsort()
    if not torch.equal(order, torch.arange(len(order))):
        examples, index = examples.take(order.to(examples.device)), index[order]
        soft_matrix = soft_matrix[order] if soft_matrix is not None and soft_matrix.ndim == 3 else soft_matrix
    question = Question(soft_matrix, tuple(layers), views, dtype, top_k, temperature)
    marks = fingerprints(examples)
    key = _key(teacher, examples, marks, question)
    path = Path(directory) / f"teacher-{key[:24]}.pt" if directory else None
    if path and path.exists():
        cache = _read(path, key, mapped)
        if _answers_alike(teacher, examples, cache, question):
            return cache
    folder = path.parent if path and mapped else None
    kept = ask_for_logits(teacher, examples, question, batch_size, folder, progress)
    gradients = ask_for_gradients(teacher, examples, question, batch_size, folder)
    activations = ask_for_activations(teacher, examples, question, batch_size, folder)
    matrix = None if soft_matrix is None else soft_matrix.detach().cpu().float()
    cache = TeacherCache(key, index, marks, kept, matrix, gradients, activations, views)
    if path:
        save_atomically(path, _content(cache))
    return _read(path, key, mapped) if path and mapped else cache


def _check(
    teacher: nn.Module,
    examples: Examples,
    soft_matrix: Tensor | None,
    directory: str | Path | None,
    mapped: bool,
) -> None:
    if not len(examples):
        raise CourseError("examples must hold at least one example, got none")
    if not isinstance(teacher, nn.Module):
        raise CourseError(f"teacher must be a torch.nn.Module, got {type(teacher).__name__}")
    if soft_matrix is not None and soft_matrix.ndim == 3 and len(soft_matrix) != len(examples):
        raise CourseError(
            f"soft_matrix must be (C, m), or (N, C, m) for the {len(examples)} examples, got {tuple(soft_matrix.shape)}"
        )
    if mapped and directory is None:
        raise CourseError("directory must be given with mapped=True, to hold the file that is read, got None")


def _answers_alike(
    teacher: nn.Module, examples: Examples, cache: TeacherCache, question: Question, number: int = 32
) -> bool:
    """Whether the teacher still says about a few examples what the cache says, but for rounding on another device."""
    few = examples.take(torch.arange(min(number, len(examples)), device=examples.device))
    now = teacher_logits(teacher, few).cpu()
    if question.top_k is not None and question.temperature is not None:
        now = keep_top(now, question.top_k, question.temperature).full()
    return alike(cache.lookup(few).cpu(), now)


def alike(kept: Tensor, now: Tensor) -> bool:
    """Whether answers are the same but for rounding: another device, another number of threads, half precision."""
    return kept.shape == now.shape and bool((kept - now).abs().max() <= 1e-2 * kept.abs().max())


def _key(teacher: nn.Module, examples: Examples, marks: Tensor, question: Question) -> str:
    weights = teacher.state_dict()
    shapes = [(name, value.dtype, tuple(value.shape)) for name, value in weights.items()]
    asked = () if question.soft_matrix is None else (question.soft_matrix,)
    content = content_hash(*weights.values(), examples.index, marks, *examples.scale, *asked)
    words = f"{teacher!r} {shapes} {question.layers} {question.views} {content}{question.words}"
    return hashlib.sha256(words.encode()).hexdigest()


def _content(cache: TeacherCache) -> dict[str, Any]:
    """What a file holds: tensors and plain values."""
    content = {name: value for name, value in vars(cache).items() if name not in ("kept", "mapped")}
    content["logits"] = cache.kept if isinstance(cache.kept, Tensor) else vars(cache.kept)
    return content | {"views": cache.views and astuple(cache.views), "checksum": _checksum(cache)}


def _checksum(cache: TeacherCache) -> str:
    """Of names, settings and numbers."""
    words = (
        f"{cache.key} {cache.views} {list(cache.activations)} {type(cache.kept).__name__} {_numbers(cache)}"
    )
    return hashlib.sha256(words.encode()).hexdigest()


def _numbers(cache: TeacherCache) -> str:
    """The checksum of version 0.1.0."""
    tensors = [cache.index, cache.marks, *tensors_of(cache.kept), cache.soft_matrix, cache.gradients]
    if isinstance(cache.kept, TopLogits):
        kept = cache.kept
        tensors.append(torch.tensor([kept.classes, kept.temperature, kept.dimension], dtype=torch.float64))
    return content_hash(*(each for each in (*tensors, *cache.activations.values()) if each is not None))


def _read(path: Path, key: str, mapped: bool) -> TeacherCache:
    try:
        found = load_plain(path, mmap=mapped)
        checksum, logits, views = (found.pop(name) for name in ("checksum", "logits", "views"))
        kept = logits if isinstance(logits, Tensor) else TopLogits(**logits)
        cache = TeacherCache(**found, kept=kept, views=views and Views(*views), mapped=mapped)
        whole = checksum in (_checksum(cache), _numbers(cache))
    except Exception as error:  # whatever comes of what a stranger wrote
        reason = error if isinstance(error, CourseError) else type(error).__name__
        raise CourseError(f"the teacher cache {path} cannot be read ({reason}); delete it") from error
    if not whole:
        raise CourseError(f"the teacher cache {path} is damaged; delete it")
    if cache.key != key:
        raise CourseError(f"the teacher cache {path} belongs to another teacher or data set; delete it")
    return cache
