"""Training in several processes, on one machine or many: who takes which examples, and what they tell each other.

Fabric starts nothing here and needs nothing but ``torchrun`` or SLURM; with one process all of this is idle.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from course_lib.data import Examples
from course_lib.errors import CourseError
from course_lib.training.cache import teacher_logits


def share(draws: Tensor, fabric: Fabric) -> Tensor:
    """This process's part of a batch, (B,) → (B / processes,): equal parts, so that means of means are the mean."""
    return draws[fabric.global_rank :: fabric.world_size] if fabric.world_size > 1 else draws


def seed_of_process(seed: int, rank: int) -> int:
    """For random numbers that should differ between processes, such as dropout's.

    32 bits that all depend on both numbers: PyTorch's generator on the CPU leaves out the upper half of larger seeds.
    """
    return int(np.random.SeedSequence((seed, rank)).generate_state(1)[0])


def check_shares(batch_size: int, fabric: Fabric, parts: int = 1) -> None:
    """Refuse batches that cannot be shared equally, or whose shares cannot be cut into equal parts."""
    if batch_size % fabric.world_size:
        raise CourseError(
            f"batch_size must be a multiple of the number of processes, {fabric.world_size}, got {batch_size}"
        )
    if batch_size // fabric.world_size % parts:
        raise CourseError(
            f"accumulate must divide each process's examples of a batch, {batch_size // fabric.world_size}, got {parts}"
        )


def average_gradients(parameters: Iterable[Tensor], fabric: Fabric) -> None:
    """The mean over processes, in one message; for losses with second derivatives, which bypass Fabric's wrapper."""
    if fabric.world_size == 1:
        return
    gradients = [each.grad for each in parameters if each.grad is not None]
    if not gradients:
        return
    together = torch.cat([each.flatten() for each in gradients])
    torch.distributed.all_reduce(together)  # Fabric's would let the processor wait for the GPU at every step
    together.div_(fabric.world_size)
    for gradient, part in zip(gradients, together.split([each.numel() for each in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def average(values: Tensor, fabric: Fabric) -> Tensor:
    """The mean over processes."""
    if fabric.world_size == 1:
        return values
    return cast(Tensor, fabric.all_reduce(values, reduce_op="mean"))  # it takes collections of tensors, too


def gather_objects(value: Any, fabric: Fabric) -> list[Any]:
    """One picklable value of each process, known to all of them."""
    if fabric.world_size == 1:
        return [value]
    values = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def on_rank_zero(work: Callable[[], object], fabric: Fabric) -> None:
    """Let the first process do something while the others wait; where it fails, all say so and none waits forever.

    Raises:
        CourseError: in every process what ``work`` raised in the first.
    """
    if fabric.world_size == 1:
        work()
        return
    failed = None
    if fabric.is_global_zero:
        try:
            work()
        except CourseError as error:
            failed = str(error)
    failed = fabric.broadcast(failed)
    if failed:
        raise CourseError(failed)


def shared_logits(network: nn.Module, examples: Examples, fabric: Fabric | None = None) -> Tensor:
    """Logits of a network for all examples, (N, C) float32 on the CPU, in eval mode and without views.

    Each process is asked about its part of the examples, none about an example twice, and all get the whole.
    """
    if fabric is None or fabric.world_size == 1:
        return teacher_logits(network, examples).cpu()
    rows = torch.arange(len(examples), device=examples.device)
    part = teacher_logits(network, examples.take(share(rows, fabric))).cpu()
    logits = part.new_empty(len(examples), part.shape[1])
    for rank, each in enumerate(gather_objects(part, fabric)):
        logits[rank :: fabric.world_size] = each
    return logits
