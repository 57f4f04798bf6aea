"""Double backpropagation: its value, and that it learns through p, which a detached soft matrix does not."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import double_backpropagation_loss, gradient_penalty_loss
from course_lib.models import small_mlp
from course_lib.training import Objective, Recipe, Term, fit, fit_many

LABELS = torch.tensor([0, 2, 1, 1])


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).double()


def batch():
    return torch.randn(4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def loss_of(net):
    x = batch().requires_grad_()
    return double_backpropagation_loss(net(x), LABELS, x)


def test_value_is_the_squared_gradient_of_the_cross_entropy():
    net, x = network(), batch().requires_grad_()
    (slope,) = torch.autograd.grad(F.cross_entropy(net(x), LABELS, reduction="sum"), x)
    assert loss_of(net).item() == pytest.approx(float(slope.square().sum() / 4), rel=1e-9)


def test_gradients_of_the_weights_against_finite_differences():
    net = network()
    loss_of(net).backward()
    step = 1e-6
    for parameter in net.parameters():
        flat = parameter.data.view(-1)
        for place in range(0, len(flat), 3):
            values = []
            for sign in (1, -1):
                flat[place] += sign * step
                values.append(loss_of(net).item())
                flat[place] -= sign * step
            expected = (values[0] - values[1]) / (2 * step)
            found = 0.0 if parameter.grad is None else float(parameter.grad.view(-1)[place])
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-8)


def test_a_detached_matrix_has_the_same_value_and_other_gradients_of_the_weights():
    net, x = network(), batch().requires_grad_()
    logits = net(x)
    wrong = (F.softmax(logits, dim=1) - F.one_hot(LABELS, 3)).detach()
    detached = gradient_penalty_loss(logits, x, wrong[:, :, None], 0.0)
    own = double_backpropagation_loss(logits, LABELS, x)
    assert detached.item() == pytest.approx(own.item(), rel=1e-6)
    first, second = (
        torch.autograd.grad(each, net[2].weight, retain_graph=True)[0] for each in (detached, own)
    )
    assert (first - second).norm() > 0.05 * second.norm()


def test_many_students_at_once_learn_what_one_alone_learns():
    few, recipe = load("digits").train.subset(20, seed=0), Recipe(steps=5)
    goal = Objective([Term("slope", double_backpropagation_loss)])
    alone = fit(small_mlp, goal, few, recipe, seed=1, progress=False).model
    together = fit_many(small_mlp, goal, few, recipe, seeds=[0, 1], progress=False).model(1)
    for first, second in zip(alone.parameters(), together.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-4)


def test_labels_that_do_not_fit_are_refused():
    x = batch().requires_grad_()
    with pytest.raises(CourseError, match=r"labels must be torch\.int64 class indices"):
        double_backpropagation_loss(network()(x), LABELS[:2], x)
