"""The teacher's answers, computed once: distillation then costs hardly more than training on labels."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.data import Examples, Views
from course_lib.errors import CourseError
from course_lib.files import content_hash, save_atomically
from course_lib.losses import soft_gradients
from course_lib.models import Activations, evaluating
from course_lib.progress import progress_bar


@dataclass(frozen=True, eq=False)
class TeacherCache:
    """A teacher's answers for every example of a set, found by the example, never by its place in a batch.

    Attributes:
        key: hash of the teacher's architecture and weights, of the examples as it saw them, and of what was asked.
        index: position of each example in the full data set, ascending, (N,) int64.
        marks: fingerprint of each example's inputs, (N,) int64.
        logits: (N, C) float32, or (N, L, C) or (N, C, H, W); with views (N, views, C) float16.
        soft_matrix: S with which the gradients were made, (C, m) or (N, C, m); None where none was given.
        gradients: JᵀS at the input, (N, m, *input_shape) float32; None without soft matrix.
        activations: by layer, each (N, *shape) float32.
        views: of every example, about which the teacher was asked; None for the examples as they are.
    """

    key: str
    index: Tensor
    marks: Tensor
    logits: Tensor
    soft_matrix: Tensor | None = None
    gradients: Tensor | None = None
    activations: dict[str, Tensor] = field(default_factory=dict)
    views: Views | None = None

    def lookup(self, examples: Examples) -> Tensor:
        """The teacher's logits for ``examples`` as they are, (len(examples), C), as ``answers`` finds them."""
        logits = self.answers(examples).logits
        return logits if self.views is None else logits[:, self.views.unchanged].float()

    def answers(self, examples: Examples) -> "TeacherCache":
        """All answers for ``examples`` alone, in their order and on their device.

        Raises:
            CourseError: an example is not in the cache, or is there with other pixels.
        """
        index, device = examples.index.cpu(), examples.device
        place = torch.searchsorted(self.index, index).clamp(max=len(self.index) - 1)
        missing = self.index[place] != index
        if missing.any():
            raise CourseError(
                f"teacher does not know {int(missing.sum())} of the {len(index)} examples; "
                f"it was cached for {len(self.index)} others: cache it for these examples"
            )
        if not torch.equal(self.marks[place], fingerprints(examples)):
            raise CourseError(
                "teacher was cached for another data set: the same positions hold other images here"
            )
        return self._at(place, device)

    def _at(self, place: Tensor, device: torch.device | str) -> "TeacherCache":
        # A set of views is large: where all is asked for, it is not copied.
        whole = len(place) == len(self.index) and torch.equal(place, torch.arange(len(place)))

        def chosen(values: Tensor | None) -> Tensor | None:
            return None if values is None else (values if whole else values[place]).to(device)

        matrix = self.soft_matrix
        if matrix is not None:  # one for all examples stays whole
            matrix = matrix.to(device) if matrix.ndim == 2 else chosen(matrix)
        return replace(
            self,
            index=self.index[place],
            marks=self.marks[place],
            logits=chosen(self.logits),
            soft_matrix=matrix,
            gradients=chosen(self.gradients),
            activations={name: chosen(values) for name, values in self.activations.items()},
        )


def fingerprints(examples: Examples, chunk: int = 4096) -> Tensor:
    """A 64-bit mark of each example, (N,) int64: equal inputs, equal marks; others differ almost surely."""
    bits = [_as_integers(part.cpu()) for part in examples.images.split(chunk)]  # (chunk, numbers)
    odd = torch.randint(2**62, bits[0].shape[1:], generator=torch.Generator().manual_seed(0)) * 2 + 1
    return torch.cat([(part * odd).sum(dim=1) for part in bits])


def _as_integers(inputs: Tensor) -> Tensor:
    """Numbers of any type as integers that differ where they do, (N, ...) → (N, numbers) int64."""
    flat = inputs.reshape(len(inputs), -1)
    if flat.is_floating_point():
        return flat.double().view(torch.int64)
    return flat.long()


def cache_teacher(
    teacher: nn.Module,
    examples: Examples,
    *,
    soft_matrix: Tensor | None = None,
    layers: Iterable[str] = (),
    views: Views | None = None,
    directory: str | Path | None = None,
    batch_size: int = 512,
    progress: bool = True,
) -> TeacherCache:
    """Run the teacher once over all examples, or over all views of them, in eval mode.

    Args:
        teacher: network whose logits for an example depend on that example alone.
        examples: all examples that will be asked for; subsets of them are found too.
        soft_matrix: S, (C, m), or (N, C, m) in the order of the examples: keep the teacher's gradients JᵀS at the
            input as well, for losses that compare gradients. They take N·m·inputs numbers of memory.
        layers: whose activations are kept as well.
        views: keep the logits for each of these views of every example: exact answers under augmentation, for
            N·views·C half-precision numbers of memory and as many forward passes as N·views examples take. Gradients
            and activations would take far more; a ``LiveTeacher`` gives them step by step.
        directory: keep the result in a file there, named by its key, and read it back the next time. Another
            teacher, or the same with other weights, has another key. What a key cannot tell, such as changed code,
            shows when the teacher is asked again about a few examples; the file is then made again.
        batch_size: examples per forward pass.
        progress: show a bar where a person can see it; for views, which take long.

    Returns:
        The cache, on the CPU.

    Raises:
        CourseError: the teacher does not return finite logits, (N, C), (N, L, C) or (N, C, H, W), a layer or the soft
            matrix does not fit, or a kept file is damaged.

    Examples:
        >>> cache = training.cache_teacher(models.cnn_teacher(), digits.train)
        >>> cache.lookup(digits.train.subset(50, seed=0)).shape
        torch.Size([50, 10])
    """
    if not len(examples):
        raise CourseError("examples must hold at least one example, got none")
    if not isinstance(teacher, nn.Module):
        raise CourseError(f"teacher must be a torch.nn.Module, got {type(teacher).__name__}")
    layers = tuple(layers)
    if soft_matrix is not None and soft_matrix.ndim == 3 and len(soft_matrix) != len(examples):
        raise CourseError(
            f"soft_matrix must be (C, m), or (N, C, m) for the {len(examples)} examples, got {tuple(soft_matrix.shape)}"
        )
    if views is not None and (soft_matrix is not None or layers):
        raise CourseError(
            "views go with logits alone; for gradients or activations of views give a LiveTeacher"
        )
    marks = fingerprints(examples)
    key = _key(teacher, examples, marks, soft_matrix, layers, views)
    path = Path(directory) / f"teacher-{key[:24]}.pt" if directory else None
    if path and path.exists():
        cache = _read(path, key)
        if _answers_alike(teacher, examples, cache):
            return cache
    if views is None:
        logits = teacher_logits(teacher, examples, batch_size=batch_size).cpu()
    else:
        logits = _view_logits(teacher, examples, views, batch_size, progress)
    gradients = None if soft_matrix is None else _gradients(teacher, examples, soft_matrix, batch_size)
    activations = _activations(teacher, examples, layers, batch_size)
    kept = None if soft_matrix is None else soft_matrix.detach().cpu().float()
    cache = TeacherCache(key, examples.index.cpu(), marks, logits, kept, gradients, activations, views)
    cache = cache._at(cache.index.argsort(), "cpu")
    if path:
        content = vars(cache) | {"views": views and astuple(views), "checksum": _checksum(cache)}
        save_atomically(path, content)
    return cache


def teacher_logits(teacher: nn.Module, examples: Examples, *, batch_size: int = 512) -> Tensor:
    """Logits of a network for all examples, (N, ...) float32, in eval mode; the mode is restored afterwards."""
    with evaluating(teacher), torch.no_grad():
        batches = _batches(teacher, examples, batch_size)
        logits = torch.cat([_logits(teacher, inputs).float() for _, inputs in batches])
    fits = logits.ndim >= 2 and len(logits) == len(examples)
    if not fits or not torch.isfinite(logits).all():
        what = "NaN or infinite values" if fits else f"shape {tuple(logits.shape)}"
        raise CourseError(f"the network must return finite logits of shape (N, C), got {what}")
    return logits


def _view_logits(
    teacher: nn.Module, examples: Examples, views: Views, batch_size: int, progress: bool
) -> Tensor:
    """Logits for all views of all examples, (N, views, C) float16, on the CPU."""
    parts = []
    with (
        evaluating(teacher),
        torch.no_grad(),
        progress_bar("Asking the teacher", len(examples), progress) as advance,
    ):
        for rows, inputs in _batches(teacher, examples, batch_size):
            numbers = torch.arange(len(views), device=inputs.device)
            each = [_logits(teacher, views.apply(inputs, number.expand(len(rows)))) for number in numbers]
            parts.append(torch.stack(each, dim=1).half().cpu())  # (batch, views, C)
            advance(len(rows))
    logits = torch.cat(parts)
    if not torch.isfinite(logits).all():
        raise CourseError(
            "the network must return finite logits, in half precision too, got NaN or infinite values"
        )
    return logits


def _gradients(teacher: nn.Module, examples: Examples, soft_matrix: Tensor, batch_size: int) -> Tensor:
    """JᵀS at the input, (N, m, *input_shape), on the CPU."""
    parts = []
    with evaluating(teacher), torch.enable_grad():
        for rows, inputs in _batches(teacher, examples, batch_size):
            inputs.requires_grad_()
            matrix = soft_matrix[rows] if soft_matrix.ndim == 3 else soft_matrix
            parts.append(soft_gradients(teacher(inputs), inputs, matrix.to(inputs.device)).float().cpu())
    return torch.cat(parts)


def _activations(
    teacher: nn.Module, examples: Examples, layers: Iterable[str], batch_size: int
) -> dict[str, Tensor]:
    """Outputs of layers, each (N, *shape) float32, on the CPU."""
    if not layers:
        return {}
    parts = {layer: [] for layer in layers}
    with evaluating(teacher), torch.no_grad(), Activations(teacher, layers) as z:
        for _, inputs in _batches(teacher, examples, batch_size):
            teacher(inputs)
            for layer in layers:
                parts[layer].append(z[layer].float().cpu())
    return {layer: torch.cat(values) for layer, values in parts.items()}


def _batches(teacher: nn.Module, examples: Examples, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and inputs, on the teacher's device and in its precision."""
    some = next(teacher.parameters(), torch.empty(0, device=examples.device))
    for rows in torch.arange(len(examples)).split(batch_size):
        inputs = examples.batch(rows)
        precision = some.dtype if inputs.is_floating_point() else inputs.dtype  # tokens stay whole numbers
        yield rows, inputs.to(some.device, precision, copy=True)


def _logits(network: nn.Module, inputs: Tensor) -> Tensor:
    logits = network(inputs)
    if not isinstance(logits, Tensor):
        raise CourseError(f"the network must return one tensor of logits, got {type(logits).__name__}")
    return logits


def _answers_alike(teacher: nn.Module, examples: Examples, cache: TeacherCache, number: int = 32) -> bool:
    """Whether the teacher still says about a few examples what the cache says, but for rounding on another device."""
    few = examples.take(torch.arange(min(number, len(examples)), device=examples.device))
    return alike(cache.lookup(few).cpu(), teacher_logits(teacher, few).cpu())


def alike(kept: Tensor, now: Tensor) -> bool:
    """Whether answers are the same but for rounding: another device, another number of threads, half precision."""
    return kept.shape == now.shape and bool((kept - now).abs().max() <= 1e-2 * kept.abs().max())


def _key(
    teacher: nn.Module,
    examples: Examples,
    marks: Tensor,
    soft_matrix: Tensor | None,
    layers: tuple[str, ...],
    views: Views | None,
) -> str:
    weights = teacher.state_dict()
    shapes = [(name, value.dtype, tuple(value.shape)) for name, value in weights.items()]
    asked = () if soft_matrix is None else (soft_matrix,)
    content = content_hash(*weights.values(), examples.index, marks, *examples.scale, *asked)
    return hashlib.sha256(f"{teacher!r} {shapes} {layers} {views} {content}".encode()).hexdigest()


def _checksum(cache: TeacherCache) -> str:
    tensors = (cache.index, cache.marks, cache.logits, cache.soft_matrix, cache.gradients)
    return content_hash(*(each for each in (*tensors, *cache.activations.values()) if each is not None))


def _read(path: Path, key: str) -> TeacherCache:
    try:
        kept = torch.load(path, weights_only=True)
        checksum = kept.pop("checksum")
        cache = TeacherCache(**kept | {"views": kept["views"] and Views(*kept["views"])})
        whole = checksum == _checksum(cache)
    except Exception as error:
        raise CourseError(
            f"the teacher cache {path} cannot be read ({type(error).__name__}); delete it"
        ) from error
    if not whole:
        raise CourseError(f"the teacher cache {path} is damaged; delete it")
    if cache.key != key:
        raise CourseError(f"the teacher cache {path} belongs to another teacher or data set; delete it")
    return cache
