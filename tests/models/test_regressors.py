"""FitNets' regressors: the student stays what it is, and they are trained with it, alone and in a stack."""

import pytest
import torch
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss, layer_response_loss
from course_lib.models import Activations, WithRegressors, alexnet, cnn_teacher, mlp, small_mlp
from course_lib.training import (
    Objective,
    Recipe,
    Term,
    cache_teacher,
    fit,
    fit_many,
    student_activation,
    teacher_activation,
)

CHANNELS = {"features.4": (6, 32), "features.7": (12, 64)}


def student():
    return alexnet((1, 8, 8), 10, width=1 / 32, dropout=0)


def build():
    return WithRegressors(student(), CHANNELS)


def objective(weight=1.0):
    """Two layers of the student against two of the teacher, whose maps are larger."""
    terms = [
        Term(
            f"hint {place}",
            layer_response_loss,
            weight=weight,
            student_response=student_activation(f"regressors.{place}"),
            teacher_response=teacher_activation(layer),
        )
        for place, layer in enumerate(("relu1", "relu2"))
    ]
    return Objective([Term("hard", hard_label_loss), *terms])


@pytest.fixture(scope="module")
def digits():
    return load("digits").train.subset(60, seed=0)


@pytest.fixture(scope="module")
def cache(digits):
    torch.manual_seed(0)
    return cache_teacher(cnn_teacher(), digits, layers=["relu1", "relu2"])


def test_the_logits_are_the_networks_and_its_first_weights_those_without_regressors():
    torch.manual_seed(3)
    alone = student()
    torch.manual_seed(3)
    wrapped = build()
    images = torch.randn(5, 1, 8, 8)
    assert torch.equal(wrapped(images), alone(images))
    assert [tuple(each.weight.shape) for each in wrapped.regressors] == [(32, 6, 1, 1), (64, 12, 1, 1)]


def test_regressors_learn_and_more_than_without_their_term(digits, cache):
    recipe = Recipe(steps=30, batch_size=20, lr=3e-3)
    run = fit(build, objective(), digits, recipe, teacher=cache, progress=False)
    assert run.history["hint 0"][-1] < 0.7 * run.history["hint 0"][0]
    without = fit(build, objective(0.0), digits, recipe, teacher=cache, progress=False)
    assert run.history["hint 0"][-1] < without.history["hint 0"][-1]
    torch.manual_seed(0)
    assert torch.equal(without.model.regressors[0].weight, build().regressors[0].weight)


def test_students_trained_at_once_are_those_trained_alone(digits, cache):
    recipe = Recipe(steps=5, batch_size=20, lr=1e-3)
    together = fit_many(build, objective(), digits, recipe, seeds=[1, 2], teacher=cache, progress=False)
    for place, seed in enumerate((1, 2)):
        alone = fit(build, objective(), digits, recipe, seed=seed, teacher=cache, progress=False).model
        one = together.model(place)
        for name in ("network.features.3.weight", "regressors.1.weight", "regressors.0.bias"):
            torch.testing.assert_close(
                one.get_parameter(name), alone.get_parameter(name), rtol=1e-4, atol=1e-5, msg=name
            )
        images = digits.inputs[:4]
        torch.testing.assert_close(one(images), alone(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ({}, "channels must name at least one layer"),
        (
            {"features.4": (6, 0)},
            r"channels of 'features.4' must be two positive integers or a module, got \(6, 0\)",
        ),
        ({"features.4": (6,)}, "two positive integers"),
        ({"nowhere": (6, 6)}, "layers names 'nowhere', which the model does not have"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(channels, words):
    with pytest.raises(CourseError, match=words):
        WithRegressors(student(), channels)


PAIRS = {"relu1": "relu1", "relu2": "relu1"}


def dense(teacher):
    """Two dense layers of the student against one of the teacher."""
    return WithRegressors.between(small_mlp(), teacher, PAIRS, torch.zeros(1, 1, 8, 8))


def test_dense_layers_learn_as_in_a_loop_by_hand(digits):
    torch.manual_seed(0)
    teacher = mlp((1, 8, 8), (48,), 10)
    answers = cache_teacher(teacher, digits, layers=["relu1"])
    terms = [
        Term(
            f"hint {place}",
            layer_response_loss,
            weight=0.01,
            student_response=student_activation(f"regressors.{place}"),
            teacher_response=teacher_activation("relu1"),
        )
        for place in (0, 1)
    ]
    recipe = Recipe(steps=5, batch_size=60, optimizer="sgd", lr=1e-2)  # the whole set: no order of batches
    goal = Objective([Term("hard", hard_label_loss), *terms])
    run = fit(lambda: dense(teacher), goal, digits, recipe, teacher=answers)
    many = fit_many(lambda: dense(teacher), goal, digits, recipe, seeds=[0, 1], teacher=answers)
    torch.manual_seed(0)
    network = small_mlp()
    maps = nn.ModuleList([nn.Linear(16, 48) for _ in PAIRS])
    optimizer = torch.optim.SGD([*network.parameters(), *maps.parameters()], lr=1e-2)
    for _ in range(recipe.steps):
        optimizer.zero_grad()
        with Activations(network, ["relu1", "relu2"]) as z:
            total = hard_label_loss(network(digits.inputs), digits.labels)
            for layer, each in zip(("relu1", "relu2"), maps, strict=True):
                apart = each(z[layer]) - answers.answers(digits).activations["relu1"]
                total = total + 0.01 * apart.square().sum(1).mean()
        total.backward()
        optimizer.step()
    for prefix, module in (("network.", network), ("regressors.", maps)):
        for name, value in module.state_dict().items():
            for found in (run.model, many.model(0)):
                torch.testing.assert_close(found.state_dict()[prefix + name], value, rtol=1e-3, atol=1e-5)


def test_channels_are_read_from_one_example_and_nobody_is_changed():
    torch.manual_seed(0)
    small = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(216, 10)).train()
    big = cnn_teacher().train()
    before = {name: value.clone() for name, value in small.state_dict().items()}
    wrapped = WithRegressors.between(small, big, {"0": "relu1", "1": "relu2"}, torch.ones(1, 1, 8, 8))
    assert [tuple(each.weight.shape) for each in wrapped.regressors] == [(32, 6, 1, 1), (64, 6, 1, 1)]
    assert big.training
    assert small.training
    assert all(torch.equal(value, before[name]) for name, value in small.state_dict().items())


def test_sequences_get_a_linear_layer_and_other_regressors_may_be_given():
    embedding = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 10))
    wide = nn.Sequential(nn.Embedding(9, 7), nn.Flatten(), nn.Linear(21, 10))
    tokens = torch.randint(9, (2, 3), generator=torch.Generator().manual_seed(0))
    wrapped = WithRegressors.between(embedding, wide, ["0"], tokens)
    with Activations(wrapped, ["regressors.0"]) as z:
        wrapped(tokens)
    assert z["regressors.0"].shape == (2, 3, 7)
    own = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 7))
    assert WithRegressors(embedding, {"0": own}).regressors[0] is own


def test_layers_of_other_dimensions_are_refused():
    with pytest.raises(CourseError, match=r"got \(1, 16\) of 'relu1' and \(1, 32, 8, 8\)"):
        WithRegressors.between(small_mlp(), cnn_teacher(), ["relu1"], torch.zeros(1, 1, 8, 8))
    with pytest.raises(CourseError, match="layers names 'nowhere', which the model does not have"):
        WithRegressors.between(student(), cnn_teacher(), ["nowhere"], torch.zeros(1, 1, 8, 8))
