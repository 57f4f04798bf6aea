"""Random combinations of the columns of S, also where every example has its own; and products outside of autocast."""

import pytest
import torch
from torch import nn

from course_lib.losses import (
    double_backpropagation_loss,
    gradient_loss,
    gradient_matching_loss,
    gradient_penalty_loss,
    soft_gradients,
)


def rand(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


WEIGHT, EACH = rand(5, 3, seed=0), rand(6, 3, 2, seed=1)  # S differs from example to example
TARGETS = rand(6, 2, 5, seed=2)


def passed():
    x = rand(6, 5, seed=3).requires_grad_()
    return torch.tanh(x @ WEIGHT), x


LOSSES = {
    "literal": lambda logits, x, s, **settings: gradient_loss(logits, x, s, **settings),
    "matching": lambda logits, x, s, **settings: gradient_matching_loss(
        logits, x, TARGETS[:, : s.shape[-1]], s, **settings
    ),
}


@pytest.mark.parametrize("s", [EACH, EACH[0]], ids=["each", "shared"])
@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_of_many_probes_is_the_exact_loss(name, s):
    logits, x = passed()
    exact = LOSSES[name](logits, x, s)
    generator = torch.Generator().manual_seed(0)
    many = LOSSES[name](logits, x, s, estimator="hutchinson", probes=5000, generator=generator)
    assert many.item() == pytest.approx(exact.item(), rel=0.02)


@pytest.mark.parametrize("name", LOSSES)
def test_a_sign_is_all_there_is_to_draw_for_one_column_of_each_example(name):
    logits, x = passed()
    exact = LOSSES[name](logits, x, EACH[:, :, :1])
    one = LOSSES[name](logits, x, EACH[:, :, :1], estimator="hutchinson")
    assert one.item() == pytest.approx(exact.item(), rel=1e-12)


def test_examples_draw_signs_of_their_own():
    """With S = 1 in two columns, an example's probe is 2 or 0 times its gradient: all are the same once in 32 times."""
    logits, x = passed()
    sizes = [
        gradient_loss(
            logits,
            x,
            torch.ones(3, 2, dtype=torch.float64),
            estimator="hutchinson",
            generator=torch.Generator().manual_seed(seed),
        ).item()
        for seed in range(10)
    ]
    assert len({round(size, 9) for size in sizes}) > 5


AUTOCAST = {
    "soft gradients": lambda z, x, s: soft_gradients(z, x, s, create_graph=True),
    "literal": gradient_loss,
    "penalty": lambda z, x, s: gradient_penalty_loss(z, x, s, 1.0),
    "double": lambda z, x, s: double_backpropagation_loss(z, torch.arange(4), x),
}


@pytest.mark.parametrize("name", AUTOCAST)
def test_products_are_not_rounded_by_autocast(name):
    """The logits of a network in float32, differentiated where autocast is on: bfloat16 keeps three digits."""
    network = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 10))
    with torch.no_grad():
        for place, parameter in enumerate(network.parameters()):
            parameter.copy_(rand(*parameter.shape, seed=place) / 4)
    x, s = rand(4, 16, seed=9).float().requires_grad_(), rand(10, 10, seed=8).float()
    logits = network(x)
    plain = AUTOCAST[name](logits, x, s)
    with torch.autocast("cpu", torch.bfloat16):
        found = AUTOCAST[name](logits, x, s)
    assert torch.equal(found, plain)
