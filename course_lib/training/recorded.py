"""The step of many students, recorded once and replayed: what ``torch.vmap`` and autograd decide at every operation
is the same at every step, and for small networks deciding takes longer than computing."""

import logging
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

Step = Callable[[Mapping[str, Tensor], Mapping], tuple[Tensor, Tensor]]
_log = logging.getLogger(__name__)


def record(
    step: Step, weights: Mapping[str, Tensor], batch: Mapping
) -> Callable[[Mapping], tuple[Tensor, dict[str, Tensor | None]]] | None:
    """A step as a recording of all its tensor operations, forwards and backwards, which gives the same bits.

    Args:
        step: from the stacked weights by name and a batch to the totals (students,) and a record without gradient.
        weights: what ``step`` is called with, changed in place from step to step.
        batch: an example of a batch; all others must have its shapes.

    Returns:
        From a batch to the record, and the gradients of the students' own totals by name, for the weights that require
        them. None where something in the step cannot be recorded. Numbers that a loss draws from PyTorch's generator
        are drawn anew at every call; all else that is in neither ``weights`` nor ``batch`` stays as it was.
    """
    names, keys = tuple(weights), tuple(batch)
    learned = [name for name, value in weights.items() if value.requires_grad]

    def flat(*tensors: Tensor) -> tuple[Tensor | None, ...]:
        own = dict(zip(names, tensors, strict=False))
        totals, values = step(own, dict(zip(keys, tensors[len(names) :], strict=True)))
        # The gradient of the sum, with respect to one student's weights, is that of the student's own loss.
        gradients = torch.autograd.grad(totals.sum(), [own[name] for name in learned], allow_unused=True)
        # Laid out like the weights, as autograd leaves them: fused optimisers rely on it.
        return values, *(each if each is None else each.contiguous() for each in gradients)

    try:
        graph = _without_detours(make_fx(flat)(*weights.values(), *batch.values()))
    except Exception as error:  # whatever PyTorch or somebody's loss raises where it meets a recorder
        _log.info("the step is not recorded, which makes it slower: %s: %s", type(error).__name__, error)
        return None

    @torch.no_grad()
    def replay(batch: Mapping) -> tuple[Tensor, dict[str, Tensor | None]]:
        values, *gradients = graph(*weights.values(), *batch.values())
        return values, dict(zip(learned, gradients, strict=True))

    return replay


def _without_detours(graph: GraphModule) -> GraphModule:
    """Without what is of no use outside autograd."""
    for node in list(graph.graph.nodes):
        if node.target is torch.ops.aten.detach.default:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph
