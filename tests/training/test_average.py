"""The moving average of the weights: PyTorch's own, bit for bit, for one student and for many."""

import copy
from dataclasses import replace

import pytest
import torch
from stopping import stopped_after
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss
from course_lib.models import small_mlp
from course_lib.training import Checkpoints, Recipe, Watch, fit, fit_many, hard_labels, load_weights

RECIPE = Recipe(steps=12, batch_size=40, optimizer="sgd", lr=0.1, average=0.8)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(40, seed=0)


def with_batch_norm():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))


class Tied(nn.Module):
    """Reads with the weights it writes with."""

    def __init__(self):
        super().__init__()
        self.read, self.write, self.out = nn.Linear(64, 8, False), nn.Linear(8, 64, False), nn.Linear(64, 10)
        self.again = self.read

    def forward(self, inputs):
        first = self.read(inputs.flatten(1))
        return self.out(self.write(first + self.again(inputs.flatten(1))))


def by_hand(build, train, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build()
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=RECIPE.lr, fused=True)
    for _ in range(RECIPE.steps):
        optimizer.zero_grad()
        hard_label_loss(network(train.inputs), train.labels).backward()
        optimizer.step()
        average.update_parameters(network)
    return average.module.state_dict()


@pytest.mark.parametrize("build", [small_mlp, with_batch_norm, Tied])
def test_it_is_that_of_a_loop_by_hand(build, train):
    run = fit(build, hard_labels(), train, RECIPE)
    for name, value in by_hand(build, train).items():
        if value.is_floating_point():
            torch.testing.assert_close(run.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)
    assert not run.model.training


def test_many_students_have_one_each(train):
    runs = fit_many(small_mlp, hard_labels(), train, RECIPE, seeds=[0, 5])
    for student, seed in enumerate([0, 5]):
        for name, value in by_hand(small_mlp, train, seed).items():
            torch.testing.assert_close(runs.model(student).state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_the_training_itself_is_the_same_and_counts_its_batches(train):
    averaged = fit(with_batch_norm, hard_labels(), train, RECIPE)
    plain = fit(with_batch_norm, hard_labels(), train, replace(RECIPE, average=None))
    assert (averaged.history["total"] == plain.history["total"]).all()
    assert int(averaged.model[2].num_batches_tracked) == RECIPE.steps
    assert not torch.equal(averaged.model[1].weight, plain.model[1].weight)


SHUFFLED = replace(RECIPE, batch_size=16, optimizer="adam", lr=1e-2)


@pytest.mark.parametrize("many", [False, True])
def test_a_stopped_training_ends_with_the_same_bits(many, train, tmp_path):
    def trained(places=None):
        if many:
            found = fit_many(small_mlp, hard_labels(), train, SHUFFLED, seeds=[0, 1], checkpoints=places)
            return found.parameters
        return fit(with_batch_norm, hard_labels(), train, SHUFFLED, checkpoints=places).model.state_dict()

    whole = trained()
    places = Checkpoints(tmp_path, every=5)
    with stopped_after(5):
        trained(places)
    rest = trained(places)
    assert all(torch.equal(value, rest[name]) for name, value in whole.items())
    read = load_weights(places.files()[0])
    assert all(torch.equal(value, read[name]) for name, value in whole.items())


def test_another_decay_is_another_recipe(train, tmp_path):
    places = Checkpoints(tmp_path)
    fit(small_mlp, hard_labels(), train, RECIPE, checkpoints=places)
    for other in (0.9, None):
        with pytest.raises(CourseError, match="another recipe"):
            fit(small_mlp, hard_labels(), train, replace(RECIPE, average=other), checkpoints=places)


def test_the_average_is_what_is_looked_at_and_kept(train):
    seen = []

    def look(network):
        seen.append(copy.deepcopy(network.state_dict()))
        return {}

    run = fit(small_mlp, hard_labels(), train, SHUFFLED, watch=Watch(look, every=5), keep=[5])
    short = fit(small_mlp, hard_labels(), train, replace(SHUFFLED, steps=5))
    for name, value in short.model.state_dict().items():
        assert torch.equal(value, seen[0][name])
        assert torch.equal(value, run.at(5).model.state_dict()[name])
        assert torch.equal(run.model.state_dict()[name], seen[-1][name])
    many = fit_many(small_mlp, hard_labels(), train, SHUFFLED, seeds=[0, 1], keep=[5])
    shorter = fit_many(small_mlp, hard_labels(), train, replace(SHUFFLED, steps=5), seeds=[0, 1])
    for name, value in shorter.parameters.items():
        assert torch.equal(value, many.at(5).parameters[name])


@pytest.mark.parametrize("decay", [0, 1, -0.5, "0.9"])
def test_a_decay_that_averages_nothing_is_refused(decay):
    with pytest.raises(CourseError, match="average must be a number between 0 and 1, got"):
        Recipe(average=decay)
