"""The examples of students that are trained together, in one set."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from course_lib.data import Examples
from course_lib.data.examples import check_examples
from course_lib.data.streams import Streamed
from course_lib.errors import CourseError
from course_lib.training.cache import fingerprints


def pool(examples: Examples | Sequence[Examples], students: int) -> tuple[Examples, Tensor]:
    """All students' examples in one set, and which rows of it are each student's own, (students, n).

    Raises:
        CourseError: not one set per student, sets of different sizes, of different data, or streamed ones.
    """
    if isinstance(examples, Examples):
        return examples, torch.arange(len(examples)).expand(students, -1)
    if len(examples) != students:
        raise CourseError(f"examples must be one set, or one per seed ({students}), got {len(examples)} sets")
    for each in examples:
        check_examples(each)
    first = examples[0]
    if any(isinstance(each, Streamed) for each in examples):
        raise CourseError(
            "examples must be in memory for sets that differ between students, got streamed ones"
        )
    sizes = {len(each) for each in examples}
    if len(sizes) > 1:
        raise CourseError(f"examples must all be of one size to train together, got sizes {sorted(sizes)}")
    every = {name: torch.cat([getattr(each, name) for each in examples]) for name in ("images", "labels")}
    extras = {name: torch.cat([each.extras[name] for each in examples]) for name in first.extras}
    index, rows = torch.unique(torch.stack([each.index for each in examples]), return_inverse=True)
    source = torch.empty_like(index)
    source[rows.flatten()] = torch.arange(rows.numel(), device=rows.device)
    same_scale = all(
        len(each.scale) == len(first.scale) and all(map(torch.equal, each.scale, first.scale))
        for each in examples
    )
    marks = torch.cat([fingerprints(each) for each in examples]).to(source.device)
    same_images = all(torch.equal(each[source][rows.flatten()], each) for each in (every["labels"], marks))
    if not same_scale or not same_images:
        raise CourseError(
            "examples must all be subsets of one data set, got sets that disagree about an example"
        )
    once = {name: values[source] for name, values in every.items()}
    return replace(first, **once, index=index, extras={k: v[source] for k, v in extras.items()}), rows
