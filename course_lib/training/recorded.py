"""The step of many students, recorded once and replayed: what ``torch.vmap`` and autograd decide at every operation
is the same at every step, and for small networks deciding takes longer than computing."""

import logging
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, MethodDescriptorType

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.node import map_arg

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
        are drawn again at every call; all else that is in neither ``weights`` nor ``batch`` stays as it was.
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
        # On a GPU the backward pass has a thread of its own, which a recorder might not see.
        with torch.autograd.set_multithreading_enabled(False):
            graph = _without_detours(make_fx(flat)(*weights.values(), *batch.values()))
            with torch.no_grad():
                graph(*weights.values(), *batch.values())  # what cannot be replayed shows here
    except Exception as error:  # whatever PyTorch or somebody's loss raises where it meets a recorder
        _log.info("the step is not recorded, which makes it slower: %s: %s", type(error).__name__, error)
        return None

    @torch.no_grad()
    def replay(batch: Mapping) -> tuple[Tensor, dict[str, Tensor | None]]:
        values, *gradients = graph.forward(*weights.values(), *batch.values())
        return values, dict(zip(learned, gradients, strict=True))

    return replay


def _without_detours(graph: GraphModule) -> GraphModule:
    """Without what changes nothing: most comes from ``torch.vmap``, which is careful about cases that are not there."""
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and _changes_nothing(node):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    _fold_constants(graph)
    graph.graph.eliminate_dead_code()
    _call_directly(graph)
    graph.recompile()
    return graph


def _changes_nothing(node: Node) -> bool:
    aten = torch.ops.aten
    if node.target is aten.detach.default:
        return True
    before = node.args[0].meta.get("val") if node.args and isinstance(node.args[0], Node) else None
    after = node.meta.get("val")
    if not (isinstance(before, Tensor) and isinstance(after, Tensor)):  # max pooling gives a tuple
        return False
    if (before.shape, before.dtype) != (after.shape, after.dtype):
        return False
    if node.target in (
        aten.mul.Scalar,
        aten.mul.Tensor,
        aten.div.Scalar,
        aten.div.Tensor,
        aten.pow.Tensor_Scalar,
    ):
        return isinstance(node.args[1], int | float) and node.args[1] == 1
    return node.target in (aten.view.default, aten._unsafe_view.default, aten.expand.default)


def _fold_constants(graph: GraphModule) -> None:
    """Compute once what is the same at every step, such as the gradient of the mean by its summands."""
    aten = torch.ops.aten
    by_shape = (
        aten.ones_like.default,
        aten.zeros_like.default,
        aten.new_zeros.default,
        aten.new_ones.default,
    )
    calls = [node for node in graph.graph.nodes if node.op == "call_function"]
    if any(getattr(node.target, "_schema", None) is None or node.target._schema.is_mutable for node in calls):
        return  # something is written in place: what looks constant may not be
    values: dict[Node, Tensor] = {}
    for node in calls:
        own = dict(values)
        if node.target in by_shape:
            like = node.args[0].meta["val"]
            own.setdefault(
                node.args[0],
                torch.empty_strided(like.size(), like.stride(), dtype=like.dtype, device=like.device),
            )
        random = torch.Tag.nondeterministic_seeded in node.target.tags
        if random or any(each not in own for each in node.all_input_nodes):
            continue
        values[node] = node.target(*map_arg(node.args, own.get), **map_arg(node.kwargs, own.get))
    for place, (node, value) in enumerate(values.items()):
        if any(user not in values for user in node.users):
            graph.register_buffer(f"constant_{place}", value)
            with graph.graph.inserting_before(node):
                node.replace_all_uses_with(graph.graph.get_attr(f"constant_{place}"))


def _call_directly(graph: GraphModule) -> None:
    """Call operations through PyTorch's usual functions and methods.

    They are the same operations, but those of ``torch.ops`` read their arguments more slowly, which small networks
    feel.
    """
    for node in graph.graph.nodes:
        if isinstance(node.target, OpOverload) and node.target.namespace == "aten":
            name = node.target.overloadpacket.__name__
            known = (getattr(home, name, None) for home in (torch, Tensor))
            direct = (each for each in known if isinstance(each, BuiltinFunctionType | MethodDescriptorType))
            node.target = next(direct, node.target)
