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
        now: the trained weights by name, as they are at each step.
        average: where the average is kept, by the same names.
    """

    def __init__(self, decay: float, now: Mapping[str, Tensor], average: Mapping[str, Tensor]):
        self._update, self._now = get_ema_multi_avg_fn(decay), now
        # Weights that two layers share have two names, and must be averaged once.
        once = {value.data_ptr(): (name, value.detach()) for name, value in average.items()}
        self._averages = dict(once.values())

    @torch.no_grad()
    def after(self, step: int) -> None:
        """Take in the weights after this step."""
        now = dict(self._now.items())
        pairs = [(average, now[name]) for name, average in self._averages.items()]
        for average, value in pairs:
            if step == 1 or not average.is_floating_point():
                average.copy_(value)
        if step > 1:
            floats = [pair for pair in pairs if pair[0].is_floating_point()]
            averages, values = ([pair[place] for pair in floats] for place in (0, 1))
            self._update(averages, values, step)
