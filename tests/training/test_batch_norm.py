"""Students with batch norm: trained as by hand, refused where examples would mix, their statistics taken anew."""

import copy

import pytest
import torch
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss
from course_lib.matrices import cross_entropy_matrix
from course_lib.training import (
    LiveTeacher,
    Recipe,
    fit,
    gradient_matching,
    hard_labels,
    recompute_norm,
)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(60, seed=0)


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))


class Kept(nn.Module):
    """The usual way to train with the statistics that are there."""

    def __init__(self):
        super().__init__()
        self.body = network()

    def train(self, mode=True):
        super().train(mode)
        self.body[2].eval()
        return self

    def forward(self, inputs):
        return self.body(inputs)


def fresh(build=network):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def test_weights_and_running_statistics_are_those_of_a_loop_by_hand(train):
    recipe = Recipe(
        steps=5, batch_size=len(train), optimizer="sgd", lr=0.1
    )  # the whole set: no order of batches
    own = fresh()
    optimizer = torch.optim.SGD(own.parameters(), lr=0.1)
    for _ in range(recipe.steps):
        optimizer.zero_grad()
        hard_label_loss(own(train.inputs), train.labels).backward()
        optimizer.step()
    run = fit(network, hard_labels(), train, recipe)
    assert int(run.model[2].num_batches_tracked) == recipe.steps  # and none of the dry run
    for name, value in own.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_losses_of_gradients_take_statistics_that_stay_and_refuse_those_of_the_batch(train):
    recipe, teacher = Recipe(steps=3, batch_size=20), LiveTeacher(fresh().eval(), cross_entropy_matrix)
    with pytest.raises(
        CourseError, match=r"BatchNorm1d layer .'2'.*GroupNorm instead, or keep it in eval mode"
    ):
        fit(network, gradient_matching(), train, recipe, teacher=teacher)
    run = fit(Kept, gradient_matching(), train, recipe, teacher=teacher)
    assert int(run.model.body[2].num_batches_tracked) == 0


def test_statistics_without_a_memory_are_refused_too(train):
    def forgetful():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8, track_running_stats=False))

    teacher = LiveTeacher(fresh().eval(), cross_entropy_matrix)
    with pytest.raises(CourseError, match=r"BatchNorm1d layer .'2'.*couples the examples"):
        fit(forgetful, gradient_matching(), train, Recipe(steps=3), teacher=teacher)


def test_recomputed_statistics_are_those_of_the_examples(train):
    model = fresh().eval()
    with torch.no_grad():
        model[2].running_mean.fill_(7.0)
    before = copy.deepcopy(model.state_dict())
    recompute_norm(model, train)
    hidden = model[1](train.inputs.flatten(1)).detach()
    torch.testing.assert_close(model[2].running_mean, hidden.mean(0))
    torch.testing.assert_close(model[2].running_var, hidden.var(0))
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())


def test_batches_of_nearly_equal_size_leave_nobody_out_and_nobodys_order_in(train):
    model = fresh()
    ordered = train.take(train.labels.argsort())
    recompute_norm(model, ordered, batch_size=16, seed=3)
    hidden = model[1](ordered.inputs.flatten(1)).detach()
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    batches = [hidden[rows] for rows in order.split(15)]
    torch.testing.assert_close(model[2].running_mean, torch.stack([each.mean(0) for each in batches]).mean(0))
    torch.testing.assert_close(model[2].running_var, torch.stack([each.var(0) for each in batches]).mean(0))
    assert model.training


def test_none_is_left_alone_in_a_batch(train):
    few = train.take([0, 1, 2])
    model, other = fresh(), fresh()
    recompute_norm(model, few, batch_size=2)
    recompute_norm(other, few)
    for one, two in zip(model.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(one, two)


def test_what_has_no_statistics_is_refused(train):
    with pytest.raises(CourseError, match=r"model must have batch norms .* got no batch norm"):
        recompute_norm(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), train)
    kept = Kept()
    with pytest.raises(CourseError, match="got 1 batch norms that are not"):
        recompute_norm(kept, train)
    with pytest.raises(CourseError, match="batch_size must be an integer of at least 2, got 1"):
        recompute_norm(fresh(), train, batch_size=1)
    with pytest.raises(CourseError, match="at least 2 examples for batch norm, got 1"):
        recompute_norm(fresh(), train.take([0]))
