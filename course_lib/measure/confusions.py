"""Which classes are mixed up, as a matrix, and how alike two such matrices rank the pairs of classes."""

import torch
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.measure.quality import confusion


def confusion_shares(logits: Tensor, labels: Tensor) -> Tensor:
    """How often each class is named for each class, over all students together.

    Args:
        logits: (N, C) of one network, or (students, N, C).
        labels: (N,) int64.

    Returns:
        (C, C) float64, row: class named, column: class of the label, as in ``matrices.class_soft_matrix``. Columns sum
        to 1; the column of a class without examples is zero.
    """
    several = logits if getattr(logits, "ndim", 2) == 3 else [logits]
    found = torch.stack([confusion(each, labels) for each in several])
    counts = found.sum(dim=0).t().double()  # (named, true)
    return counts / counts.sum(dim=0).clamp(min=1)


def pair_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of the entries off the diagonal of two matrices between classes.

    Args:
        first, second: (C, C), C ≥ 3. Only the order of each one's entries counts.

    Raises:
        CourseError: not two square matrices of one size, or one whose entries off the diagonal are all equal, or are
            not numbers.
    """
    from scipy.stats import spearmanr  # a slow import

    for name, matrix in (("first", first), ("second", second)):
        if not isinstance(matrix, Tensor) or matrix.isnan().any():
            came = "NaN" if isinstance(matrix, Tensor) else type(matrix).__name__
            raise CourseError(f"{name} must be a tensor of numbers, got {came}")
    size = tuple(first.shape)
    if len(size) != 2 or size[0] != size[1] or size[0] < 3 or tuple(second.shape) != size:
        raise CourseError(
            f"first and second must be square, of one size from 3 × 3, got {size} and {tuple(second.shape)}"
        )
    off = ~torch.eye(size[0], dtype=torch.bool)
    entries = [matrix[off].double() for matrix in (first, second)]
    for name, values in zip(("first", "second"), entries, strict=True):
        if values.min() == values.max():
            raise CourseError(f"{name} must rank the pairs of classes, got {values[0]:g} for all of them")
    found = spearmanr(entries[0], entries[1])
    return float(found.statistic)  # pyright: ignore[reportAttributeAccessIssue]  # a class made at run time
