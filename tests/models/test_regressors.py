"""FitNets' regressors: the student stays what it is, and they are trained with it, alone and in a stack."""

import pytest
import torch

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss, layer_response_loss
from course_lib.models import WithRegressors, alexnet, cnn_teacher
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
        ({"features.4": (6, 0)}, r"channels of 'features.4' must be two positive integers, got \(6, 0\)"),
        ({"features.4": (6,)}, "two positive integers"),
        ({"nowhere": (6, 6)}, "layers names 'nowhere', which the model does not have"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(channels, words):
    with pytest.raises(CourseError, match=words):
        WithRegressors(student(), channels)
