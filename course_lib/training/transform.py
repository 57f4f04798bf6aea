"""Batches that are changed before student and teacher see them, such as mixed or cropped images with their labels."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from course_lib.data import Examples, Views
from course_lib.errors import CourseError
from course_lib.training.batches import WHOLE, BatchSource, Teacher
from course_lib.training.functions import words_of_function, words_of_module
from course_lib.training.live import LiveTeacher
from course_lib.training.objective import Objective
from course_lib.training.sources import INPUTS, LABELS, Source

Transform = Callable[[Tensor, Tensor], Sequence[Tensor]]


class ChangedBatches(BatchSource):
    """A ``BatchSource`` whose inputs and labels go through a function of the user's first.

    Args:
        transform: from inputs (B, ...) and labels (B, ...) to both, as ``fit`` says.
        others: as of ``BatchSource``.

    Raises:
        CourseError: as ``BatchSource``; a teacher that does not see the batch; a term that asks for what the function
            cannot change with the inputs.
    """

    def __init__(
        self,
        transform: Transform,
        objective: Objective,
        examples: Examples,
        teacher: Teacher | None,
        views: Views | None,
    ):
        if teacher is not None and not isinstance(teacher, LiveTeacher) and _asks_teacher(objective):
            raise CourseError(
                "teacher must be a LiveTeacher where there is a transform, because it has to answer about what the "
                f"student sees, got {type(teacher).__name__}"
            )
        if asking := objective.asking("index", "extra"):
            raise CourseError(
                f"transform changes inputs and labels alone, and the term {asking} asks for the index or an extra of "
                "examples as they were"
            )
        self._transform = transform
        super().__init__(objective, examples, teacher, views)

    def words(self) -> str:
        """What a checkpoint recognises the function by.

        Raises:
            CourseError: nothing identifies the function.
        """
        if not isinstance(self._transform, nn.Module):
            return words_of_function("transform", self._transform)
        words = words_of_module(self._transform)
        if " at 0x" in words:
            raise CourseError(f"transform must be made of parts that a checkpoint can recognise, got {words}")
        return words

    def __call__(self, draws: Tensor, part: slice = WHOLE) -> dict[Source, Tensor]:
        batch = super().__call__(draws, part)
        return batch if self._live else batch | self._changed(batch[INPUTS], batch[LABELS])

    def of_teacher(self, number: int) -> dict[Source, Tensor]:
        """Sources about the examples as they are, without drawing a random number."""
        transform, self._transform = self._transform, _unchanged
        try:
            return super().of_teacher(number)
        finally:
            self._transform = transform

    def _asked_of_examples(self, objective: Objective) -> dict[Source, Tensor]:
        return {LABELS: self.examples.labels} | super()._asked_of_examples(objective)

    def _ask_now(
        self, teacher: LiveTeacher, inputs: Tensor, labels: Tensor, rows: Tensor
    ) -> dict[Source, Tensor]:
        changed = self._changed(inputs, labels)
        return changed | super()._ask_now(teacher, changed[INPUTS], changed[LABELS], rows)

    def _changed(self, inputs: Tensor, labels: Tensor) -> dict[Source, Tensor]:
        found: Any = self._transform(inputs, labels)  # by a function of the user's
        parts = list(found) if isinstance(found, tuple | list) else [found]
        if len(parts) != 2 or not all(
            isinstance(each, Tensor) and len(each) == len(inputs) for each in parts
        ):
            came = [
                str(tuple(each.shape)) if isinstance(each, Tensor) else type(each).__name__ for each in parts
            ]
            raise CourseError(
                f"transform must return inputs and labels, with a row for each of {len(inputs)} examples, got "
                f"{', '.join(came) or 'nothing'}"
            )
        return {INPUTS: parts[0], LABELS: parts[1]}


def _asks_teacher(objective: Objective) -> bool:
    return any(
        source.name.startswith("teacher") or source.name == "soft_matrix" for source in objective.sources
    )


def _unchanged(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return inputs, labels
