"""Counting what a network computes, for whoever reports its cost or chooses how to run it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class MacCounter(TorchDispatchMode):
    """Counts the multiply-accumulates of matrix products and convolutions inside a ``with`` block, as ``macs``.

    The formulas are those of ``torch.utils.flop_counter``, halved. Its ``FlopCounterMode`` also notes in which module
    it counts, with hooks that do not allow ``torch.autograd.grad``. Does not count inside ``torch.inference_mode``,
    where PyTorch passes whole layers on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0

    def __torch_dispatch__(
        self,
        func: Callable,
        types: Sequence[type],
        args: Sequence = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if flops := flop_registry.get(func._overloadpacket):
            self.macs += (
                flops(*args, **(kwargs or {}), out_val=result) // 2
            )  # a multiplication and an addition
        return result
