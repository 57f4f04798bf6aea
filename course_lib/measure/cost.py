"""What a network costs: layers, parameters, multiplications, bytes, and time alone and under load."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.benchmark import Timer

from course_lib.errors import CourseError, check_not_negative
from course_lib.models import MacCounter, evaluating


@dataclass(frozen=True)
class Timing:
    """Median of repeated measurements, with the quartiles as the spread, in ``unit``."""

    median: float
    low: float
    high: float
    unit: str


@dataclass(frozen=True)
class Load:
    """A network under load: batches of one size, one after another.

    Attributes:
        batch: examples answered together.
        latency: seconds until the whole batch is answered.
        throughput: examples per second.
    """

    batch: int
    latency: Timing
    throughput: Timing


@dataclass(frozen=True)
class Cost:
    """What one network costs.

    Attributes:
        layers: modules with parameters of their own.
        parameters: learned numbers.
        macs: multiply–accumulate operations for one example, of matrix products and convolutions only (as PyTorch's
            FLOP counter, halved); activations, pooling and biases are not counted.
        bytes: memory of the parameters and buffers.
        latency: seconds for one example.
        throughput: examples per second in large batches.
    """

    layers: int
    parameters: int
    macs: int
    bytes: int
    latency: Timing
    throughput: Timing


def cost(model: nn.Module, example: Tensor, *, batch: int = 256, seconds: float = 0.2) -> Cost:
    """Count and time a network, in eval mode.

    Args:
        model: the network; its mode is restored.
        example: one input with its batch dimension, (1, *shape), on the network's device.
        batch: size of a large batch, for the throughput.
        seconds: how long each time is measured, at least.

    Raises:
        CourseError: the example is not one input, or a number is out of range.
    """
    _check(model, example, seconds)
    own = [list(module.parameters(recurse=False)) for module in model.modules()]
    tensors = [*model.parameters(), *model.buffers()]
    one, many = load_curve(model, example, [1, batch], seconds=seconds)
    return Cost(
        layers=sum(bool(parameters) for parameters in own),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=macs(model, example),
        bytes=sum(tensor.numel() * tensor.element_size() for tensor in tensors),
        latency=one.latency,
        throughput=many.throughput,
    )


def macs(model: nn.Module, example: Tensor) -> int:
    """Multiply–accumulate operations for ``example`` (1, *shape): matrix products and convolutions."""
    _check(model, example)
    with evaluating(model), torch.no_grad(), MacCounter() as counter:
        model(example)
    return counter.macs


def load_curve(
    model: nn.Module, example: Tensor, batch_sizes: Sequence[int], *, seconds: float = 0.2
) -> list[Load]:
    """Latency and throughput over batch sizes.

    A server collects requests into batches: each user waits for the whole batch, the server answers more users per
    second. A device with one user has batches of one.

    Args:
        model: the network; timed in eval mode, after a warm-up, with the threads PyTorch has now.
        example: one input with its batch dimension, (1, *shape).
        batch_sizes: positive integers.
        seconds: how long each batch size is measured, at least.

    Returns:
        One ``Load`` per batch size, in the given order.

    Raises:
        CourseError: the example is not one input, a batch size is not a positive integer, or ``seconds`` is not a
            finite number of at least 0.
    """
    _check(model, example, seconds)
    for batch in batch_sizes:
        if type(batch) is not int or batch < 1:  # True is an int, too
            raise CourseError(f"batch sizes must be integers of at least 1, got {batch!r}")
    with evaluating(model), torch.inference_mode():
        return [
            _load(model, example.expand(batch, *example.shape[1:]).contiguous(), seconds)
            for batch in batch_sizes
        ]


def _load(model: nn.Module, inputs: Tensor, seconds: float) -> Load:
    for _ in range(3):  # the first calls choose kernels and allocate memory
        model(inputs)
    # A GPU is given work and does it later: the answer is there when it has been waited for.
    wait = "; torch.cuda.synchronize()" if inputs.is_cuda else ""
    timer = Timer(
        f"model(inputs){wait}",
        globals={"model": model, "inputs": inputs},
        num_threads=torch.get_num_threads(),
    )
    times = np.asarray(timer.blocked_autorange(min_run_time=seconds).times)
    low, median, high = (float(value) for value in np.quantile(times, [0.25, 0.5, 0.75]))
    batch = len(inputs)
    return Load(
        batch, Timing(median, low, high, "s"), Timing(batch / median, batch / high, batch / low, "examples/s")
    )


def _check(model: nn.Module, example: Tensor, seconds: float = 0) -> None:
    check_not_negative(seconds=seconds)  # NaN would be waited for in vain
    if not isinstance(model, nn.Module):
        raise CourseError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(example, Tensor) or example.ndim < 2 or len(example) != 1:
        came = tuple(example.shape) if isinstance(example, Tensor) else type(example).__name__
        raise CourseError(f"example must be one input with its batch dimension, (1, *shape), got {came}")
