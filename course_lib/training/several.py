"""Several teachers as one, and what asking a teacher will cost before it is asked."""

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.data import Examples, Views
from course_lib.errors import CourseError, check_count
from course_lib.training.cache import TeacherCache, cache_teacher
from course_lib.training.top_k import TopLogits

_MEANS = ("probabilities", "logits")


def mean_answers(
    caches: Sequence[TeacherCache],
    weights: Sequence[float] | Tensor | None = None,
    *,
    of: str = "probabilities",
) -> TeacherCache:
    """Several teachers' answers to the same examples as those of one teacher, an ensemble.

    Args:
        caches: one per teacher, at least two, for the same examples and views.
        weights: how much each teacher counts, (K,), or for each example, (K, N) in the order of the caches' ``index``;
            at least 0, and brought to the sum 1. Equal if None.
        of: what is averaged. "probabilities" (Hinton, Vinyals and Dean 2015 name both) gives the logarithm of the mean
            of softmax(y), which is right at T = 1 and is softened from there; "logits" gives the mean of y, whose
            softmax is the normalised geometric mean, at every temperature.

    Returns:
        The cache, on the CPU, without gradients and activations, which teachers do not share.

    Raises:
        CourseError: fewer than two caches, caches of other examples, views or classes, or made with ``top_k``, or
            weights that do not fit.
    """
    caches = list(caches)
    if len(caches) < 2:
        raise CourseError(f"caches must hold the answers of at least two teachers, got {len(caches)}")
    if of not in _MEANS:
        raise CourseError(f"of must be one of {', '.join(_MEANS)}, got {of!r}")
    if top := [each.kept for each in caches if isinstance(each.kept, TopLogits)]:
        raise CourseError(
            "caches must hold all logits, got one made with top_k, whose other classes are right at the temperature "
            f"{top[0].temperature} alone"
        )
    first = caches[0]
    logits = first.logits
    for number, other in enumerate(caches[1:], start=1):
        same = torch.equal(other.index, first.index) and torch.equal(other.marks, first.marks)
        if not same or other.views != first.views or other.logits.shape != logits.shape:
            raise CourseError(
                f"caches must be of the same examples, views and classes: number {number} differs from number 0"
            )
    shares = _shares(weights, len(caches), logits)
    answers = torch.stack([each.logits.float() for each in caches])  # (K, N, ...)
    if of == "logits":
        mean = (shares * answers).sum(dim=0)
    else:
        mean = (answers.log_softmax(dim=first.class_dimension) + shares.log()).logsumexp(dim=0)
    text = " ".join([*(each.key for each in caches), of, str(shares.flatten().tolist())])
    key = hashlib.sha256(text.encode()).hexdigest()
    return TeacherCache(key, first.index, first.marks, mean.to(logits.dtype), views=first.views)


def _shares(weights: Sequence[float] | Tensor | None, teachers: int, logits: Tensor) -> Tensor:
    """Weights of sum 1, (K, 1 or N, 1, ...)."""
    given = torch.ones(teachers) if weights is None else torch.as_tensor(weights, dtype=torch.float32)
    if tuple(given.shape) not in {(teachers,), (teachers, len(logits))}:
        wanted = f"({teachers},) or ({teachers}, {len(logits)})"
        raise CourseError(f"weights must have shape {wanted}, got {tuple(given.shape)}")
    total = given.sum(dim=0)
    if not torch.isfinite(given).all() or (given < 0).any() or (total == 0).any():
        raise CourseError("weights must be finite and at least 0, with one above 0 for every example")
    shares = given / total
    return shares.view(*shares.shape, *(1,) * (logits.ndim + 1 - shares.ndim))


@dataclass(frozen=True)
class Forecast:
    """What it will take to keep a teacher's answers.

    Attributes:
        examples: to be asked about.
        views: of each; 1 without.
        bytes: of the kept answers, in memory and on the disk.
        seconds: for asking, as long as this machine is as busy as now.
    """

    examples: int
    views: int
    bytes: int
    seconds: float

    def __str__(self) -> str:
        size, unit = next(
            (self.bytes / step, unit)
            for step, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes"))
            if self.bytes >= step or step == 1
        )
        views = f" in {self.views} views" if self.views > 1 else ""
        return f"{self.examples:,} examples{views}: {size:.3g} {unit}, about {self.seconds:,.3g} s"


def forecast_cache(
    teacher: nn.Module,
    examples: Examples,
    *,
    soft_matrix: Tensor | None = None,
    layers: Iterable[str] = (),
    views: Views | None = None,
    dtype: torch.dtype | None = None,
    top_k: int | None = None,
    temperature: float | None = None,
    batch_size: int = 512,
    tried: int = 64,
) -> Forecast:
    """What ``cache_teacher`` with these arguments would cost, found by asking about a few examples.

    Args:
        teacher, examples, soft_matrix, layers, views, dtype, top_k, temperature, batch_size: as for
            ``cache_teacher``.
        tried: number of examples that are asked about, twice; the second time counts.

    Raises:
        CourseError: as in ``cache_teacher``.
    """
    check_count(tried=tried)
    rows = torch.arange(min(tried, len(examples)), device=examples.device)
    few = examples.take(rows)
    matrix = soft_matrix[rows.cpu()] if soft_matrix is not None and soft_matrix.ndim == 3 else soft_matrix
    kept = {"dtype": dtype, "top_k": top_k, "temperature": temperature}
    kept |= {"soft_matrix": matrix, "layers": tuple(layers), "views": views, "batch_size": batch_size}
    cache_teacher(teacher, few, progress=False, **kept)  # the first time is slower
    start = time.perf_counter()
    cache = cache_teacher(teacher, few, progress=False, **kept)
    seconds = time.perf_counter() - start
    scale = len(examples) / len(few)
    return Forecast(len(examples), len(views) if views else 1, round(scale * cache.bytes), scale * seconds)
