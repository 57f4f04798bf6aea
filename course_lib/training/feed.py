"""What a training step is given: a batch of examples by position, and the teacher's answers to the same ones."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from course_lib.data import Examples
from course_lib.errors import CourseError
from course_lib.models import evaluating
from course_lib.training.cache import TeacherCache, cache_teacher, fingerprints
from course_lib.training.objective import Objective


class Feed:
    """Supplies the tensors that the terms of an objective ask for.

    Args:
        objective: what is asked for.
        examples: the labelled examples, on the device of the training.
        teacher: its cache, or the network itself, which is then asked once about all examples.

    Raises:
        CourseError: the examples are empty, or a teacher is needed and none was given.
    """

    def __init__(self, objective: Objective, examples: Examples, teacher: TeacherCache | nn.Module | None):
        if not len(examples):
            raise CourseError("examples must hold at least one example, got none")
        self.examples, self.needs, self.teacher_logits = examples, objective.needs, None
        if "teacher_logits" in self.needs:
            if teacher is None:
                asking = ", ".join(term.name for term in objective.terms if "teacher_logits" in term.needs)
                raise CourseError(f"teacher must be given for the term {asking}, got None")
            cache = teacher if isinstance(teacher, TeacherCache) else cache_teacher(teacher, examples)
            self.teacher_logits = cache.lookup(examples)

    def __call__(self, rows: Tensor) -> dict[str, Tensor]:
        """Tensors for the examples at ``rows``, (B,) or (students, B), each with those leading dimensions."""
        supplied = {"inputs": self.examples.batch(rows)}
        if "labels" in self.needs:
            supplied["labels"] = pick(self.examples.labels, rows)
        if self.teacher_logits is not None:
            supplied["teacher_logits"] = pick(self.teacher_logits, rows)
        return supplied

    def rehearse(self, model: nn.Module, objective: Objective, students: int = 1) -> None:
        """Evaluate every term once on two examples, so that bad input is answered before training starts.

        Under ``torch.vmap`` the losses cannot look at values; here each student's settings are plain numbers.
        """
        supplied = self(torch.arange(min(2, len(self.examples)), device=self.examples.images.device))
        with evaluating(model):
            logits = model(supplied["inputs"])
        if not isinstance(logits, Tensor) or logits.ndim != 2:
            came = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise CourseError(f"build_model must make a network with logits (N, C), got {came}")
        low, high = (int(value) for value in self.examples.labels.aminmax())
        if low < 0 or high >= logits.shape[1]:
            wrong = low if low < 0 else high
            raise CourseError(
                f"labels must be from 0 to below the model's {logits.shape[1]} classes, got {wrong}"
            )
        knobs = objective.knobs(students)
        settings = {tuple(float(value[s]) for value in knobs.values()) for s in range(students)}
        for values in settings:
            objective({**supplied, "student_logits": logits}, dict(zip(knobs, values, strict=True)))


def pick(values: Tensor, rows: Tensor) -> Tensor:
    """``values[rows]`` along the first dimension; index_select is several times faster than fancy indexing."""
    return values.index_select(0, rows.flatten()).view(*rows.shape, *values.shape[1:])


def pool(examples: Examples | Sequence[Examples], students: int) -> tuple[Examples, Tensor]:
    """All students' examples in one set, and which rows of it are each student's own, (students, n).

    Raises:
        CourseError: not one set per student, sets of different sizes, or sets of different data.
    """
    if isinstance(examples, Examples):
        return examples, torch.arange(len(examples)).expand(students, -1)
    if len(examples) != students:
        raise CourseError(f"examples must be one set, or one per seed ({students}), got {len(examples)} sets")
    first = examples[0]
    sizes = {len(each) for each in examples}
    if len(sizes) > 1:
        raise CourseError(f"examples must all be of one size to train together, got sizes {sorted(sizes)}")
    labels = torch.cat([each.labels for each in examples])
    index, rows = torch.unique(torch.stack([each.index for each in examples]), return_inverse=True)
    source = torch.empty_like(index)
    source[rows.flatten()] = torch.arange(rows.numel(), device=rows.device)
    same_scale = all(
        torch.equal(each.mean, first.mean) and torch.equal(each.std, first.std) for each in examples
    )
    marks = torch.cat([fingerprints(each) for each in examples]).to(source.device)
    same_images = all(torch.equal(each[source][rows.flatten()], each) for each in (labels, marks))
    if not same_scale or not same_images:
        raise CourseError(
            "examples must all be subsets of one data set, got sets that disagree about an example"
        )
    images = torch.cat([each.images for each in examples])[source]
    return replace(first, images=images, labels=labels[source], index=index), rows
