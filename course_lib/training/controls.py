"""Answers of a teacher whose knowledge was destroyed, or exchanged, for a control."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from course_lib.data.splits import check_seed
from course_lib.errors import CourseError, check_positive
from course_lib.files import content_hash
from course_lib.training.cache import TeacherCache
from course_lib.training.top_k import TopLogits, keep_top, tensors_of


def evened_dark_knowledge(cache: TeacherCache, temperature: float) -> TeacherCache:
    """The same answers with the wrong classes all alike: the teacher's choice and its confidence, and nothing else.

    The largest logit stays, the others become the one number with which the largest probability at this temperature
    is what it was. Unlike permuted answers these are not wrong about anything, so that a student of them loses the dark
    knowledge and gains no noise: label smoothing, by as much as the teacher doubts each example. Yuan et al.,
    "Revisiting Knowledge Distillation via Label Smoothing Regularization", 2020, compare soft targets with it.

    Args:
        cache: the teacher's answers; gradients and activations are left out of the result.
        temperature: T > 0 at which the confidence is kept, the one to be trained with.

    Raises:
        CourseError: a temperature that is not above 0, or not the one for which the cache was made with ``top_k``.
    """
    check_positive(temperature=temperature)
    if isinstance(cache.kept, TopLogits) and cache.kept.temperature != temperature:
        raise CourseError(
            f"temperature must be {cache.kept.temperature}, for which the cache was made with top_k, got {temperature}"
        )
    return _with_logits(cache, lambda rows: keep_top(rows, 1, temperature).full())


def permuted_dark_knowledge(cache: TeacherCache, seed: int) -> TeacherCache:
    """The same answers, without what they say about wrong classes: the control for dark knowledge.

    For each example (and view, and position) the largest logit stays where it is and the others change places at
    random. The teacher's choice, its confidence and its entropy survive at every temperature; which classes it finds
    alike does not. Furlanello et al., "Born-Again Neural Networks", 2018 (DKPP).

    Args:
        cache: the teacher's answers; gradients and activations are left out of the result.
        seed: of the permutations.
    """
    return _with_logits(cache, lambda rows: permuted_logits(rows, seed))


def permuted_logits(logits: Tensor, seed: int) -> Tensor:
    """``permuted_dark_knowledge`` of logits (..., C) that lie anywhere: the largest stays, the others change places.

    Args:
        logits: of a teacher.
        seed: of the permutations; each kind of device draws others.
    """
    check_seed(seed)
    device = logits.device
    generator = torch.Generator(device).manual_seed(int(seed))
    first = logits.argmax(dim=-1, keepdim=True)
    drawn = (
        torch.rand(logits.shape, generator=generator, device=device).scatter(-1, first, -1.0).argsort(dim=-1)
    )
    ranks = torch.arange(logits.shape[-1], device=device).expand(logits.shape).scatter(-1, first, -1)
    places = ranks.argsort(dim=-1)  # the largest, then all others in their order
    return torch.empty_like(logits).scatter(-1, places, logits.gather(-1, drawn))


def _with_logits(cache: TeacherCache, change: Callable[[Tensor], Tensor]) -> TeacherCache:
    """A cache with other logits, changed as rows (n, C), and without what belonged to the old ones."""
    place, old = cache.class_dimension, cache.kept
    last = cache.logits.movedim(place, -1)
    rows = change(last.flatten(0, -2))
    if isinstance(old, TopLogits):  # and so they are right at one temperature still
        top = keep_top(rows, old.values.shape[-1], old.temperature)
        kept = replace(top.each(lambda values: values.view(*last.shape[:-1], -1)), dimension=place)
    else:
        kept = rows.view(last.shape).movedim(-1, place).contiguous()
    key = content_hash(*tensors_of(kept), cache.index)
    return replace(cache, key=key, kept=kept, soft_matrix=None, gradients=None, activations={}, mapped=False)


def exchanged_gradients(cache: TeacherCache, seed: int, *, across_classes: bool = False) -> TeacherCache:
    """The same answers, with the gradients of another example: the control for what gradients know about an example.

    Within each class that the teacher names, the examples pass their gradients on in a random cycle. What is common to
    the gradients of a class survives; what is an example's own does not. The only example of its class keeps its own.
    Across classes, every example is given those of one example that the teacher names differently, and each is given
    away once: what is common to a class is gone, too, and what is left is the size and the shape of *some* gradients.

    Args:
        cache: the teacher's answers, with gradients by one soft matrix for all examples.
        seed: of the exchange.
        across_classes: give each example the gradients of an example of another class.

    Raises:
        CourseError: there are no gradients, or each example has a soft matrix of its own, to which they would not fit;
            or one class is more than half of all examples, so that there are too few others.
    """
    check_seed(seed)
    if cache.gradients is None or cache.soft_matrix is None or cache.soft_matrix.ndim != 2:
        came = "none" if cache.gradients is None else "those of a soft matrix for each example"
        raise CourseError(f"cache must hold gradients by one soft matrix (C, m), got {came}")
    generator = torch.Generator().manual_seed(int(seed))
    named = cache.logits.argmax(dim=-1)
    place = (_among_others if across_classes else _among_its_own)(named, generator)
    gradients = cache.gradients[place]
    return replace(cache, key=content_hash(gradients, cache.logits, cache.index), gradients=gradients)


def _among_its_own(named: Tensor, generator: torch.Generator) -> Tensor:
    """A random cycle within each class, (N,)."""
    place = torch.arange(len(named))
    for label in named.unique():
        circle = (named == label).nonzero().flatten()
        circle = circle[torch.randperm(len(circle), generator=generator)]
        place[circle] = circle.roll(1)
    return place


def _among_others(named: Tensor, generator: torch.Generator) -> Tensor:
    """A random permutation, (N,), that leads nobody to its own class: who was led there swaps with one who may."""
    largest = int(named.bincount().max())
    if 2 * largest > len(named):
        raise CourseError(
            f"examples of another class are too few: the teacher names one class {largest} times in {len(named)}"
        )
    place = torch.randperm(len(named), generator=generator)
    for example in (named[place] == named).nonzero().flatten():
        if named[place[example]] == named[example]:  # no swap has helped it yet
            other = (named != named[example]) & (named[place] != named[example])
            others = other.nonzero().flatten()
            chosen = others[torch.randint(len(others), (), generator=generator)]
            both = torch.stack([example, chosen])
            place[both] = place[both.flip(0)]
    return place
