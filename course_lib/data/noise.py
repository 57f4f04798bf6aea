"""Noisy copies of images as examples of their own, so that a teacher can be asked about each."""

from dataclasses import replace

import torch

from course_lib.data.examples import Examples
from course_lib.data.splits import check_seed
from course_lib.errors import check_count, check_positive

_LEVELS = 255


def noisy_copies(examples: Examples, sigma: float, copies: int, seed: int) -> Examples:
    """Several copies of every image with normal noise on each pixel.

    The grey levels are spread over the range of the noisy pixels, so that nothing is clipped; what rounding to 256
    levels adds to the noise is far below σ.

    Args:
        examples: N images.
        sigma: σ > 0, standard deviation of the noise in units of the normalised input.
        copies: K ≥ 1 for each image.
        seed: of the noise.

    Returns:
        N·K examples, normalised as the originals; the copies of the image with index i have the indices K·i to
        K·i + K − 1 and stand next to each other.

    Raises:
        CourseError: the examples are not uint8 images, or a number that makes no noise or no copies.
    """
    mean, std = examples.pixel_scale
    check_positive(sigma=sigma)
    check_count(copies=copies)
    check_seed(seed)
    generator = torch.Generator().manual_seed(int(seed))
    clean = (examples.images.cpu().float() / _LEVELS).repeat_interleave(copies, dim=0)  # (N·K, C, H, W)
    noisy = clean + sigma * std.cpu()[:, None, None] * torch.randn(clean.shape, generator=generator)
    low, high = noisy.min(), noisy.max()
    spread = high - low
    numbers = torch.arange(copies, device=examples.index.device)
    return replace(
        examples,
        images=((noisy - low) / spread * _LEVELS).round().to(torch.uint8).to(examples.images.device),
        labels=examples.labels.repeat_interleave(copies),
        index=(examples.index[:, None] * copies + numbers).flatten(),
        mean=(mean - low) / spread,
        std=std / spread,
    )
