"""Which example goes where: parts that never overlap, and an order in which every beginning is balanced by class."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from course_lib.errors import CourseError


def stratified_split(labels: Tensor, sizes: Sequence[int], seed: int) -> list[Tensor]:
    """Cut 0 … N - 1 at random into parts with the same shares of the classes.

    Args:
        labels: (N,) int64.
        sizes: number of examples in each part; they sum to N. A part holds at least one example of each class.
        seed: another seed cuts differently.

    Returns:
        Positions in each part, ascending, (size,) int64 each.

    Raises:
        CourseError: the seed is not an integer from 0 to 2**32 − 1.
    """
    from sklearn.model_selection import train_test_split  # a slow import

    check_seed(seed)
    rest, parts = torch.arange(len(labels)).numpy(), []
    for size in sizes[1:]:
        rest, part = train_test_split(
            rest, test_size=size, random_state=seed, stratify=labels[torch.from_numpy(rest)].numpy()
        )
        parts.append(part)
    return [torch.from_numpy(part).sort().values for part in (rest, *parts)]


def balanced_order(labels: Tensor, seed: int) -> Tensor:
    """A random order of all positions, (N,) int64: the first of every class, the second of every class, and so on.

    Raises:
        CourseError: the seed is not an integer from 0 to 2**32 − 1.
    """
    check_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    classes = labels.unique()
    rounds, turns = torch.empty_like(labels), torch.empty_like(labels)
    for turn, label in zip(torch.randperm(len(classes), generator=generator), classes, strict=True):
        members = (labels == label).nonzero().flatten()
        rounds[members] = torch.randperm(len(members), generator=generator)
        turns[members] = turn
    return (rounds * len(classes) + turns).argsort()


def check_seed(seed: int) -> None:
    """Refuse what scikit-learn and PyTorch would not both take, or take for another seed."""
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise CourseError(f"seed must be an integer from 0 to 2**32 - 1, got {seed!r}")
