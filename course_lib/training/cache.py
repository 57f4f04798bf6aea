"""The teacher's answers, computed once: distillation then costs hardly more than training on labels."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from course_lib.data import Examples
from course_lib.errors import CourseError
from course_lib.files import save_atomically
from course_lib.models import evaluating


@dataclass(frozen=True, eq=False)
class TeacherCache:
    """A teacher's logits for every example of a set, found by the example, never by its place in a batch.

    Attributes:
        key: hash of the teacher's architecture and weights and of the examples as it saw them.
        index: position of each example in the full data set, ascending, (N,) int64.
        marks: fingerprint of each example's pixels, (N,) int64.
        logits: (N, C) float32.
    """

    key: str
    index: Tensor
    marks: Tensor
    logits: Tensor

    def lookup(self, examples: Examples) -> Tensor:
        """The teacher's logits for ``examples``, (len(examples), C), in their order.

        Raises:
            CourseError: an example is not in the cache, or stands there with other pixels.
        """
        index, device = examples.index.cpu(), examples.images.device
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
        return self.logits[place].to(device)


def fingerprints(examples: Examples, chunk: int = 4096) -> Tensor:
    """A 64-bit mark of each example's pixels, (N,) int64: equal images, equal marks; others differ almost surely."""
    pixels = examples.images[0].numel()
    odd = torch.randint(2**62, (pixels,), generator=torch.Generator().manual_seed(0)) * 2 + 1
    return torch.cat(
        [(part.cpu().flatten(1).long() * odd).sum(dim=1) for part in examples.images.split(chunk)]  # (chunk,)
    )


def cache_teacher(
    teacher: nn.Module, examples: Examples, *, directory: str | Path | None = None, batch_size: int = 512
) -> TeacherCache:
    """Run the teacher once over all examples, in eval mode and without gradients.

    Args:
        teacher: network whose logits for an example depend on that example alone.
        examples: all examples that will be asked for; subsets of them are found too.
        directory: keep the result in a file there, named by its key, and read it back the next time. Another
            teacher, or the same with other weights, has another key. What a key cannot tell, such as changed code,
            shows when the teacher is asked again about a few examples; the file is then made anew.
        batch_size: examples per forward pass.

    Returns:
        The cache, on the CPU.

    Raises:
        CourseError: the teacher does not return (N, C) finite logits, or a kept file is damaged.
    """
    if not len(examples):
        raise CourseError("examples must hold at least one example, got none")
    if not isinstance(teacher, nn.Module):
        raise CourseError(f"teacher must be a torch.nn.Module, got {type(teacher).__name__}")
    marks = fingerprints(examples)
    key = _key(teacher, examples, marks)
    path = Path(directory) / f"teacher-{key[:24]}.pt" if directory else None
    if path and path.exists():
        cache = _read(path, key)
        if _answers_alike(teacher, examples, cache):
            return cache
    order = examples.index.cpu().argsort()
    logits = teacher_logits(teacher, examples, batch_size=batch_size).cpu()[order]
    cache = TeacherCache(key, examples.index.cpu()[order], marks[order], logits)
    if path:
        save_atomically(path, vars(cache))
    return cache


def teacher_logits(teacher: nn.Module, examples: Examples, *, batch_size: int = 512) -> Tensor:
    """Logits of a network for all examples, (N, C) float32, in eval mode; the mode is restored afterwards."""
    some = next(teacher.parameters(), torch.empty(0, device=examples.images.device))
    with evaluating(teacher), torch.no_grad():
        rows = torch.arange(len(examples)).split(batch_size)
        inputs = (examples.batch(part).to(some.device, some.dtype) for part in rows)
        logits = torch.cat([_logits(teacher, each).float() for each in inputs])
    if logits.ndim != 2 or len(logits) != len(examples) or not torch.isfinite(logits).all():
        what = "NaN or infinite values" if logits.ndim == 2 else f"shape {tuple(logits.shape)}"
        raise CourseError(f"the network must return finite logits of shape (N, C), got {what}")
    return logits


def _logits(network: nn.Module, inputs: Tensor) -> Tensor:
    logits = network(inputs)
    if not isinstance(logits, Tensor):
        raise CourseError(f"the network must return one tensor of logits, got {type(logits).__name__}")
    return logits


def _answers_alike(teacher: nn.Module, examples: Examples, cache: TeacherCache, number: int = 32) -> bool:
    """Whether the teacher still says about a few examples what the cache says, but for rounding on another device."""
    few = examples.take(torch.arange(min(number, len(examples)), device=examples.images.device))
    kept, now = cache.lookup(few).cpu(), teacher_logits(teacher, few).cpu()
    return kept.shape == now.shape and bool((kept - now).abs().max() <= 1e-2 * kept.abs().max())


def _key(teacher: nn.Module, examples: Examples, marks: Tensor) -> str:
    digest = hashlib.sha256(repr(teacher).encode())
    for name, value in teacher.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    for value in (examples.index, marks, examples.mean, examples.std):
        digest.update(value.cpu().contiguous().numpy())
    return digest.hexdigest()


def _read(path: Path, key: str) -> TeacherCache:
    try:
        cache = TeacherCache(**torch.load(path, weights_only=True))
    except Exception as error:
        raise CourseError(
            f"the teacher cache {path} cannot be read ({type(error).__name__}); delete it"
        ) from error
    if cache.key != key:
        raise CourseError(f"the teacher cache {path} belongs to another teacher or data set; delete it")
    return cache
