"""Losses with state: a ``torch.nn.Module``, or a method of one, as the loss of a term."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter
from typing import Any

from torch import Tensor, nn


class ModuleLoss(nn.Module):
    """A loss and the module whose state it has, so that ``torch.func.functional_call`` can replace that state."""

    def __init__(self, loss: Callable[..., Tensor], module: nn.Module):
        super().__init__()
        self.module = module
        self._loss = partial(loss)  # hidden from nn.Module, which would count a module twice

    def forward(self, **arguments: Any) -> Tensor:
        return self._loss(**arguments)


def module_of(loss: Callable[..., Tensor]) -> nn.Module | None:
    """The module whose state a loss has: itself, or what it is a method of, also behind ``functools.partial``."""
    called = _called(loss)
    owner = called if isinstance(called, nn.Module) else getattr(called, "__self__", None)
    return owner if isinstance(owner, nn.Module) else None


def signature_of(loss: Callable[..., Tensor]) -> Mapping[str, Parameter]:
    """The parameters of a loss by name; of a module those of its ``forward``.

    Args:
        loss: any callable, also behind ``functools.partial``.
    """
    if isinstance(_called(loss), nn.Module):
        loss = _forward(loss)
    return inspect.signature(loss).parameters


def name_of(loss: Callable[..., Tensor]) -> str:
    """What to call a loss in a message: its function's name, or its module's class."""
    called = _called(loss)
    return getattr(called, "__name__", type(called).__name__)


def _forward(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    if isinstance(loss, nn.Module):
        return loss.forward
    return partial(_forward(loss.func), *loss.args, **loss.keywords)


def _called(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    while isinstance(loss, partial):
        loss = loss.func
    return loss
