"""Recipes: optimisers and schedules by name or as functions, the same after a resumption."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from stopping import stopped_after
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, OneCycleLR, SequentialLR

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss
from course_lib.models import small_mlp
from course_lib.training import (
    Checkpoints,
    Recipe,
    Warmup,
    fit,
    fit_many,
    hard_labels,
    spare_norms,
)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(40, seed=0)


def warming_up(optimizer):
    return LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 5))


def warming_up_then_cosine(optimizer):
    parts = [
        LinearLR(optimizer, start_factor=1 / 4, total_iters=3),
        CosineAnnealingLR(optimizer, T_max=12 - 4),
    ]
    return SequentialLR(optimizer, parts, milestones=[4])


def by_hand(train, recipe, make, schedule=None):
    """The whole set at every step, so that there is no order of batches."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = small_mlp()
    optimizer = make(network.parameters())
    rate = schedule(optimizer) if schedule else None
    for _ in range(recipe.steps):
        optimizer.zero_grad()
        hard_label_loss(network(train.inputs), train.labels).backward()
        optimizer.step()
        if rate:
            rate.step()
    return network


@pytest.mark.parametrize(
    ("settings", "make", "schedule"),
    [
        (
            {"optimizer": "adamw", "weight_decay": 0.1},
            partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1),
            None,
        ),
        (
            {"optimizer": torch.optim.NAdam, "weight_decay": 0.1},
            partial(torch.optim.NAdam, lr=1e-2, weight_decay=0.1),
            None,
        ),
        (
            {"optimizer": partial(torch.optim.SGD, momentum=0.5), "schedule": warming_up},
            partial(torch.optim.SGD, momentum=0.5, lr=1e-2),
            warming_up,
        ),
        (
            {"optimizer": "sgd", "schedule": Warmup(4)},
            partial(torch.optim.SGD, lr=1e-2),
            warming_up_then_cosine,
        ),
        (
            {"optimizer": "sgd", "schedule": Warmup(5, then="constant")},
            partial(torch.optim.SGD, lr=1e-2),
            warming_up,
        ),
    ],
    ids=["adamw", "a class", "functions", "warm-up", "warm-up, then constant"],
)
def test_a_recipe_is_what_it_says(settings, make, schedule, train):
    recipe = Recipe(steps=12, batch_size=40, lr=1e-2, **settings)
    own, wanted = fit(small_mlp, hard_labels(), train, recipe).model, by_hand(train, recipe, make, schedule)
    many = fit_many(small_mlp, hard_labels(), train, recipe, seeds=[0, 1]).model(0)
    for name, value in wanted.state_dict().items():
        torch.testing.assert_close(own.state_dict()[name], value, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(many.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_a_schedule_of_ones_own_goes_on_where_it_stopped(train, tmp_path):
    def cycle(optimizer):
        return OneCycleLR(optimizer, max_lr=0.05, total_steps=30)

    recipe = Recipe(steps=30, batch_size=16, optimizer="adamw", schedule=cycle)
    whole = fit(small_mlp, hard_labels(), train, recipe)

    def stop(done, total):
        if done >= 10:
            raise KeyboardInterrupt

    places = Checkpoints(tmp_path, every=5)
    with pytest.raises(KeyboardInterrupt):
        fit(small_mlp, hard_labels(), train, recipe, checkpoints=places, progress=stop)
    assert places.files()
    rest = fit(small_mlp, hard_labels(), train, recipe, checkpoints=places)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(rest.model.state_dict()[name], value)


def test_another_function_is_another_recipe(train, tmp_path):
    places = Checkpoints(tmp_path, every=5)
    plain = Recipe(steps=10, batch_size=16, optimizer=partial(torch.optim.SGD, momentum=0.5))
    fit(small_mlp, hard_labels(), train, plain, checkpoints=places)
    other = Recipe(steps=10, batch_size=16, optimizer=partial(torch.optim.SGD, momentum=0.9))
    with pytest.raises(CourseError, match=r"another recipe: .*momentum=0\.5.*now .*momentum=0\.9"):
        fit(small_mlp, hard_labels(), train, other, checkpoints=places)


class Nameless:
    """A function that no checkpoint can recognise."""

    def __call__(self, groups, lr, weight_decay):
        return torch.optim.SGD(groups, lr=lr, weight_decay=weight_decay)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda t, p: Recipe(schedule="warm"),
            "schedule must be one of constant, cosine, or a function, got 'warm'",
        ),
        (
            lambda t, p: fit(
                small_mlp, hard_labels(), t, Recipe(steps=5, optimizer=Nameless()), checkpoints=Checkpoints(p)
            ),
            "optimizer must be a function with a name, .* got Nameless",
        ),
        (
            lambda t, p: fit(small_mlp(), hard_labels(), t, Recipe(steps=5)),
            "a function that makes a new network",
        ),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, message, train, tmp_path):
    with pytest.raises(CourseError, match=message) as caught:
        call(train, tmp_path)
    assert "\n" not in str(caught.value)


def test_clipping_shortens_the_step_of_plain_descent_to_the_learning_rate_times_the_bound(train):
    runs = {
        clip: fit(small_mlp, hard_labels(), train, Recipe(1, 64, "sgd", 0.5, clip=clip))
        for clip in (None, 0.1, 1e3)
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = small_mlp()
    moved = {
        clip: torch.cat(
            [(a - b).flatten() for a, b in zip(run.model.parameters(), start.parameters(), strict=True)]
        )
        for clip, run in runs.items()
    }
    assert moved[None].norm() > 0.06
    torch.testing.assert_close(moved[0.1].norm(), torch.tensor(0.05), rtol=1e-4, atol=0)
    torch.testing.assert_close(
        moved[0.1] / moved[0.1].norm(), moved[None] / moved[None].norm(), rtol=1e-3, atol=1e-5
    )
    assert torch.equal(moved[1e3], moved[None])


@pytest.mark.parametrize("steps", [5, 220])  # 220: recorded
def test_students_trained_at_once_are_clipped_each_by_itself(steps, train):
    recipe = Recipe(steps, 16, "momentum", 0.05, clip=0.3)
    together = fit_many(small_mlp, hard_labels(), train, recipe, seeds=(0, 1, 2))
    alone = fit(small_mlp, hard_labels(), train, recipe, seed=1)
    free = fit(small_mlp, hard_labels(), train, replace(recipe, clip=None), seed=1)
    weights = [
        torch.cat([p.flatten() for p in m.parameters()]) for m in (together.model(1), alone.model, free.model)
    ]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(weights[1], weights[2], atol=1e-2)


def test_a_recipe_without_clipping_is_told_as_before_and_wrong_bounds_in_a_sentence():
    assert "clip" not in Recipe().words()
    assert "clip=0.5" in Recipe(clip=0.5).words()
    with pytest.raises(CourseError, match="clip must be"):
        Recipe(clip=-1)


def with_norm():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10, bias=False)
    )


@pytest.mark.parametrize("optimizer", ["adamw", partial(torch.optim.NAdam, decoupled_weight_decay=True)])
def test_norms_and_biases_are_spared_from_decay(optimizer, train):
    recipe = Recipe(steps=8, batch_size=40, lr=1e-2, weight_decay=0.5, optimizer=spare_norms(optimizer))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = with_norm()
    decays, spared = [network[0].weight, network[4].weight], [network[0].bias, *network[1].parameters()]
    make = torch.optim.AdamW if optimizer == "adamw" else optimizer
    own = make([{"params": decays}, {"params": spared, "weight_decay": 0.0}], lr=1e-2, weight_decay=0.5)
    for _ in range(recipe.steps):
        own.zero_grad()
        hard_label_loss(network(train.inputs), train.labels).backward()
        own.step()
    run = fit(with_norm, hard_labels(), train, recipe)
    many = fit_many(with_norm, hard_labels(), train, recipe, seeds=[0, 1])
    for name, value in network.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(many.model(0).state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_which_optimiser_spares_norms_is_known_again(train, tmp_path):
    places = Checkpoints(tmp_path)
    recipe = Recipe(steps=4, batch_size=16, optimizer=spare_norms("adamw"))
    fit(small_mlp, hard_labels(), train, recipe, checkpoints=places)
    other = replace(recipe, optimizer=spare_norms(torch.optim.NAdam))
    with pytest.raises(
        CourseError, match=r"_sparing\('adamw'\).* now .*_sparing\(torch\.optim\.nadam\.NAdam\)"
    ):
        fit(small_mlp, hard_labels(), train, other, checkpoints=places)
    with pytest.raises(CourseError, match=r"optimizer must be one of sgd, .*, or a function, got 'lion'"):
        spare_norms("lion")


@pytest.mark.parametrize("then", ["cosine", "constant"])
def test_a_warm_up_goes_on_where_it_stopped(then, train, tmp_path):
    recipe = Recipe(steps=30, batch_size=16, schedule=Warmup(15, then))

    def trained(places=None):
        return fit(small_mlp, hard_labels(), train, recipe, checkpoints=places).model.state_dict()

    whole, places = trained(), Checkpoints(tmp_path, every=10)
    for step in (10, 20):
        with stopped_after(step):
            trained(places)
    rest = trained(places)
    assert all(torch.equal(value, rest[name]) for name, value in whole.items())


def test_after_a_warm_up_only_a_constant_rate_has_shorter_trainings_in_it(train):
    long = Recipe(steps=30, batch_size=16, schedule=Warmup(5, "constant"))
    kept = fit(small_mlp, hard_labels(), train, long, keep=[10]).at(10).model
    short = fit(small_mlp, hard_labels(), train, replace(long, steps=10)).model
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), short.parameters(), strict=True))
    with pytest.raises(CourseError, match="keep needs a constant learning rate, got the schedule Warmup"):
        fit(small_mlp, hard_labels(), train, replace(long, schedule=Warmup(5)), keep=[10])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Warmup(0), "steps must be an integer of at least 1, got 0"),
        (lambda: Warmup(3, "linear"), "then must be one of constant, cosine, got 'linear'"),
        (lambda: Recipe(steps=9, schedule=Warmup(9)), "warm up in fewer than the 9 steps of the recipe"),
    ],
)
def test_a_warm_up_that_cannot_be_is_refused(make, words):
    with pytest.raises(CourseError, match=words):
        make()
