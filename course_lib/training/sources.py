"""What the training loop can hand to a loss, and under which name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One thing that the loop supplies; pass it as a setting of a ``Term`` where the parameter has another name.

    Attributes:
        name: what it is.
        layer: which layer's, for activations; which of the examples' extras.
    """

    name: str
    layer: str | None = None

    def __str__(self) -> str:
        return f"{self.name}({self.layer!r})" if self.layer else self.name


INPUTS = Source("inputs")
LABELS = Source("labels")
# The number of each example in the full data set, (N,): where a memory keeps what belongs to it.
INDEX = Source("index")
STUDENT_LOGITS = Source("student_logits")
TEACHER_LOGITS = Source("teacher_logits")
SOFT_MATRIX = Source("soft_matrix")
# JᵀS at the input, (N, m, *input_shape), with the soft matrix of the teacher's cache.
STUDENT_GRADIENTS = Source("student_gradients")
TEACHER_GRADIENTS = Source("teacher_gradients")

# A loss's parameter of one of these names is supplied without being asked for.
BY_PARAMETER = {
    source.name: source
    for source in (INPUTS, LABELS, INDEX, STUDENT_LOGITS, TEACHER_LOGITS, SOFT_MATRIX, TEACHER_GRADIENTS)
}


def student_activation(layer: str) -> Source:
    """The student's activation z of a layer, (N, *shape); gradients flow through it."""
    return Source("student_activation", layer)


def teacher_activation(layer: str) -> Source:
    """The teacher's activation of a layer, (N, *shape), from ``cache_teacher(..., layers=[layer])``."""
    return Source("teacher_activation", layer)


def extra(name: str) -> Source:
    """A tensor of the examples' own, (N, ...), such as a mask: ``Examples(..., extras={"mask": mask})``."""
    return Source("extra", name)
