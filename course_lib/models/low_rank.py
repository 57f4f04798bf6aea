"""A convolution as one matrix product, and the best smaller layer for it that is known in closed form."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.errors import CourseError

_CHUNK = 256  # examples whose responses are held at once


def unfold_patches(convolution: nn.Conv2d, inputs: Tensor) -> Tensor:
    """Everything a convolution looks at, a column for each position: (N, C, H, W) → (N, C·k·k, positions).

    With W = ``convolution.weight.flatten(1)``, (C_out, C·k·k), and bias b the convolution is the one matrix product
    W · patches + b, a small dense layer that is used at every position. Positions run along rows.

    Raises:
        CourseError: not a plain convolution, or inputs that it does not take.
    """
    _check(convolution, inputs)
    if isinstance(convolution.padding, str):
        raise CourseError(f"convolution must have numeric padding, got {convolution.padding!r}")
    return F.unfold(
        inputs, convolution.kernel_size, convolution.dilation, convolution.padding, convolution.stride
    )


def low_rank_convolution(convolution: nn.Conv2d, inputs: Tensor, rank: int) -> nn.Sequential:
    """The two convolutions that imitate one best on given inputs with only ``rank`` channels between them.

    The first has the kernel of the original and ``rank`` channels, the second is 1 × 1. Among all such pairs, with
    biases, this one has the smallest mean squared error of the responses to these inputs. It is a principal component
    analysis of the responses y: with the mean m and the first components U, (C_out, rank), the answer is
    m + U Uᵀ(y − m) (Zhang, Zou, He and Sun 2016; their method, before they add the ReLU, for linear responses).

    Args:
        convolution: the layer to imitate; stays as it is.
        inputs: what reaches the layer, (N, C, H, W), from real examples.
        rank: from 1 to C_out; at C_out the pair is exact.

    Returns:
        Two ``nn.Conv2d`` in a row, in the precision and on the device of the original.

    Raises:
        CourseError: not a plain convolution, inputs that it does not take or that are not finite, a rank out of range.
    """
    _check(convolution, inputs)
    if type(rank) is not int or not 1 <= rank <= convolution.out_channels:
        raise CourseError(f"rank must be an integer from 1 to {convolution.out_channels}, got {rank!r}")
    mean, components = _principal_components(convolution, inputs)
    chosen = components[:, :rank]  # (C_out, rank)
    first = nn.Conv2d(
        convolution.in_channels,
        rank,
        _pair(convolution.kernel_size),
        _pair(convolution.stride),
        convolution.padding if isinstance(convolution.padding, str) else _pair(convolution.padding),
        _pair(convolution.dilation),
    )
    second = nn.Conv2d(rank, convolution.out_channels, 1)
    pair = nn.Sequential(first, second).to(convolution.weight)
    assert first.bias is not None  # as is the default
    assert second.bias is not None
    bias = torch.zeros_like(mean) if convolution.bias is None else convolution.bias.detach().double()
    with torch.no_grad():
        kernels = chosen.T @ convolution.weight.double().flatten(1)
        first.weight.copy_(kernels.view_as(first.weight))
        first.bias.copy_(chosen.T @ (bias - mean))
        second.weight.copy_(chosen[:, :, None, None])
        second.bias.copy_(mean)
    return pair


def _pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    height, width = sizes
    return height, width


def _principal_components(convolution: nn.Conv2d, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean response (C_out,), and the components as columns (C_out, C_out), largest first; in float64."""
    with torch.no_grad():
        rows = torch.cat([_rows(convolution, part) for part in inputs.split(_CHUNK)])  # (N·positions, C_out)
        mean = rows.mean(dim=0)
        # Centred before squaring: the difference of two large numbers would lose the small components.
        scatter = (rows - mean).T @ (rows - mean)
    if not torch.isfinite(scatter).all():
        raise CourseError("inputs must give finite responses, got NaN or infinite ones")
    return mean, torch.linalg.eigh(scatter).eigenvectors.flip(1)


def _rows(convolution: nn.Conv2d, inputs: Tensor) -> Tensor:
    """Responses with a row for each example and position, (N·positions, C_out), float64."""
    return convolution(inputs).double().transpose(0, 1).flatten(1).T


def _check(convolution: nn.Conv2d, inputs: Tensor) -> None:
    if (
        not isinstance(convolution, nn.Conv2d)
        or convolution.groups != 1
        or convolution.padding_mode != "zeros"
    ):
        came = repr(convolution) if isinstance(convolution, nn.Conv2d) else type(convolution).__name__
        raise CourseError(f"convolution must be an nn.Conv2d without groups that pads with zeros, got {came}")
    weight = convolution.weight
    if (
        not isinstance(inputs, Tensor)
        or inputs.ndim != 4
        or inputs.shape[1] != convolution.in_channels
        or len(inputs) == 0
        or inputs.dtype != weight.dtype
    ):
        came = (
            f"{inputs.dtype} {tuple(inputs.shape)}" if isinstance(inputs, Tensor) else type(inputs).__name__
        )
        raise CourseError(
            f"inputs must be {weight.dtype} of shape (N, {convolution.in_channels}, H, W) with N ≥ 1, got {came}"
        )
