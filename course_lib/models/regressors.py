"""A student that carries FitNets' learned regressors with it, so that they are trained like the rest of it."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.models.activations import Activations
from course_lib.models.evaluating import evaluating


class WithRegressors(nn.Module):
    """A network, and for some of its layers a map that predicts a teacher's channels from the layer's.

    The logits are the network's own. The outputs of the regressors are read as activations of the layers
    "regressors.0", "regressors.1", …, in the order in which ``channels`` names the network's layers, and compared with
    the teacher's by ``layer_response_loss`` without an adapter (Romero et al. 2015: hints; their regressor is a
    convolution that also makes the sizes fit, and is trained in a stage of its own). After the training ``network`` is
    the student; the regressors have done their work.

    Args:
        network: the student. Made before the regressors, it has the first weights that it has without them.
        channels: (C_small, C_big) for a 1 × 1 convolution by layer, as in ``network.named_modules()``; or the regressor
            itself, any module from the layer's activations to something like the teacher's. ``WithRegressors.between``
            finds what suits.

    Raises:
        CourseError: no layers, a layer that does not exist, or neither two positive integers nor a module.
    """

    def __init__(self, network: nn.Module, channels: Mapping[str, tuple[int, int] | nn.Module]):
        super().__init__()
        if not channels:
            raise CourseError("channels must name at least one layer of the network, got none")
        Activations(network, channels)  # refuses unknown layers
        self.network, self.layers = network, tuple(channels)
        self.regressors = nn.ModuleList(_regressor(layer, given) for layer, given in channels.items())

    @classmethod
    def between(
        cls, network: nn.Module, teacher: nn.Module, layers: Mapping[str, str] | Iterable[str], inputs: Tensor
    ) -> "WithRegressors":
        """With the regressors that lead from layers of the student to layers of a teacher.

        Maps (N, C, H, W) get a 1 × 1 convolution, vectors (N, C) and sequences (N, L, C) a linear layer.

        Args:
            network: as above.
            teacher: asked once, in eval mode.
            layers: for each layer of the student the teacher's, by name; or a list of names that both networks have.
            inputs: (N, ...) at least one example, from which both networks' channels are read.

        Raises:
            CourseError: as above; a layer's activations have other dimensions than the teacher's, or none of these.
        """
        pairs = dict(layers) if isinstance(layers, Mapping) else {layer: layer for layer in layers}
        mine, theirs = _activations(network, pairs, inputs), _activations(teacher, pairs.values(), inputs)
        return cls(
            network,
            {layer: _suited(layer, mine[layer].shape, theirs[other].shape) for layer, other in pairs.items()},
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, *shape) → the network's logits, (N, C)."""
        with Activations(self.network, self.layers) as z:
            logits = self.network(inputs)
        for layer, regressor in zip(self.layers, self.regressors, strict=True):
            regressor(z[layer])  # only to be read as an activation
        return logits


def _regressor(layer: str, given: tuple[int, int] | nn.Module) -> nn.Module:
    if isinstance(given, nn.Module):
        return given
    if len(given) != 2 or any(type(number) is not int or number < 1 for number in given):
        raise CourseError(f"channels of {layer!r} must be two positive integers or a module, got {given!r}")
    return nn.Conv2d(*given, 1)


def _activations(network: nn.Module, layers: Iterable[str], inputs: Tensor) -> dict[str, Tensor]:
    """Of some layers, by name."""
    device = next(network.parameters(), inputs).device
    with evaluating(network), torch.no_grad(), Activations(network, layers) as z:
        network(inputs.to(device))
        return {layer: z[layer] for layer in z}


def _suited(layer: str, mine: torch.Size, theirs: torch.Size) -> nn.Module:
    """The regressor between activations of these shapes."""
    if len(mine) != len(theirs) or len(mine) not in (2, 3, 4):
        raise CourseError(
            f"layers must have activations (N, C), (N, L, C) or (N, C, H, W), as many dimensions as the teacher's, got "
            f"{tuple(mine)} of {layer!r} and {tuple(theirs)}"
        )
    if len(mine) == 4:
        return nn.Conv2d(mine[1], theirs[1], 1)
    return nn.Linear(mine[-1], theirs[-1])
