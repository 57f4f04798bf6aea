"""How far an image is from another answer: the distance to the decision boundary, in units of the input."""

import torch
from torch import Tensor, nn

from course_lib.data import Examples
from course_lib.errors import CourseError, check_count
from course_lib.models import evaluating

_OVERSHOOT = 1.02  # past the boundary, where the tangents of the logits only approach it


def boundary_distance(network: nn.Module, examples: Examples, *, steps: int = 20) -> Tensor:
    """Distance from every image to the nearest point found that the network answers differently, (N,) float32.

    Every step replaces the logits by their tangents and moves to the nearest boundary between the image's own class
    and another one, which for a linear network is exact. For others it is an upper bound: a nearer boundary may have
    been missed. Moosavi-Dezfooli, Fawzi and Frossard, "DeepFool", 2016.

    Args:
        network: returns logits (N, C), for each example from that example alone.
        examples: labelled images; their distances are in units of the normalised input.
        steps: how many moves at most.

    Returns:
        0 where the network is wrong from the start; infinity where no boundary was reached.

    Raises:
        CourseError: ``steps`` is not a positive integer, or the network does not return (N, C) logits.
    """
    check_count(steps=steps)
    start, labels = examples.inputs, examples.labels
    moved, distance = start.clone(), torch.full((len(start),), torch.inf)
    with evaluating(network):
        for _ in range(steps + 1):
            logits, jacobian = _tangents(network, moved)
            crossed = (logits.argmax(dim=1) != labels) & distance.isinf()
            distance[crossed] = (moved - start).flatten(1).norm(dim=1)[crossed]
            on_the_way = distance.isinf()
            if not on_the_way.any():
                break
            move = _to_nearest_boundary(logits[on_the_way], jacobian[on_the_way], labels[on_the_way])
            moved[on_the_way] += _OVERSHOOT * move.view_as(moved[on_the_way])
    return distance


def _tangents(network: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (N, C) and their Jacobian (N, C, d)."""
    inputs = inputs.detach().requires_grad_()
    logits = network(inputs)
    if logits.ndim != 2 or len(logits) != len(inputs):
        raise CourseError(f"network must return logits of shape (N, C), got {tuple(logits.shape)}")
    rows = [torch.autograd.grad(column.sum(), inputs, retain_graph=True)[0].flatten(1) for column in logits.T]
    return logits.detach(), torch.stack(rows, dim=1)


def _to_nearest_boundary(logits: Tensor, jacobian: Tensor, labels: Tensor) -> Tensor:
    """The shortest move, (N, d), after which by the tangents another class draws level with the label's."""
    rows = torch.arange(len(labels))
    gaps = logits[rows, labels, None] - logits  # (N, C), ≥ 0 where the answer is right
    slopes = jacobian - jacobian[rows, labels, None]  # (N, C, d), how each class gains on the label's
    lengths = slopes.norm(dim=2).clamp(min=1e-12)
    away = (gaps / lengths).scatter(1, labels[:, None], torch.inf)
    nearest = away.argmin(dim=1)
    direction = slopes[rows, nearest] / lengths[rows, nearest, None]
    return away[rows, nearest, None] * direction
