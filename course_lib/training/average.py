"""The moving average of a student's weights, which is often a better student than the weights of any single step."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """An exponential moving average: after each step, average ← decay · average + (1 − decay) · weights.

    It begins with the weights after the first step, like ``torch.optim.swa_utils.AveragedModel``. Floating-point
    buffers, such as the statistics of batch norm, are averaged too; others are copied.

    Args:
        decay: between 0 and 1.
        now: the trained weights by name, changed in place from step to step.
        average: where the average is kept, by the same names.
    """

    def __init__(self, decay: float, now: Mapping[str, Tensor], average: Mapping[str, Tensor]):
        self._update = get_ema_multi_avg_fn(decay)
        # Weights that two layers share have two names, and must be averaged once.
        pairs = {value.data_ptr(): (value.detach(), now[name].detach()) for name, value in average.items()}
        self._pairs = list(pairs.values())
        self._floats = [pair for pair in self._pairs if pair[0].is_floating_point()]

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Take in the weights after this step."""
        for average, now in self._pairs:
            if step == 1 or not average.is_floating_point():
                average.copy_(now)
        if step > 1:
            averages, weights = ([pair[place] for pair in self._floats] for place in (0, 1))
            self._update(averages, weights, step)
