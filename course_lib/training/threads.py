"""How many of the processor's threads a training uses: in small steps threads wait for each other more than they
compute, and on a busy machine they wait for one that is not running at all. And how many trainings a process runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Multiply-accumulates of one step's forward passes from which it takes all threads: with one, a step of about 25 ms.
# Below, all threads gain little on a quiet machine and lose much on a busy one; benchmarks/threads.py measures both.
ALL_THREADS_FROM = 250e6


# The same thread may train within a training, as where something watches it.
_TRAINING = threading.RLock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other thread trains: PyTorch has one random state, and one number of threads, for a process.

    Two trainings at once would draw from each other's random numbers, and neither would be the one of its seed.
    """
    with _TRAINING:
        yield


@contextmanager
def suited_threads(macs: float, device: torch.device) -> Iterator[None]:
    """One thread inside the ``with`` block where a step is small, else as many as PyTorch is set to use.

    The number depends on the work and on PyTorch's setting alone, since it changes how sums are rounded. It is never
    above the setting, which ``torch.set_num_threads`` changes and which holds again afterwards.

    Args:
        macs: multiply-accumulates of the forward passes of one step, of all students and of a teacher that is asked
            at every step.
        device: where the step is computed; nothing changes for a GPU.
    """
    before = torch.get_num_threads()
    small = device.type == "cpu" and macs < ALL_THREADS_FROM
    torch.set_num_threads(1 if small else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
