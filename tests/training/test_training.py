"""The one loop: same seed, same weights; many at once as alone; NaN named; the teacher found by example."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss, logit_loss, soft_target_loss
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    Objective,
    PerStudent,
    Recipe,
    Term,
    TrainingDiverged,
    cache_teacher,
    fit,
    fit_many,
    gradient,
    gradient_matching,
    gradient_penalty,
    hard_labels,
    soft_targets,
    teacher_logits,
)

SHORT = Recipe(steps=20, batch_size=16)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return cnn_teacher()


@pytest.fixture(scope="module")
def cache(teacher, train):
    return cache_teacher(teacher, train)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_a_step_is_the_optimisers_step_on_the_weighted_loss(train, cache):
    """Against a loop written out with torch alone; the batch order is taken as given."""
    from course_lib.training.recipe import batch_order

    recipe = Recipe(steps=3, batch_size=8, optimizer="sgd", lr=0.1)
    run = fit(small_mlp, soft_targets(temperature=2.0, lam=0.7), train, recipe, seed=3, teacher=cache)
    torch.manual_seed(3)
    model = small_mlp()
    epoch = next(batch_order(len(train), 8, seed=3))
    for rows in epoch[:3]:
        logits = model(train.inputs[rows])
        p = torch.softmax(cache.lookup(train)[rows] / 2.0, dim=1)
        soft = 4.0 * torch.nn.functional.kl_div(torch.log_softmax(logits / 2.0, 1), p, reduction="batchmean")
        loss = 0.3 * torch.nn.functional.cross_entropy(logits, train.labels[rows]) + 0.7 * soft
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                parameter -= 0.1 * gradient
    assert torch.allclose(weights(run.model), weights(model), atol=1e-6)
    assert run.history["total"][2] == pytest.approx(loss.item(), rel=1e-5)
    assert run.history["soft"][2] == pytest.approx(soft.item(), rel=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
def test_same_seed_gives_bit_identical_weights_and_another_seed_does_not(train, optimizer):
    recipe = Recipe(steps=20, batch_size=16, optimizer=optimizer, lr=1e-2)
    first, again, other = (fit(small_mlp, hard_labels(), train, recipe, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(weights(first.model), weights(again.model))
    assert not torch.equal(weights(first.model), weights(other.model))


def test_dropout_works_while_training_and_rests_afterwards(train):
    build = lambda: nn.Sequential(nn.Flatten(), nn.Dropout(1.0), nn.Linear(64, 10))  # noqa: E731
    run = fit(build, hard_labels(), train, SHORT, seed=1)
    # Everything is dropped, so nothing but the bias can learn.
    with torch.random.fork_rng():
        torch.manual_seed(1)
        assert torch.equal(run.model[2].weight, build()[2].weight)
    assert run.model(train.inputs[:2])[0].ne(run.model(train.inputs[:2])[1]).any()


def constant_gradient(student_logits):
    """The gradient of the last bias is 1 for every class, whatever the batch."""
    return student_logits.sum() / len(student_logits)


@pytest.mark.parametrize(
    ("settings", "moves"),
    [
        ({"optimizer": "sgd"}, [0.1, 0.1, 0.1]),
        # Momentum 0.9: the velocity is 1, 1.9, 2.71.
        ({"optimizer": "momentum"}, [0.1, 0.19, 0.271]),
        # Cosine over three steps: 0.1, 0.075, 0.025.
        ({"optimizer": "sgd", "schedule": "cosine"}, [0.1, 0.075, 0.025]),
    ],
)
def test_optimisers_and_schedules_by_hand(train, settings, moves):
    build = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))  # noqa: E731
    recipe = Recipe(steps=3, batch_size=4, lr=0.1, **settings)
    run = fit(build, Objective([Term("constant", constant_gradient)]), train, recipe, seed=1)
    torch.manual_seed(1)
    assert torch.allclose(build()[1].bias - run.model[1].bias, torch.full((10,), sum(moves)), atol=1e-6)


def test_weight_decay_by_hand(train):
    build = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10))  # noqa: E731
    recipe = Recipe(steps=1, batch_size=4, lr=0.1, optimizer="sgd", weight_decay=0.5)
    nothing = Objective([Term("nothing", lambda student_logits: 0 * student_logits.sum())])
    run = fit(build, nothing, train, recipe, seed=1)
    torch.manual_seed(1)
    assert torch.allclose(run.model[1].weight, (1 - 0.1 * 0.5) * build()[1].weight, atol=1e-7)


def test_dropout_is_reproducible_and_the_global_random_state_is_left_alone(train):
    build = lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))  # noqa: E731
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first = fit(build, hard_labels(), train, SHORT, seed=1)
    assert torch.equal(torch.rand(1), expected)
    torch.rand(5)
    assert torch.equal(weights(first.model), weights(fit(build, hard_labels(), train, SHORT, seed=1).model))


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_many_at_once_are_what_they_are_alone(train, cache, optimizer, schedule):
    """Only the order of float32 sums differs; after 60 steps the weights agree to 1e-4 and the losses to 1e-3."""
    recipe = Recipe(
        steps=60, batch_size=16, optimizer=optimizer, schedule=schedule, lr=1e-2, weight_decay=1e-3
    )
    seeds, subsets = [5, 6, 7], [train.subset(50, seed=seed) for seed in (5, 6, 7)]
    temperature, lam = PerStudent([1.0, 4.0, 8.0]), PerStudent([0.0, 0.5, 1.0])
    together = fit_many(
        small_mlp, soft_targets(temperature, lam), subsets, recipe, seeds=seeds, teacher=cache
    )
    for i, seed in enumerate(seeds):
        objective = soft_targets(temperature.values[i], lam.values[i])
        alone = fit(small_mlp, objective, subsets[i], recipe, seed=seed, teacher=cache)
        assert torch.allclose(weights(together.model(i)), weights(alone.model), atol=1e-4)
        assert np.allclose(together.history["total"][:, i], alone.history["total"], rtol=1e-3, atol=1e-5)
        assert torch.allclose(together.logits(train.inputs[:9])[i], alone.model(train.inputs[:9]), atol=1e-3)


def test_students_of_different_seeds_differ(train):
    together = fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[1, 2])
    assert len(together) == 2
    assert not torch.allclose(weights(together.model(0)), weights(together.model(1)), atol=1e-2)


def test_convolutions_can_be_trained_in_a_stack(train):
    together = fit_many(cnn_teacher, hard_labels(), train, Recipe(steps=3, batch_size=4), seeds=[1, 2])
    alone = fit(cnn_teacher, hard_labels(), train, Recipe(steps=3, batch_size=4), seed=2)
    assert torch.allclose(weights(together.model(1)), weights(alone.model), atol=1e-4)


def test_training_learns(train):
    run = fit(small_mlp, hard_labels(), train, Recipe(steps=300), seed=0)
    with torch.no_grad():
        accuracy = (run.model(train.inputs).argmax(1) == train.labels).float().mean()
    assert accuracy > 0.9
    assert run.history["hard"].shape == (300,)
    assert run.history["hard"][-50:].mean() < 0.2 * run.history["hard"][:10].mean()
    assert not run.model.training
    assert run.seconds > 0


def broken_after(steps):
    calls = []

    def loss(student_logits):
        calls.append(1)
        scale = float("nan") if len(calls) > steps else 1.0
        return scale * student_logits.square().mean()

    return loss


@pytest.mark.parametrize("step", [1, 8, 61])
def test_a_nan_loss_stops_and_names_the_term_the_step_and_the_seed(train, step):
    # The first call is the dry run before the first step.
    objective = Objective([Term("hard", hard_label_loss), Term("odd", broken_after(step))])
    with pytest.raises(TrainingDiverged, match=rf"term 'odd' became nan at step {step} \(seed 4\)"):
        fit(small_mlp, objective, train, Recipe(steps=70), seed=4)


def test_a_nan_in_one_of_many_names_its_seed(train):
    objective = Objective([Term("hard", hard_label_loss, weight=PerStudent([1.0, 1e30]))])
    with pytest.raises(TrainingDiverged, match=r"'hard' became .* \(seed 12\)"):
        fit_many(small_mlp, objective, train, Recipe(steps=60, optimizer="sgd", lr=1.0), seeds=[11, 12])


# --- The teacher's cache -------------------------------------------------------------------------------------------


def test_cache_finds_the_teachers_answer_to_each_example_whatever_the_order(teacher, train, cache):
    shuffled = train.take(torch.randperm(len(train), generator=torch.Generator().manual_seed(1)))
    direct = torch.cat([teacher(part) for part in shuffled.inputs.split(100)])
    assert torch.allclose(cache.lookup(shuffled), direct, atol=1e-5)
    assert torch.allclose(cache_teacher(teacher, shuffled).lookup(train), cache.lookup(train), atol=1e-5)


def test_the_teacher_answers_in_eval_mode_and_keeps_its_mode(train):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10)).train()
    model[0].eval()
    logits = teacher_logits(model, train)
    assert [module.training for module in model] == [False, True, True]
    assert torch.allclose(logits, model[2](train.inputs.flatten(1)), atol=1e-5)
    assert not logits.requires_grad


def test_examples_the_teacher_has_not_seen_are_refused(teacher, train):
    cache = cache_teacher(teacher, train.take(torch.arange(100)))
    with pytest.raises(CourseError, match=f"does not know {len(train) - 100} of the {len(train)} examples"):
        cache.lookup(train)


def test_other_images_at_the_same_positions_are_refused(cache, train):
    from dataclasses import replace

    with pytest.raises(CourseError, match="another data set"):
        cache.lookup(replace(train, images=train.images.roll(1, dims=0)))


def test_kept_cache_is_read_back_and_other_weights_get_another(teacher, train, tmp_path):
    first = cache_teacher(teacher, train, directory=tmp_path)
    (path,) = tmp_path.iterdir()
    changed = path.stat().st_mtime_ns
    again = cache_teacher(teacher, train, directory=tmp_path)
    assert path.stat().st_mtime_ns == changed
    assert torch.equal(again.logits, first.logits)
    torch.manual_seed(1)
    other = cache_teacher(cnn_teacher(), train, directory=tmp_path)
    assert other.key != first.key
    assert len(list(tmp_path.iterdir())) == 2


def test_a_kept_cache_with_one_answer_changed_is_refused(teacher, train, tmp_path):
    cache_teacher(teacher, train, directory=tmp_path)
    (path,) = tmp_path.iterdir()
    kept = torch.load(path, weights_only=True)
    kept["logits"][-1, 3] *= 2  # not among those about which the teacher is asked again
    torch.save(kept, path)
    with pytest.raises(CourseError, match=r"the teacher cache .* is damaged; delete it"):
        cache_teacher(teacher, train, directory=tmp_path)


def test_settings_of_a_kept_cache_and_what_it_only_claims_are_looked_at(teacher, train, tmp_path):
    cache_teacher(teacher, train, directory=tmp_path)
    (path,) = tmp_path.iterdir()
    kept = torch.load(path, weights_only=True)
    torch.save(kept | {"views": (1, 1, False)}, path)
    with pytest.raises(CourseError, match=r"the teacher cache .* is damaged; delete it"):
        cache_teacher(teacher, train, directory=tmp_path)
    torch.save(kept | {"logits": torch.zeros(1).expand(10**10)}, path)
    with pytest.raises(CourseError, match=r"cannot be read \(it claims a tensor of shape .* delete it"):
        cache_teacher(teacher, train, directory=tmp_path)


def test_a_damaged_kept_cache_is_refused(teacher, train, tmp_path):
    cache_teacher(teacher, train, directory=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CourseError, match=r"cannot be read .* delete it"):
        cache_teacher(teacher, train, directory=tmp_path)


def test_a_teacher_may_be_given_as_a_network(teacher, train, cache):
    given = fit(small_mlp, soft_targets(), train, SHORT, teacher=teacher)
    cached = fit(small_mlp, soft_targets(), train, SHORT, teacher=cache)
    assert torch.equal(weights(given.model), weights(cached.model))


# --- Bad input -----------------------------------------------------------------------------------------------------


class Broken(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :10] * float("nan")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda t: fit(small_mlp, soft_targets(), t, SHORT),
            "teacher must be given for the term soft",
        ),
        (lambda t: fit(small_mlp, hard_labels(), t.take(torch.arange(0)), SHORT), "at least one example"),
        (
            lambda t: fit(lambda: small_mlp(num_classes=5), hard_labels(), t, SHORT),
            "from 0 to below the model's 5 classes, got 9",
        ),
        (
            lambda t: fit(lambda: small_mlp(num_classes=12), soft_targets(), t, SHORT, teacher=cnn_teacher()),
            r"teacher_logits must have the shape .* \(2, 12\), got \(2, 10\)",
        ),
        (
            lambda t: fit(small_mlp, soft_targets(temperature=0.0), t, SHORT, teacher=cnn_teacher()),
            "temperature",
        ),
        (
            lambda t: fit(small_mlp, soft_targets(), t, SHORT, teacher=Broken()),
            "network must return finite logits",
        ),
        (lambda t: fit(small_mlp, hard_labels(), t, SHORT, seed=-1), "seed must be an integer from 0"),
        (lambda t: fit(nn.Identity, hard_labels(), t, SHORT), "network with weights to learn, got Identity"),
        (lambda t: fit_many(small_mlp, hard_labels(), t, SHORT, seeds=[]), "seeds must hold one integer"),
        (
            lambda t: fit_many(small_mlp, hard_labels(), [t], SHORT, seeds=[1, 2]),
            r"one per seed \(2\), got 1 sets",
        ),
        (
            lambda t: fit_many(small_mlp, hard_labels(), [t, t.subset(50, 0)], SHORT, seeds=[1, 2]),
            r"of one size .* got sizes \[50, 1200\]",
        ),
        (
            lambda t: fit_many(
                small_mlp,
                soft_targets(PerStudent([1.0, -4.0])),
                t,
                SHORT,
                seeds=[1, 2],
                teacher=cnn_teacher(),
            ),
            "temperature must be a finite number above 0, got -4.0",
        ),
        (
            lambda t: fit_many(
                small_mlp, soft_targets(PerStudent([1.0])), t, SHORT, seeds=[1, 2], teacher=cnn_teacher()
            ),
            "soft.temperature must hold one value per student, 2, got 1",
        ),
        (
            lambda t: fit_many(
                lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)),
                hard_labels(),
                t,
                SHORT,
                seeds=[1, 2],
            ),
            "BatchNorm1d layer .'1'.* one at a time with fit",
        ),
        (
            lambda t: fit_many(
                lambda: nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 10)),
                hard_labels(),
                t,
                SHORT,
                seeds=[1],
            ),
            "Dropout layer",
        ),
    ],
)
def test_bad_input_is_answered_before_training(train, call, words):
    with pytest.raises(CourseError, match=words):
        call(train)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Term("soft", soft_target_loss), "needs the setting temperature of soft_target_loss"),
        (lambda: Term("hard", hard_label_loss, temperature=1.0), "was given temperature; .* settings: mask"),
        (
            lambda: Term("soft", soft_target_loss, T=1.0, temperature=1.0),
            "was given T; .* settings: temperature",
        ),
        (lambda: Term("logit", logit_loss, teacher_logits=None), "was given teacher_logits"),
        (lambda: Objective([]), "at least one Term"),
        (lambda: Objective([Term("a", hard_label_loss)] * 2), "different names"),
        (lambda: Objective([Term("total", hard_label_loss)]), "none of them 'total'"),
        (lambda: soft_targets(lam=1.5), r"lam must lie in \[0, 1\].* got 1.5"),
        (lambda: soft_targets(lam="half"), r"lam must lie in \[0, 1\].* got 'half'"),
        (lambda: gradient(lam=-1.0), "lam must be a finite number of at least 0, got -1.0"),
        (lambda: gradient_matching(lam=math.nan), "lam must be a finite number of at least 0, got nan"),
        (lambda: gradient_penalty(beta=-0.1), "beta must be a finite number of at least 0, got -0.1"),
        (lambda: gradient_penalty(PerStudent([0.1, -0.1])), "beta must be a finite number .* got -0.1"),
        (lambda: Recipe(steps=0), "steps must be an integer of at least 1, got 0"),
        (lambda: Recipe(batch_size=2.5), "batch_size .* got 2.5"),
        (lambda: Recipe(lr=float("nan")), "lr .* got nan"),
        (lambda: Recipe(weight_decay=-1), "weight_decay .* got -1"),
        (
            lambda: Recipe(optimizer="lion"),
            "optimizer must be one of sgd, momentum, rmsprop, adam, adamw, or a function, got 'lion'",
        ),
        (lambda: Recipe(schedule="step"), "schedule must be one of constant, cosine"),
    ],
)
def test_what_cannot_be_trained_for_is_refused(call, words):
    with pytest.raises(CourseError, match=words):
        call()


def test_each_epoch_shows_every_example_of_whole_batches_once():
    from itertools import islice

    from course_lib.training.recipe import batch_order

    for epoch in islice(batch_order(10, 3, seed=0), 4):
        seen = epoch.flatten()
        assert len(epoch) == 3
        assert len(seen.unique()) == 9
    assert len(next(batch_order(10, 64, seed=0))) == 1


@pytest.mark.parametrize("views", [1, 5])
def test_epochs_that_come_together_are_those_that_come_alone(views):
    from itertools import islice

    from course_lib.training.recipe import batch_order

    alone = torch.cat(list(islice(batch_order(10, 3, seed=0, views=views), 6)))
    together = torch.cat(list(islice(batch_order(10, 3, seed=0, views=views, together=2), 3)))
    assert torch.equal(together, alone)


def test_epochs_are_shuffled_and_differently_each_time():
    from itertools import islice

    from course_lib.training.recipe import batch_order

    first, second = (epoch.flatten() for epoch in islice(batch_order(100, 10, seed=0), 2))
    other = next(batch_order(100, 10, seed=1)).flatten()
    for one, another in ((first, torch.arange(100)), (first, second), (first, other)):
        assert not torch.equal(one, another)


def test_a_given_fabric_decides_precision_and_has_one_process_for_a_stack(train):
    from types import SimpleNamespace

    from lightning_fabric import Fabric

    half = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    for run in (
        fit(small_mlp, hard_labels(), train, SHORT, fabric=half),
        fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[0], fabric=half),
    ):
        full = fit(small_mlp, hard_labels(), train, SHORT).history["total"]
        losses = run.history["total"].reshape(-1)
        assert np.allclose(losses, full, rtol=0.05)
        assert not np.allclose(losses, full, rtol=1e-5)
    with pytest.raises(CourseError, match="fabric must have one process, got 2"):
        fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[0], fabric=SimpleNamespace(world_size=2))


def test_frozen_weights_stay_in_a_stack_too(train):
    def build():
        model = small_mlp()
        model.linear1.weight.requires_grad_(False)
        return model

    together = fit_many(build, hard_labels(), train, SHORT, seeds=[1, 2])
    alone = fit(build, hard_labels(), train, SHORT, seed=2)
    torch.manual_seed(2)
    assert torch.equal(together.model(1).linear1.weight, build().linear1.weight)
    assert torch.allclose(weights(together.model(1)), weights(alone.model), atol=1e-5)


class Doubling(nn.Module):
    """Another network while training; made in eval mode."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)
        self.eval()

    def forward(self, x):
        return self.linear(x.flatten(1)) * (2.0 if self.training else 1.0)


def test_a_stack_trains_in_train_mode(train):
    together = fit_many(Doubling, hard_labels(), train, SHORT, seeds=[3])
    alone = fit(Doubling, hard_labels(), train, SHORT, seed=3)
    assert torch.allclose(weights(together.model(0)), weights(alone.model), atol=1e-5)


def test_shared_weights_are_not_stacked(train):
    class Tied(Doubling):
        def __init__(self):
            super().__init__()
            self.again = self.linear

    with pytest.raises(CourseError, match="share weights"):
        fit_many(Tied, hard_labels(), train, SHORT, seeds=[3])


def test_sets_with_other_pixels_at_the_same_place_are_not_mixed(train):
    from dataclasses import replace

    few = train.take(torch.arange(50))
    noisy = replace(few, images=255 - few.images)
    with pytest.raises(CourseError, match="disagree about an example"):
        fit_many(small_mlp, hard_labels(), [few, noisy], SHORT, seeds=[1, 2])


def test_a_kept_cache_is_not_believed_after_the_teachers_code_changed(train, tmp_path):
    class Scaled(nn.Module):
        def __init__(self, scale):
            super().__init__()
            torch.manual_seed(0)
            self.inner, self.scale = small_mlp(), scale

        def forward(self, x):
            return self.scale * self.inner(x)

    one = cache_teacher(Scaled(1.0), train, directory=tmp_path)
    three = cache_teacher(Scaled(3.0), train, directory=tmp_path)
    assert torch.allclose(three.logits, 3 * one.logits, rtol=1e-4)


def test_the_last_step_may_not_diverge_unseen(train):
    objective = Objective([Term("hard", hard_label_loss, weight=1e30)])
    recipe = Recipe(steps=1, optimizer="sgd", lr=1e15)
    with pytest.raises(TrainingDiverged, match=r"a weight became NaN or infinite at step 1 \(seed 6\)"):
        fit(small_mlp, objective, train, recipe, seed=6)
    objective = Objective([Term("hard", hard_label_loss, weight=PerStudent([1.0, 1e30]))])
    few = Recipe(steps=1, optimizer="sgd", lr=1e10)
    with pytest.raises(TrainingDiverged, match=r"at step 1 \(seed 6\)"):
        fit_many(small_mlp, objective, train, few, seeds=[5, 6])


def test_numpy_seeds_are_seeds(train):
    plain = fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[0, 1])
    numpy = fit_many(small_mlp, hard_labels(), train, SHORT, seeds=np.arange(2))
    assert torch.equal(weights(plain.model(1)), weights(numpy.model(1)))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda t: fit(small_mlp, soft_targets(PerStudent([1.0])), t, SHORT, teacher=small_mlp()),
            r"soft.temperature differs between students .* fit_many",
        ),
        (
            lambda t: fit(
                small_mlp, Objective([Term("rows", lambda student_logits: student_logits)]), t, SHORT
            ),
            r"loss of term 'rows' must return a scalar tensor, got shape \(2, 10\)",
        ),
        (
            lambda t: fit(small_mlp, Objective([Term("one", lambda student_logits: 1.0)]), t, SHORT),
            "loss of term 'one' must return a scalar tensor, got float",
        ),
        (lambda t: cache_teacher(small_mlp, t), "teacher must be a torch.nn.Module, got function"),
        (lambda t: cache_teacher(small_mlp(), t.take(torch.arange(0))), "at least one example"),
        (lambda t: fit(lambda: 3, hard_labels(), t, SHORT), "build_model must make a network .* got int"),
    ],
)
def test_wrong_kinds_are_answered_in_one_sentence(train, call, words):
    with pytest.raises(CourseError, match=words):
        call(train)


def test_negative_labels_are_answered_before_training(train):
    from dataclasses import replace

    with pytest.raises(CourseError, match="from 0 to below the model's 10 classes, got -1"):
        fit(small_mlp, hard_labels(), replace(train, labels=train.labels - 1), SHORT)
