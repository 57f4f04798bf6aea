"""What teachers have said about all examples of a training, and how a batch finds its rows of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.training.sources import SOFT_MATRIX, Source
from course_lib.training.top_k import Logits, changed, in_full


@dataclass(frozen=True, eq=False)
class Known:
    """One teacher's answers, by source.

    Attributes:
        answers: a row for each draw, on the device of the training; or, with ``places``, those of a file.
        places: the row in the file of each example, (N,) int64, on the CPU.
        views: of each example.
        device: of the training, where rows of a file are moved to.
    """

    answers: dict[Source, Logits]
    places: Tensor | None = None
    views: int = 1
    device: torch.device | str = "cpu"

    @property
    def has_one_matrix(self) -> bool:
        """Whether all examples have the same soft matrix, which is then not one of the rows."""
        matrix = self.answers.get(SOFT_MATRIX)
        return isinstance(matrix, Tensor) and matrix.ndim == 2

    @property
    def is_plain(self) -> bool:
        """Whether all answers are tensors with a row for each draw."""
        return self.places is None and all(isinstance(each, Tensor) for each in self.answers.values())

    def __call__(self, draws: Tensor) -> dict[Source, Tensor]:
        """The rows of the draws, each (*draws.shape, ...) float32."""
        if self.places is not None:
            draws = draws.cpu()
            draws = self.places[draws // self.views] * self.views + draws % self.views
        found = {}
        for source, values in self.answers.items():
            rows = in_full(changed(values, lambda each: pick(each, draws.flatten())))
            found[source] = rows.view(*draws.shape, *rows.shape[1:])
        if self.places is not None:
            found = {source: rows.to(self.device) for source, rows in found.items()}
        # Views are kept in half precision.
        return {source: rows.float() for source, rows in found.items()}


class AllKnown:
    """One teacher's answers for all students, or those of one teacher for each.

    Args:
        known: by teacher.
        draws: number of different ones.
    """

    def __init__(self, known: Sequence[Known], draws: int):
        self._known, self._draws, self._several = known, draws, len(known) > 1
        if self._several and all(each.is_plain for each in known):
            # Below each other, (teachers · draws, ...): one look-up for all is several times faster.
            below: dict[Source, Logits] = {
                source: torch.cat([in_full(each.answers[source]) for each in known])
                for source in known[0].answers
            }
            self._known = [Known(below)]

    def __call__(self, draws: Tensor) -> dict[Source, Tensor]:
        """The rows of the draws, (B,) of the first teacher, or (students, B)."""
        if not self._several or draws.ndim == 1:
            return self._known[0](draws)
        if len(self._known) == 1:
            return self._known[0](
                draws + torch.arange(len(draws), device=draws.device)[:, None] * self._draws
            )
        each = [known(own) for known, own in zip(self._known, draws, strict=True)]
        return {source: torch.stack([rows[source] for rows in each]) for source in each[0]}


def pick(values: Tensor, rows: Tensor) -> Tensor:
    """``values[rows]`` along the first dimension; index_select is several times faster than fancy indexing."""
    return values.index_select(0, rows.flatten()).view(*rows.shape, *values.shape[1:])
