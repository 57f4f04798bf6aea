"""Keeps an answer from bending its own check: it is given copies, and what it changes around it is put back."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch


class Surroundings:
    """What checks rely on, as it is now: functions of PyTorch and of the course, precision, whether graphs are built.

    An answer that calls its own helper ``softmax`` may well have put it where PyTorch's was.
    """

    def __init__(self) -> None:
        ours = [module for name, module in sys.modules.items() if name.split(".")[0] == "course_lib"]
        places = [vars(each) for each in (torch, torch.nn.functional, *ours) if isinstance(each, ModuleType)]
        self._functions = [
            (place, name, value) for place in places for name, value in place.items() if callable(value)
        ]
        self._dtype, self._graphs = torch.get_default_dtype(), torch.is_grad_enabled()

    def restore(self) -> None:
        for place, name, value in self._functions:
            if place.get(name) is not value:
                place[name] = value
        torch.set_default_dtype(self._dtype)
        torch.set_grad_enabled(self._graphs)


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Within it random numbers may be drawn and generators seeded; afterwards they go on as if nothing had been."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(()):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def copied(value: Any) -> Any:
    """Copies of tensors and arrays, also of those in lists, tuples and dictionaries; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return (
            value.clone()
        )  # stays in the graph: a check can still ask for gradients with respect to its own tensor
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(map(copied, value))
    if type(value) is dict:
        return {name: copied(each) for name, each in value.items()}
    return value
