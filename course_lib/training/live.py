"""A teacher that is asked at every step, for answers that are too many or too large to be kept."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.losses import soft_gradients
from course_lib.models import Activations, evaluating
from course_lib.training.sources import SOFT_MATRIX, TEACHER_GRADIENTS, TEACHER_LOGITS, Source

SoftMatrix = Tensor | Callable[[Tensor, Tensor], Tensor]


class LiveTeacher:
    """Answers for each batch as it comes, under augmentation for the very views that the student sees.

    Asking costs a forward pass at every step, and a backward pass for each column of S where gradients are asked for;
    what a ``TeacherCache`` can hold is cheaper from there.

    Args:
        network: the teacher; it answers in eval mode, on its own device and in its own precision.
        soft_matrix: S for gradients, (C, m); or a function from the teacher's logits (B, C) and the labels (B,) to
            (B, C, m), such as ``course_lib.matrices.cross_entropy_matrix``.

    Raises:
        CourseError: ``network`` is not a ``torch.nn.Module``.
    """

    def __init__(self, network: nn.Module, soft_matrix: SoftMatrix | None = None):
        if not isinstance(network, nn.Module):
            raise CourseError(f"network must be a torch.nn.Module, got {type(network).__name__}")
        self.network, self.soft_matrix = network, soft_matrix

    def answers(self, inputs: Tensor, labels: Tensor, wanted: Iterable[Source]) -> dict[Source, Tensor]:
        """What is wanted of the teacher about inputs (B, ...) with labels (B, ...), each with B in front.

        Raises:
            CourseError: gradients or the soft matrix are wanted and none was given, or a layer does not exist.
        """
        wanted = set(wanted)
        matrix_wanted = bool(wanted & {SOFT_MATRIX, TEACHER_GRADIENTS})
        matrix = self.soft_matrix if matrix_wanted else None
        if matrix_wanted and matrix is None:
            raise CourseError(
                "soft_matrix must be given for a term of gradients: LiveTeacher(network, soft_matrix)"
            )
        layers = sorted({each.layer or "" for each in wanted if each.name == "teacher_activation"})
        some = next(self.network.parameters(), inputs)
        seen = inputs.detach().to(some.device)
        seen = seen.to(some.dtype) if seen.is_floating_point() else seen  # tokens stay whole numbers
        differentiated = TEACHER_GRADIENTS in wanted
        with (
            evaluating(self.network),
            torch.set_grad_enabled(differentiated),
            Activations(self.network, layers) as z,
        ):
            seen = seen.requires_grad_(differentiated)
            logits = self.network(seen)
            found = {TEACHER_LOGITS: logits}
            if matrix is not None:
                found[SOFT_MATRIX] = _of_each(matrix, logits.detach().float(), labels)
            if differentiated:
                found[TEACHER_GRADIENTS] = soft_gradients(logits, seen, found[SOFT_MATRIX])
        found |= {Source("teacher_activation", layer): z[layer] for layer in layers}
        return {source: value.detach().to(inputs.device, torch.float32) for source, value in found.items()}


def _of_each(matrix: SoftMatrix, logits: Tensor, labels: Tensor) -> Tensor:
    """S for every example, (B, C, m)."""
    if callable(matrix):
        return matrix(logits, labels.to(logits.device))
    return matrix.to(logits).expand(len(logits), *matrix.shape)
