"""Computed over all inputs, part by part: the statistics of their pixels, and a mark of each example."""

from functools import lru_cache

import torch
from torch import Tensor


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of pixel / 255 per channel, (C,) each, over all images and positions.

    From the counts of the 256 values: exact, and without a float copy of the images.
    """
    return statistics_of_counts(channel_counts(images))


def channel_counts(images: Tensor) -> Tensor:
    """How often each of the 256 values comes in each channel of images (N, C, H, W), (C, 256) float64."""
    return torch.stack([_histogram(images[:, channel]) for channel in range(images.shape[1])])


def statistics_of_counts(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of value / 255 per channel, (C,) each, from ``channel_counts``."""
    values = torch.arange(256, dtype=torch.float64) / 255
    shares = counts / counts.sum(dim=1, keepdim=True)
    mean = shares @ values
    std = (shares * (values - mean[:, None]) ** 2).sum(dim=1).sqrt()
    # A channel of one colour has no spread: one grey level keeps the division finite.
    return mean.float(), std.clamp(min=1 / 255).float()


def _histogram(pixels: Tensor) -> Tensor:
    counts = torch.zeros(256, dtype=torch.float64)
    for part in pixels.split(8192):
        counts += part.flatten().bincount(minlength=256)
    return counts


def marks_of(inputs: Tensor, chunk: int = 4096) -> Tensor:
    """A 64-bit mark of each example, (N,) int64: equal inputs have equal marks, others almost surely not."""
    bits = (_as_integers(part.cpu()) for part in inputs.split(chunk))  # (chunk, numbers)
    return torch.cat([(part * _odd_numbers(part.shape[1])).sum(dim=1) for part in bits])


@lru_cache(maxsize=2)
def _odd_numbers(count: int) -> Tensor:
    return torch.randint(2**62, (count,), generator=torch.Generator().manual_seed(0)) * 2 + 1


def _as_integers(inputs: Tensor) -> Tensor:
    """Numbers of any type as integers that differ where they do, (N, ...) → (N, numbers) int64."""
    flat = inputs.reshape(len(inputs), -1)
    if flat.is_floating_point():
        return flat.double().view(torch.int64)
    return flat.long()
