"""A trained network that computes in half precision where its answers need no more."""

import torch
from torch import Tensor, nn


class HalfPrecision(nn.Module):
    """Answers by bfloat16 arithmetic, with weights and answers in float32: faster where the machine has it.

    Args:
        network: the network; it is not changed.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """(N, C, H, W) → the network's answers, float32."""
        with torch.autocast(inputs.device.type, torch.bfloat16):
            return self.network(inputs.contiguous(memory_format=torch.channels_last)).float()
