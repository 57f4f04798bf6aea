"""A student that carries FitNets' learned 1 × 1 regressors with it, so that they are trained like the rest of it."""

from collections.abc import Mapping

from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.models.activations import Activations


class WithRegressors(nn.Module):
    """A network, and for some of its layers a 1 × 1 convolution that predicts a teacher's channels from the layer's.

    The logits are the network's own. The outputs of the regressors are read as activations of the layers
    "regressors.0", "regressors.1", …, in the order in which ``channels`` names the network's layers, and compared with
    the teacher's by ``layer_response_loss`` without an adapter (Romero et al. 2015: hints; their regressor is a
    convolution that also makes the sizes fit, and is trained in a stage of its own). After the training ``network`` is
    the student; the regressors have done their work.

    Args:
        network: the student. Made before the regressors, it has the first weights that it has without them.
        channels: (C_small, C_big) by layer, as in ``network.named_modules()``.

    Raises:
        CourseError: no layers, a layer that does not exist, or numbers of channels that are not positive integers.
    """

    def __init__(self, network: nn.Module, channels: Mapping[str, tuple[int, int]]):
        super().__init__()
        for layer, pair in channels.items():
            if len(pair) != 2 or any(type(number) is not int or number < 1 for number in pair):
                raise CourseError(f"channels of {layer!r} must be two positive integers, got {pair!r}")
        if not channels:
            raise CourseError("channels must name at least one layer of the network, got none")
        Activations(network, channels)  # refuses unknown layers
        self.network, self.layers = network, tuple(channels)
        self.regressors = nn.ModuleList(nn.Conv2d(small, big, 1) for small, big in channels.values())

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, *shape) → the network's logits, (N, C)."""
        with Activations(self.network, self.layers) as z:
            logits = self.network(inputs)
        for layer, regressor in zip(self.layers, self.regressors, strict=True):
            regressor(z[layer])  # only to be read as an activation
        return logits
