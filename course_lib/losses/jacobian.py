"""Products JᵀS of the logits' Jacobian with a soft matrix: many columns in one call, differentiable again."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast, overload

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from course_lib.errors import CourseError, check_count
from course_lib.losses.common import at_least_float32, check_finite, check_logits

ESTIMATORS = ("exact", "hutchinson")
# Their derivative is zero wherever it exists, so that nothing can be learned through it.
_STEPS = ("SignBackward", "SgnBackward", "RoundBackward", "FloorBackward", "CeilBackward", "TruncBackward")


@dataclass(frozen=True)
class PullBack:
    """Stands for activations in the training loop: how to differentiate by them, without looking at them.

    Under ``torch.vmap`` there is no autograd graph to walk. And the steps of one student need no check each.

    Attributes:
        function: from cotangents of the logits (m, N, C) to the gradients, (m, N, *shape) for each activation; from
            a single one (N, C) to (N, *shape).
    """

    function: Callable[[Tensor], Sequence[Tensor]]


def differentiates(parameter: str) -> Callable:
    """Mark a loss that differentiates the logits with respect to what it takes as ``parameter``.

    The training loop then keeps to float32 and supplies there what ``soft_gradients(..., create_graph=True)`` takes; so
    a loss that asks this function for its gradients trains one student and many at once.
    """

    def mark(loss: Callable) -> Callable:
        loss.differentiates = parameter
        return loss

    return mark


@overload
def soft_gradients(
    logits: Tensor, activations: Tensor, soft_matrix: Tensor, *, create_graph: bool = False
) -> Tensor: ...


@overload
def soft_gradients(
    logits: Tensor,
    activations: Sequence[Tensor] | PullBack,
    soft_matrix: Tensor,
    *,
    create_graph: bool = False,
) -> tuple[Tensor, ...]: ...


def soft_gradients(
    logits: Tensor,
    activations: Tensor | Sequence[Tensor] | PullBack,
    soft_matrix: Tensor,
    *,
    create_graph: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    """JᵀS of every example: how each column of S, read as a combination of logits, changes with the activations.

    One call for all m columns (m vector-Jacobian products in a batch); one plain backward pass for m = 1.

    Args:
        logits: F, shape (N, C), computed from the activations, each example from its own alone.
        activations: z, a tensor (N, *shape) of the graph, or several; ``inputs`` themselves with requires_grad.
        soft_matrix: S, shape (C, m), or (N, C, m) with one for each example.
        create_graph: keep the graph, to train on the result.

    Returns:
        (N, m, *shape) in float32 or wider; a tuple of them for several activations.

    Raises:
        CourseError: a shape does not fit, an activation is not part of the graph of the logits, a train-mode batch
            norm or a step function lies between them; on a CPU also NaN or infinity.
    """
    matrix = checked_matrix(logits, soft_matrix, activations)
    several = pull_back(logits, activations, columns_of(matrix, len(logits)), create_graph=create_graph)
    gradients = tuple(each.transpose(0, 1) for each in several)  # (N, m, *shape)
    return gradients[0] if isinstance(activations, Tensor) else gradients


def checked_matrix(logits: Tensor, soft_matrix: Tensor, activations: object) -> Tensor:
    """S in the precision of the logits, after checking both."""
    check_logits(columns=1, student_logits=logits)  # a critic has one output
    n, classes = logits.shape
    if not isinstance(soft_matrix, Tensor) or not soft_matrix.is_floating_point():
        came = (
            f"{soft_matrix.dtype} tensor" if isinstance(soft_matrix, Tensor) else type(soft_matrix).__name__
        )
        raise CourseError(f"soft_matrix must be a floating-point tensor (C, m) or (N, C, m), got {came}")
    fits = soft_matrix.shape[:-1] in {(classes,), (n, classes)} and soft_matrix.shape[-1] > 0
    if not fits:
        raise CourseError(
            f"soft_matrix must have shape (C, m) or (N, C, m) with N = {n} and C = {classes}, "
            f"got {tuple(soft_matrix.shape)}"
        )
    if not isinstance(activations, PullBack):
        check_finite(student_logits=logits, soft_matrix=soft_matrix)
    return soft_matrix.to(logits)


def columns_of(matrix: Tensor, examples: int) -> Tensor:
    """The columns of S for every example, as cotangents of the logits, (m, N, C)."""
    return matrix.t()[:, None].expand(-1, examples, -1) if matrix.ndim == 2 else matrix.permute(2, 0, 1)


def probed(
    matrix: Tensor, examples: int, estimator: str, probes: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor | None]:
    """The cotangents to pull back: all columns of S, (m, N, C), or random ± combinations of them, (P, N, C).

    Returns:
        The cotangents, and the signs v of the combinations, (P, N, m), or None where the estimator is exact.
    """
    if estimator not in ESTIMATORS:
        raise CourseError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    check_count(probes=probes)
    if estimator == "exact":
        if probes != 1:
            raise CourseError(
                f"probes belongs to estimator='hutchinson'; the exact one takes none, got {probes}"
            )
        return columns_of(matrix, examples), None
    # Signs have E[v vᵀ] = I like Gaussian numbers, and the smallest variance of all (Hutchinson 1989).
    size = (probes, examples, matrix.shape[-1])
    signs = torch.randint(0, 2, size, generator=generator, dtype=matrix.dtype, device=matrix.device)
    signs = signs.mul_(2).sub_(1)
    if matrix.ndim == 2:
        return signs @ matrix.t(), signs
    return (matrix @ signs.unsqueeze(-1)).squeeze(-1), signs


def pull_back(
    logits: Tensor,
    activations: Tensor | Sequence[Tensor] | PullBack,
    columns: Tensor,
    *,
    create_graph: bool = True,
) -> tuple[Tensor, ...]:
    """Vector-Jacobian products: one gradient per activation, (m, N, *shape) for cotangents (m, N, C).

    For a single cotangent (N, C) each is (N, *shape).
    """
    if isinstance(activations, PullBack):
        return tuple(activations.function(columns))
    layers = [activations] if isinstance(activations, Tensor) else list(activations)
    _check_layers(logits, layers)
    return products(logits, layers, columns, create_graph=create_graph)


def products(
    logits: Tensor, layers: Sequence[Tensor], columns: Tensor, *, create_graph: bool = True
) -> tuple[Tensor, ...]:
    """``pull_back`` through autograd, without checks."""

    def product(column: Tensor, batched: bool = False) -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            logits, layers, column, is_grads_batched=batched, create_graph=create_graph, retain_graph=True
        )

    kind = logits.device.type
    with torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext():
        if columns.ndim == logits.ndim:
            gradients = product(columns)
        elif len(columns) == 1:  # a batch of one costs more than none
            gradients = tuple(each.unsqueeze(0) for each in product(columns[0]))
        else:
            try:
                gradients = product(columns, batched=True)
            except RuntimeError:  # some operation, e.g. instance norm, cannot be differentiated in a batch
                gradients = tuple(map(torch.stack, zip(*map(product, columns), strict=True)))
    return tuple(map(at_least_float32, gradients))


def sum_of_squares(gradients: Sequence[Tensor]) -> Tensor:
    """Σ of all squares; dot products, and above all their derivatives, are slow where ``torch.vmap`` stacks them."""
    total = sum(each.square().sum() for each in gradients)
    return cast(Tensor, total)  # of at least one layer


def _check_layers(logits: Tensor, layers: Sequence[Tensor]) -> None:
    """Refuse what autograd would answer with a puzzling error, zeros or wrong numbers."""
    if not layers:
        raise CourseError("activations must hold at least one tensor, got none")
    for place, layer in enumerate(layers):
        if not isinstance(layer, Tensor):
            raise CourseError(f"activations must be tensors, got {type(layer).__name__} at place {place}")
        if layer.shape[:1] != logits.shape[:1]:
            raise CourseError(
                f"activations must have {len(logits)} examples like student_logits, got shape {tuple(layer.shape)}"
            )
    if logits.grad_fn is None:
        raise CourseError(
            "student_logits must be part of an autograd graph, got a tensor without one: compute it outside "
            "torch.no_grad and do not detach it"
        )
    targets = [get_gradient_edge(layer).node if layer.requires_grad else None for layer in layers]
    above = _above(logits.grad_fn, set(targets))
    for layer, target in zip(layers, targets, strict=True):
        if target is None or (target not in above and target is not logits.grad_fn):
            raise CourseError(
                f"activations must lie between the inputs and student_logits, got shape {tuple(layer.shape)} "
                "that is not part of their graph: read it with course_lib.models.Activations during the same forward "
                "pass (for the inputs themselves call inputs.requires_grad_() before it)"
            )
    for node in above:
        _check_node(node, len(logits)) if above[node] else None


def _above(top, targets: set) -> dict:
    """Every node of the graph below ``top``, and whether a target lies below the node."""
    order, stack, seen = [], [top], {top}
    while stack:
        node = stack.pop()
        order.append(node)
        for child, _ in node.next_functions:
            if child is not None and child not in seen:
                seen.add(child)
                stack.append(child)
    above = dict.fromkeys(order, False)
    changed = True
    while changed:  # children mostly come later in the order, so this ends after one or two rounds
        changed = False
        for node in reversed(order):
            if not above[node] and any(
                child in targets or above.get(child, False) for child, _ in node.next_functions
            ):
                above[node] = changed = True
    return above


def _check_node(node, examples: int) -> None:
    name = node.name()
    # Instance norm is computed by the same function, on a batch of one with more channels.
    if "BatchNorm" in name and node._saved_training and node._saved_input.shape[0] == examples > 1:
        raise CourseError(
            "the network has a batch norm in train mode between activations and student_logits, so that the logits of "
            "an example depend on the others and have no gradient of their own: call model.eval(), or use GroupNorm"
        )
    if name.startswith(_STEPS):
        raise CourseError(
            f"the network has a step function ({name.removesuffix('0').removesuffix('Backward').lower()}) between "
            "activations and student_logits, whose derivative is zero: use a differentiable one such as ReLU or GELU"
        )
