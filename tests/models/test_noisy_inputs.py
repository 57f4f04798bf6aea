"""Noise on the input: seen in training alone, another draw each time, and worth a penalty on the Jacobian."""

import pytest
import torch
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import input_gradient_loss, logit_loss
from course_lib.models import NoisyInputs, small_mlp, with_noise
from course_lib.training import Recipe, fit_many, hard_labels


def test_eval_mode_changes_nothing_and_train_mode_adds_noise_of_this_size():
    layer, inputs = NoisyInputs(0.5), torch.ones(100_000)
    assert torch.equal(layer.eval()(inputs), inputs)
    noise = layer.train()(inputs) - inputs
    assert noise.std().item() == pytest.approx(0.5, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert not torch.equal(layer(inputs), layer(inputs))


def test_for_a_linear_network_it_adds_sigma_squared_times_the_squared_norm_of_the_jacobian():
    """Bishop 1995; without curvature there are no further terms."""
    torch.manual_seed(0)
    network, sigma = nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), 0.7
    inputs, targets = torch.randn(1, 1, 2, 3), torch.randn(1, 3)
    noisy = with_noise(lambda: network, sigma).train()
    many = inputs.expand(400_000, -1, -1, -1)
    found = logit_loss(noisy(many), targets.expand(len(many), -1)).item()
    x = inputs.clone().requires_grad_()
    logits = network(x)
    expected = logit_loss(logits, targets) + sigma**2 * input_gradient_loss(logits, x)
    assert found == pytest.approx(expected.item(), rel=0.01)


def test_the_network_behind_it_begins_with_the_same_weights():
    torch.manual_seed(3)
    plain = small_mlp()
    torch.manual_seed(3)
    noisy = with_noise(small_mlp, 1.0)
    assert next(iter(dict(noisy.named_children()))) == "noise"
    for name, value in plain.state_dict().items():
        assert torch.equal(noisy.state_dict()[name], value)


def test_students_trained_at_once_get_noise_of_their_own():
    few = load("digits").train.subset(20, seed=0)
    runs = fit_many(
        lambda: with_noise(small_mlp, 1.0), hard_labels(), few, Recipe(steps=3), seeds=[5, 5], progress=False
    )
    weights = runs.parameters["linear1.weight"]
    assert not torch.equal(weights[0], weights[1])  # all but the noise is equal


def test_students_trained_at_once_may_differ_in_sigma():
    few, sigmas = load("digits").train.subset(20, seed=0), iter([0.0, 5.0])
    runs = fit_many(
        lambda: with_noise(small_mlp, next(sigmas)),
        hard_labels(),
        few,
        Recipe(steps=200),
        seeds=[1, 1],
        progress=False,
    )
    assert runs.parameters["noise.sigma"].tolist() == [0.0, 5.0]
    plain = fit_many(small_mlp, hard_labels(), few, Recipe(steps=200), seeds=[1], progress=False)
    torch.testing.assert_close(
        runs.parameters["linear1.weight"][:1], plain.parameters["linear1.weight"], rtol=1e-4, atol=1e-4
    )
    final = runs.history["hard"][-1]
    assert final[1] > 10 * final[0]  # what is drowned in noise cannot be fitted


def test_a_negative_sigma_is_refused():
    with pytest.raises(CourseError, match="sigma must be a finite number of at least 0"):
        NoisyInputs(-1.0)
