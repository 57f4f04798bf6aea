"""Adapters and terms of layer-wise distillation: first weights, the shuffled control, the scale of a term."""

from functools import partial

import pytest
import torch

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.matrices import layer_adapter
from course_lib.models import WithRegressors, alexnet
from course_lib.training import (
    Layerwise,
    Objective,
    Recipe,
    cache_teacher,
    first_weights,
    fit,
    fit_many,
    hard_labels,
    layer_responses,
    shuffled_adapter,
)

LAYERS = ("features.4", "features.7")


@pytest.fixture(scope="module")
def digits():
    return load("digits").train.subset(40, seed=0)


@pytest.fixture(scope="module")
def small(digits):
    return partial(alexnet, (1, 8, 8), 10, width=1 / 32, dropout=0.0)


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(5)
    return alexnet((1, 8, 8), 10, width=1 / 16, dropout=0.0).requires_grad_(False)


@pytest.fixture(scope="module")
def cache(teacher, digits):
    return cache_teacher(teacher, digits, layers=LAYERS)


@pytest.fixture(scope="module")
def pair(teacher, small, digits, cache):
    return Layerwise(teacher, small, LAYERS, digits, cache)


def test_first_weights_are_those_that_a_training_starts_from(small, digits):
    state = torch.random.get_rng_state()
    network = first_weights(small, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    # A learning rate so small that a step changes nothing that can be seen.
    trained = fit(small, hard_labels(), digits, Recipe(steps=1, lr=1e-12, optimizer="sgd"), seed=3).model
    for one, two in zip(network.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-9)


def test_a_layers_gradient_is_that_of_the_own_classs_logit(teacher, digits):
    few = digits.take([0, 1])
    z, gradient = layer_responses(teacher, "features.7", few)
    assert not z.requires_grad
    assert not gradient.requires_grad
    behind = teacher.features[8:]

    def own(z):
        return teacher.classifier(behind(z).flatten(1)).gather(1, few.labels[:, None]).sum()

    step = torch.randn(z.shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    change = (own(z + step) - own(z - step)) / 2
    torch.testing.assert_close(change, (gradient * step).sum(), rtol=1e-2, atol=1e-5)


def test_a_shuffled_adapter_has_the_same_rows_in_other_places_and_scales():
    adapter = torch.tensor([[1.0, 2.0], [0.0, 4.0], [3.0, -1.0]])
    # Root mean squares of 1, 2 and 5 over examples and places.
    response = torch.tensor([[1.0, 2.0, 1.0], [-1.0, -2.0, 7.0]])[:, :, None, None].expand(2, 3, 2, 4)
    mixed = shuffled_adapter(adapter, response, seed=1)
    order = torch.randperm(3, generator=torch.Generator().manual_seed(1))
    assert order.tolist() != [0, 1, 2]
    scale = torch.tensor([1.0, 2.0, 5.0])
    for row, source in enumerate(order.tolist()):
        torch.testing.assert_close(mixed[row], adapter[source] / scale[source] * scale[row])


def test_adapters_are_computed_at_each_students_first_weights(pair, teacher, small, digits):
    found = pair.adapters([7, 8], 5.0)
    expected = layer_adapter(
        *layer_responses(teacher, "features.4", digits),
        layer_responses(first_weights(small, 8), "features.4", digits)[0],
        5.0,
    )
    torch.testing.assert_close(found["features.4"][1], expected)
    assert not torch.allclose(found["features.4"][0], expected)


def test_every_student_has_a_shuffled_adapter_of_its_own_order(pair, teacher, digits):
    plain, shuffled = pair.adapters([7, 8], 5.0), pair.adapters([7, 8], 5.0, shuffled=True)
    for layer in LAYERS:
        response, _ = layer_responses(teacher, layer, digits)
        expected = [
            shuffled_adapter(one, response, seed) for seed, one in zip((7, 8), plain[layer], strict=True)
        ]
        for one, two, before in zip(shuffled[layer], expected, plain[layer], strict=True):
            assert torch.equal(one, two)
            assert not torch.equal(one, before)


def test_a_term_is_one_where_nothing_is_explained(pair, cache, small, digits):
    nothing = {layer: [torch.zeros(z.shape[1], z.shape[1] // 2)] for layer, z in cache.activations.items()}
    recipe = Recipe(steps=1, batch_size=len(digits), lr=1e-9)
    terms = pair.terms([2.0], nothing)
    run = fit_many(small, Objective(terms), digits, recipe, seeds=[0], teacher=cache)
    # Weighted by 2 over the mean of two layers, each divided by its size: the total is 2.
    assert run.history["total"][0, 0] == pytest.approx(2.0, rel=1e-4)


def test_regressors_have_the_channels_of_both_networks(pair, cache, small, digits):
    torch.manual_seed(0)
    student = pair.with_regressors()
    assert isinstance(student, WithRegressors)
    shapes = [tuple(each.weight.shape[:2]) for each in student.regressors]
    assert shapes == [(z.shape[1], z.shape[1] // 2) for z in cache.activations.values()]
    terms = pair.terms([1.0])
    run = fit_many(pair.with_regressors, Objective(terms), digits, Recipe(steps=2), seeds=[0], teacher=cache)
    assert run.history["total"].shape == (2, 1)


def test_layers_that_the_cache_lacks_are_refused(teacher, small, digits, cache):
    for layers, words in ((["features.11"], "got features.11"), ([], "got none")):
        with pytest.raises(CourseError, match=words):
            Layerwise(teacher, small, layers, digits, cache)
