"""A recorded step: the same bits as the step itself, for every method; and what cannot be recorded trains as before."""

from functools import partial

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn
from torch._ops import OpOverload
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from course_lib.data import load
from course_lib.models import alexnet, cnn_teacher, small_mlp
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Term,
    cache_teacher,
    fit_many,
    gradient,
    gradient_matching,
    gradient_penalty,
    hard_labels,
    recorded,
    soft_targets,
    stack,
)
from course_lib.training.recorded import record

SHORT = Recipe(steps=12, batch_size=16)
METHODS = {
    "hard labels": hard_labels(),
    "soft targets": soft_targets(PerStudent([1.0, 4.0, 9.0]), PerStudent([0.1, 0.5, 0.9])),
    "gradient": gradient(0.01),
    "gradient, estimated": gradient(0.01, estimator="hutchinson"),
    "matching": gradient_matching(PerStudent([0.1, 1.0, 10.0])),
    "matching, estimated": gradient_matching(0.1, estimator="hutchinson"),
    "penalty": gradient_penalty(0.1, [1.0, 2.0, 0.5]),
}


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(64, seed=0)


@pytest.fixture(scope="module")
def cache(train):
    torch.manual_seed(0)
    return cache_teacher(cnn_teacher(), train, soft_matrix=torch.eye(10)[:, :4])


@pytest.fixture(autouse=True)
def _short_trainings_too(monkeypatch):
    monkeypatch.setattr(stack, "RECORD_FROM", 1)


@pytest.fixture
def recordings(monkeypatch):
    """What the trainings of a test record."""
    made = []

    def watched(*arguments):
        made.append(record(*arguments))
        return made[-1]

    monkeypatch.setattr(stack, "record", watched)
    return made


def never(step, weights, batch):
    return None


def assert_same(first, second):
    assert all(torch.equal(first.parameters[name], second.parameters[name]) for name in second.parameters)
    assert all((first.history[name] == second.history[name]).all() for name in second.history)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_recorded_and_trains_to_the_same_bits(train, cache, name, recordings, monkeypatch):
    def trained():
        return fit_many(small_mlp, METHODS[name], train, SHORT, seeds=[3, 4, 5], teacher=cache)

    replayed = trained()
    assert [each is not None for each in recordings] == [True]
    monkeypatch.setattr(stack, "record", never)
    assert_same(replayed, trained())


def convolutional(*layers):
    """Makes a student on the digits with these layers between a convolution and the logits."""
    return lambda: nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), *layers, nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)
    )


def lazily(build):
    """The network with all its shapes known."""

    def make():
        network = build()
        network(torch.zeros(1, 1, 8, 8))
        return network

    return make


@pytest.mark.parametrize(
    "build",
    [
        partial(alexnet, (1, 8, 8), 10, width=1 / 64, dropout=0),
        lazily(convolutional(nn.AvgPool2d(2))),
        lazily(convolutional(nn.MaxPool2d(2))),
        lazily(convolutional(nn.AdaptiveAvgPool2d(3))),
        lazily(convolutional(nn.GroupNorm(2, 8))),
        lazily(convolutional(nn.LayerNorm([8, 8, 8]))),
    ],
    ids=["AlexNet", "average pooling", "max pooling", "adaptive pooling", "GroupNorm", "LayerNorm"],
)
def test_convolutional_students_are_recorded_too(build, train, recordings, monkeypatch):
    def trained():
        return fit_many(build, hard_labels(), train, SHORT, seeds=[0, 1])

    replayed = trained()
    assert [each is not None for each in recordings] == [True]
    monkeypatch.setattr(stack, "record", never)
    assert_same(replayed, trained())


def test_mixed_precision_is_part_of_the_recording(train, monkeypatch):
    def trained(precision):
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
        return fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[0, 1], fabric=fabric)

    replayed = trained("bf16-mixed")
    assert not torch.equal(
        replayed.parameters["logits.weight"], trained("32-true").parameters["logits.weight"]
    )
    monkeypatch.setattr(stack, "record", never)
    assert_same(replayed, trained("bf16-mixed"))


def test_frozen_weights_get_no_gradient(train):
    def half_frozen():
        model = small_mlp()
        model.linear1.requires_grad_(False)
        return model

    runs = fit_many(half_frozen, hard_labels(), train, SHORT, seeds=[0])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before = small_mlp()
    assert torch.equal(runs.parameters["linear1.weight"][0], before.linear1.weight)
    assert not torch.equal(runs.parameters["logits.weight"][0], before.logits.weight)


def test_a_loss_that_cannot_be_recorded_trains_all_the_same(train, caplog):
    def shy(student_logits, labels):
        if get_proxy_mode() is not None:
            raise TypeError("not on record")
        return torch.nn.functional.cross_entropy(student_logits, labels)

    with caplog.at_level("INFO"):
        shied = fit_many(small_mlp, Objective([Term("hard", shy)]), train, SHORT, seeds=[0, 1])
    assert "not on record" in caplog.text
    plain = fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[0, 1])
    for name, value in plain.parameters.items():
        assert torch.allclose(shied.parameters[name], value, atol=1e-4)


def test_nearly_all_operations_are_called_directly(train, cache, monkeypatch):
    graphs = []
    direct = recorded._call_directly
    monkeypatch.setattr(recorded, "_call_directly", lambda graph: (direct(graph), graphs.append(graph)))
    fit_many(small_mlp, soft_targets(), train, SHORT, seeds=[0, 1], teacher=cache)
    calls = [node.target for node in graphs[0].graph.nodes if node.op == "call_function"]
    assert sum(isinstance(each, OpOverload) for each in calls) <= 0.1 * len(calls)


def test_a_step_that_cannot_be_replayed_is_not_recorded(train, recordings, monkeypatch):
    def spoilt(graph):
        next(node for node in graph.graph.nodes if node.op == "call_function").target = len

    with monkeypatch.context() as patch:
        patch.setattr(recorded, "_call_directly", spoilt)
        plain = fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[0, 1])
    assert recordings == [None]
    assert_same(plain, fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[0, 1]))


def test_a_short_training_is_not_recorded(train, monkeypatch):
    monkeypatch.setattr(stack, "RECORD_FROM", SHORT.steps + 1)
    monkeypatch.setattr(stack, "record", None)
    fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[0])
