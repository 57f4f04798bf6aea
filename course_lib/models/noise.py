"""Noise on the input as a layer, so that training with it is one more network and not another loop."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from course_lib.errors import check_not_negative


class NoisyInputs(nn.Module):
    """Adds normal noise in train mode, drawn again at every call; in eval mode it changes nothing.

    Training with it is, to second order in σ, a penalty on the Jacobian: of the squared distance from fixed targets
    it makes ‖F − y‖² + σ² ‖∂F/∂x‖_F². Bishop, "Training with Noise is Equivalent to Tikhonov Regularization", 1995.

    Args:
        sigma: σ ≥ 0, standard deviation in units of the normalised input. It is kept as a parameter that is not
            learned, so that students trained at once may differ in it.
    """

    def __init__(self, sigma: float):
        super().__init__()
        check_not_negative(sigma=sigma)
        self.sigma = nn.Parameter(torch.tensor(float(sigma)), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.sigma * torch.randn_like(inputs) if self.training else inputs


def with_noise(build_model: Callable[[], nn.Sequential], sigma: float) -> nn.Sequential:
    """A network behind ``NoisyInputs``: the same layers, names and first weights, and one layer ``noise`` before.

    Args:
        build_model: makes the network, e.g. ``small_mlp``.
        sigma: as in ``NoisyInputs``.
    """
    return nn.Sequential(OrderedDict([("noise", NoisyInputs(sigma)), *build_model().named_children()]))
