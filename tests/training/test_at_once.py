"""Trainings in several threads of one process, which share PyTorch's random state and number of threads."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event

import pytest
import torch
from torch import nn

from course_lib.data import load
from course_lib.training import Recipe, fit, fit_many, hard_labels
from course_lib.training.layerwise import first_weights

RECIPE = Recipe(steps=20)


def with_dropout():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 10))


def without_dropout():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(100, seed=0)


def one(train, seed, progress=False):
    return fit(with_dropout, hard_labels(), train, RECIPE, seed=seed, progress=progress).model.state_dict()


def many(train, seed, progress=False):
    runs = fit_many(without_dropout, hard_labels(), train, RECIPE, seeds=[seed, seed + 1], progress=progress)
    return runs.weights


@pytest.mark.parametrize("training", [one, many])
def test_trainings_in_threads_are_those_of_their_seeds(train, training):
    alone = [training(train, seed) for seed in range(4)]
    before = torch.get_rng_state()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(partial(training, train), range(4)))
    for each, other in zip(alone, together, strict=True):
        for name in each:
            assert torch.equal(each[name], other[name])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("training", [one, many])
@pytest.mark.parametrize("other", [one, many, lambda train, seed: first_weights(with_dropout, seed)])
def test_a_second_thread_waits_until_the_first_has_trained(train, training, other):
    """Told of its progress, the first training lets the second begin, and gives it time to do harm."""
    began, second, ended = [], [], Event()

    def meet(done, total):
        if not second:
            second.append(pool.submit(lambda: (other(train, 7), ended.set())))
        began.append(ended.wait(0.05))

    with ThreadPoolExecutor(1) as pool:
        training(train, 1, progress=meet)
        second[0].result()
    assert began
    assert not any(began)


def test_a_training_may_train_another(train):
    inner = []

    def meet(done, total):
        if not inner:
            inner.append(one(train, 3))

    one(train, 1, progress=meet)
    assert torch.equal(inner[0]["1.weight"], one(train, 3)["1.weight"])
