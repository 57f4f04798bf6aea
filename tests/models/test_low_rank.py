"""A convolution as a matrix product, and the best low-rank layer, against PyTorch, SVD and every other layer tried."""

import pytest
import torch
from torch import nn

from course_lib.errors import CourseError
from course_lib.models import low_rank_convolution, unfold_patches


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convolution(*arguments, seed=0, **settings):
    torch.manual_seed(seed)
    return nn.Conv2d(*arguments, **settings).double()


def rows(responses):
    """(N, C, h, w) → (N·h·w, C)."""
    return responses.permute(0, 2, 3, 1).flatten(0, 2)


SHAPES = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 5, "stride": 2, "padding": 2},
    {"kernel_size": (3, 2), "stride": (1, 2), "padding": (0, 1), "dilation": (2, 1)},
    {"kernel_size": 3, "bias": False},
    {"kernel_size": 1},
]


@pytest.mark.parametrize("settings", SHAPES)
def test_a_convolution_is_one_matrix_product_over_its_patches(settings):
    layer, inputs = convolution(3, 6, **settings), rand(4, 3, 9, 8, seed=1)
    patches = unfold_patches(layer, inputs)
    product = layer.weight.flatten(1) @ patches
    if layer.bias is not None:
        product = product + layer.bias[:, None]
    expected = layer(inputs)
    assert patches.shape == (4, layer.weight[0].numel(), expected[0, 0].numel())
    torch.testing.assert_close(product.view_as(expected), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("settings", [*SHAPES, {"kernel_size": 3, "padding": "same"}])
def test_at_full_rank_it_is_exact(settings):
    layer, inputs = convolution(3, 6, **settings), rand(10, 3, 9, 8, seed=1)
    pair = low_rank_convolution(layer, inputs, 6)
    others = rand(2, 3, 9, 8, seed=2)  # not only on the inputs it was made for
    torch.testing.assert_close(pair(others), layer(others), rtol=1e-10, atol=1e-10)
    assert [type(each) for each in pair] == [nn.Conv2d, nn.Conv2d]
    assert pair[0].out_channels == pair[1].in_channels == 6


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_the_error_is_what_the_singular_values_leave(rank):
    layer, inputs = convolution(4, 6, kernel_size=3, padding=1), rand(20, 4, 5, 5, seed=1)
    responses = rows(layer(inputs).detach())
    values = torch.linalg.svdvals(responses - responses.mean(dim=0))
    error = (low_rank_convolution(layer, inputs, rank)(inputs) - layer(inputs)).square().sum()
    assert error.item() == pytest.approx(values[rank:].square().sum().item(), rel=1e-9)


def test_no_other_layer_of_its_rank_is_better_and_gradient_descent_finds_no_descent():
    layer = convolution(4, 6, kernel_size=3, padding=1)
    inputs = rand(20, 4, 5, 5, seed=1) * torch.tensor([5.0, 1.0, 0.2, 1.0]).double()[:, None, None] + 1
    pair = low_rank_convolution(layer, inputs, 2)
    targets = layer(inputs).detach()

    def error(network):
        return (network(inputs) - targets).square().mean()

    best = error(pair).item()
    for gradient in torch.autograd.grad(error(pair), list(pair.parameters())):
        assert gradient.abs().max() < 1e-12
    for seed in range(20):
        torch.manual_seed(seed)
        with torch.no_grad():
            moved = low_rank_convolution(layer, inputs, 2)
            for parameter in moved.parameters():
                parameter.add_(10.0 ** -(seed % 4) * torch.randn_like(parameter))
        assert error(moved).item() > best
    # The best matrix of this rank for the weights alone, with the best bias, is not the best layer for these inputs.
    u, s, v = torch.linalg.svd(layer.weight.detach().flatten(1), full_matrices=False)
    by_weights = torch.einsum("or,nrp->nop", u[:, :2] * s[:2], v[:2] @ unfold_patches(layer, inputs)).view_as(
        targets
    )
    by_weights = by_weights + (targets - by_weights).mean(dim=(0, 2, 3), keepdim=True)
    assert (by_weights - targets).square().mean().item() > 1.01 * best


def test_responses_around_a_large_mean_keep_their_components():
    layer = convolution(2, 3, kernel_size=1)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1e6, -1e6, 1e6]))
    inputs = rand(50, 2, 3, 3, seed=1)
    error = (low_rank_convolution(layer, inputs, 2)(inputs) - layer(inputs)).abs().max()
    assert error < 1e-8  # two input channels: rank 2 is exact


def test_the_original_stays_and_its_precision_is_kept():
    torch.manual_seed(0)
    layer, inputs = nn.Conv2d(3, 4, 3), torch.randn(5, 3, 6, 6)
    before = layer.weight.clone()
    pair = low_rank_convolution(layer, inputs, 4)
    assert all(parameter.dtype == torch.float32 for parameter in pair.parameters())
    torch.testing.assert_close(pair(inputs), layer(inputs), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        pair[0].weight.zero_()
    assert torch.equal(layer.weight, before)
    assert sum(p.numel() for p in low_rank_convolution(layer, inputs, 1).parameters()) == 27 + 1 + 4 + 4


PLAIN, INPUTS = nn.Conv2d(3, 4, 3), torch.zeros(2, 3, 6, 6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: low_rank_convolution(PLAIN, INPUTS, 0), "rank must be an integer from 1 to 4, got 0"),
        (lambda: low_rank_convolution(PLAIN, INPUTS, 5), "rank must be an integer from 1 to 4, got 5"),
        (lambda: low_rank_convolution(PLAIN, INPUTS, 2.0), "rank must be an integer from 1 to 4, got 2.0"),
        (
            lambda: low_rank_convolution(nn.Linear(3, 4), INPUTS, 1),
            "convolution must be an nn.Conv2d .* got Linear",
        ),
        (
            lambda: low_rank_convolution(nn.Conv2d(4, 4, 3, groups=2), torch.zeros(2, 4, 6, 6), 1),
            "without groups .* groups=2",
        ),
        (
            lambda: unfold_patches(nn.Conv2d(3, 4, 3, padding_mode="circular"), INPUTS),
            "pads with zeros, got .*circular",
        ),
        (lambda: unfold_patches(PLAIN, INPUTS[:, :2]), r"shape \(N, 3, H, W\) .* got .*\(2, 2, 6, 6\)"),
        (lambda: unfold_patches(PLAIN, INPUTS[0]), r"inputs must be .* got .*\(3, 6, 6\)"),
        (lambda: unfold_patches(PLAIN, INPUTS[:0]), "N ≥ 1"),
        (lambda: unfold_patches(PLAIN, INPUTS.double()), "inputs must be torch.float32 .* got torch.float64"),
        (lambda: unfold_patches(PLAIN, [1.0]), "inputs must be .* got list"),
        (
            lambda: unfold_patches(nn.Conv2d(3, 4, 3, padding="same"), INPUTS),
            "numeric padding, got 'same'",
        ),
        (lambda: low_rank_convolution(PLAIN, INPUTS / 0, 1), "inputs must give finite responses"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, words):
    with pytest.raises(CourseError, match=words):
        call()
