"""One forward pass of a student with all that a loss may ask for: logits, activations, what to differentiate by."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from course_lib.losses import PullBack, soft_gradients
from course_lib.losses.jacobian import products
from course_lib.models import Activations
from course_lib.training.sources import INPUTS, SOFT_MATRIX, Source


@dataclass(frozen=True)
class ForwardResult:
    """A batch and what the student made of it.

    Attributes:
        batch: what does not depend on the student.
        logits: (N, C).
        activations: by layer, (N, *shape); "inputs" is the input itself.
        pull: from cotangents of the logits (m, N, C) and names of layers to gradients, (m, N, *shape) each; None
            in the dry run, where the losses are given the activations themselves and check their graph.
    """

    batch: Mapping[Source, Tensor]
    logits: Tensor
    activations: Mapping[str, Tensor]
    pull: Callable[[Tensor, Sequence[str]], Sequence[Tensor]] | None = None

    def __getitem__(self, source: Source) -> Tensor:
        if source.name == "student_logits":
            return self.logits
        if source.name == "student_activation":
            return self.activations[source.layer or ""]
        if source.name == "student_gradients":
            inputs = self.differentiable(("inputs",), single=False)
            return soft_gradients(self.logits, inputs, self.batch[SOFT_MATRIX], create_graph=True)[0]
        return self.batch[source]

    def differentiable(self, layers: Sequence[str], *, single: bool) -> Tensor | list[Tensor] | PullBack:
        """The activations of these layers as the losses take them: tensors of the graph, or what stands for them."""
        pull = self.pull
        if pull is not None:
            return PullBack(lambda columns: pull(columns, layers))
        tensors = [self.activations[layer] for layer in layers]
        return tensors[0] if single else tensors


class Forward:
    """The forward pass of one network, through autograd, inside a ``with`` block.

    Args:
        model: what is called, e.g. the network inside Fabric's wrapper.
        network: the module whose layers are read.
        layers: whose activations are read, without the input.
        differentiated: the layers, or "inputs", with respect to which a loss differentiates.
    """

    def __init__(
        self, model: nn.Module, network: nn.Module, layers: Iterable[str], differentiated: Iterable[str]
    ):
        self._model, self._activations = model, Activations(network, layers)
        self._by_inputs = "inputs" in differentiated

    def __enter__(self) -> "Forward":
        self._activations.__enter__()
        return self

    def __exit__(self, *exception) -> None:
        self._activations.__exit__(*exception)

    def __call__(self, batch: Mapping[Source, Tensor], *, dry_run: bool = False) -> ForwardResult:
        inputs = batch[INPUTS].detach().requires_grad_() if self._by_inputs else batch[INPUTS]
        logits = self._model(inputs)
        activations = {"inputs": inputs, **{name: self._activations[name] for name in self._activations}}

        def pull(columns: Tensor, layers: Sequence[str]) -> Sequence[Tensor]:
            return products(logits, [activations[layer] for layer in layers], columns)

        return ForwardResult(batch, logits, activations, None if dry_run else pull)


class StackedForward:
    """The forward pass of one of many stacked students, inside ``torch.vmap``, and inside a ``with`` block.

    There autograd's graph is out of sight. Instead a zero is added to every activation of interest, and ``torch.func``
    differentiates by the zeros.

    Args:
        skeleton: the network whose parameters are replaced by a student's.
        layers, differentiated: as in ``Forward``.
        shapes: of the differentiated activations by layer, without the examples' dimension.
    """

    def __init__(
        self,
        skeleton: nn.Module,
        layers: Iterable[str],
        differentiated: Iterable[str],
        shapes: Mapping[str, torch.Size],
    ):
        self._skeleton, self._shapes = skeleton, {layer: shapes[layer] for layer in differentiated}
        self._layers, self._zeros, self._activations, self._handles = tuple(layers), {}, {}, []

    def __enter__(self) -> "StackedForward":
        modules = dict(self._skeleton.named_modules())
        self._handles = [modules[layer].register_forward_hook(self._hook(layer)) for layer in self._layers]
        return self

    def __exit__(self, *exception) -> None:
        for handle in self._handles:
            handle.remove()
        self._zeros, self._activations = {}, {}

    def _hook(self, layer: str) -> Callable:
        def add_zero(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
            self._activations[layer] = output + self._zeros[layer] if layer in self._zeros else output
            return self._activations[layer]

        return add_zero

    def __call__(self, weights: dict[str, Tensor], batch: Mapping[Source, Tensor]) -> ForwardResult:
        def run(zeros: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            inputs = batch[INPUTS] + zeros["inputs"] if "inputs" in zeros else batch[INPUTS]
            self._zeros, self._activations = zeros, {"inputs": inputs}
            # Shared weights are refused before, so there are none to tie.
            logits = functional_call(self._skeleton, weights, (inputs,), tie_weights=False)
            return logits, self._activations

        if not self._shapes:
            logits, activations = run({})
            return ForwardResult(batch, logits, activations)
        some = batch[INPUTS]
        zeros = {layer: some.new_zeros(len(some), *shape) for layer, shape in self._shapes.items()}
        found = torch.func.vjp(run, zeros, has_aux=True)
        logits, backward, activations = found  # pyright: ignore[reportAssignmentType]  # three with has_aux

        def pull(columns: Tensor, layers: Sequence[str]) -> Sequence[Tensor]:
            if columns.ndim == logits.ndim:
                gradients = backward(columns)[0]
                return [gradients[layer] for layer in layers]
            if len(columns) == 1:  # a batch of one costs more than none
                gradients = backward(columns[0])[0]
                return [gradients[layer].unsqueeze(0) for layer in layers]
            gradients = torch.vmap(backward)(columns)[0]
            return [gradients[layer] for layer in layers]

        return ForwardResult(batch, logits, activations, pull)
