"""Augmentation: a teacher kept for all views says what a live one says, and every method trains on views."""

import numpy as np
import pytest
import torch

from course_lib.data import Views, load
from course_lib.errors import CourseError
from course_lib.losses import logit_loss
from course_lib.matrices import cross_entropy_matrix
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    Checkpoints,
    LiveTeacher,
    Objective,
    Recipe,
    Term,
    cache_teacher,
    fit,
    fit_many,
    gradient_matching,
    hard_labels,
    soft_targets,
    teacher_activation,
)
from course_lib.training.recipe import batch_order

VIEWS = Views(pad=1, flip=False)
SHORT = Recipe(steps=25, batch_size=16)
S = torch.eye(10)[:, :3]


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(64, seed=0)


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return cnn_teacher()


@pytest.fixture(scope="module")
def cache(teacher, train):
    return cache_teacher(teacher, train, views=VIEWS)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def test_the_cache_holds_the_teachers_logits_for_every_view(teacher, train, cache):
    assert cache.logits.shape == (64, 9, 10)
    order = train.index.argsort()
    teacher.eval()
    for view in range(9):
        shown = VIEWS.apply(train.inputs[order], torch.full((64,), view))
        with torch.no_grad():
            assert torch.allclose(cache.logits[:, view].float(), teacher(shown), atol=2e-3)
    assert torch.allclose(cache.lookup(train), teacher(train.inputs), atol=2e-3)


def test_training_with_the_cache_is_training_with_a_live_teacher(teacher, train, cache):
    kept = fit(small_mlp, soft_targets(4.0, 0.5), train, SHORT, teacher=cache, views=VIEWS)
    live = fit(small_mlp, soft_targets(4.0, 0.5), train, SHORT, teacher=LiveTeacher(teacher), views=VIEWS)
    as_network = fit(small_mlp, soft_targets(4.0, 0.5), train, SHORT, teacher=teacher, views=VIEWS)
    still = fit(small_mlp, soft_targets(4.0, 0.5), train, SHORT, teacher=teacher)
    for name, values in live.history.items():
        assert np.allclose(kept.history[name], values, rtol=1e-2, atol=1e-4)  # half precision
        assert not np.allclose(still.history[name], values, rtol=1e-2, atol=1e-4)
    assert torch.equal(weights(kept.model), weights(as_network.model))


def test_a_cache_of_views_also_serves_training_without(train, cache, teacher):
    kept = fit(small_mlp, soft_targets(), train, SHORT, teacher=cache)
    plain = fit(small_mlp, soft_targets(), train, SHORT, teacher=teacher)
    assert np.allclose(kept.history["soft"], plain.history["soft"], rtol=1e-2, atol=1e-4)


def test_many_at_once_see_the_views_that_each_sees_alone(train, cache):
    several = [load("digits", seed=0).train.subset(40, seed=seed) for seed in (1, 2)]
    known = cache_teacher(cnn_teacher(), load("digits", seed=0).train, views=VIEWS)
    together = fit_many(small_mlp, soft_targets(), several, SHORT, seeds=[1, 2], teacher=known, views=VIEWS)
    for place, seed in enumerate((1, 2)):
        alone = fit(small_mlp, soft_targets(), several[place], SHORT, seed=seed, teacher=known, views=VIEWS)
        assert torch.allclose(weights(together.model(place)), weights(alone.model), atol=1e-4)


def test_two_teachers_of_views_are_told_apart(train):
    torch.manual_seed(1)
    caches = [cache_teacher(cnn_teacher(), train, views=VIEWS) for _ in range(2)]
    together = fit_many(small_mlp, soft_targets(), train, SHORT, seeds=[1, 1], teacher=caches, views=VIEWS)
    for place, cache in enumerate(caches):
        alone = fit(small_mlp, soft_targets(), train, SHORT, seed=1, teacher=cache, views=VIEWS)
        assert torch.allclose(weights(together.model(place)), weights(alone.model), atol=1e-4)


def test_every_example_comes_once_an_epoch_and_every_view_comes():
    first = next(batch_order(90, 10, seed=0, views=9)).flatten()
    assert torch.equal((first // 9).sort().values, torch.arange(90))
    assert set((first % 9).tolist()) == set(range(9))
    assert torch.equal(next(batch_order(90, 10, seed=0, views=1)).flatten(), first // 9)


@pytest.mark.parametrize("matrix", [S, cross_entropy_matrix])
def test_a_live_teacher_gives_the_gradients_of_the_cache(teacher, train, matrix):
    kept = matrix
    if callable(matrix):
        with torch.no_grad():
            kept = matrix(teacher.eval()(train.inputs), train.labels)
    cached = cache_teacher(teacher, train, soft_matrix=kept)
    one = fit(small_mlp, gradient_matching(0.1), train, SHORT, teacher=cached)
    other = fit(small_mlp, gradient_matching(0.1), train, SHORT, teacher=LiveTeacher(teacher, matrix))
    assert np.allclose(one.history["matching"], other.history["matching"], rtol=1e-3)
    many = fit_many(
        small_mlp, gradient_matching(0.1), train, SHORT, seeds=[0, 5], teacher=LiveTeacher(teacher, matrix)
    )
    assert torch.allclose(weights(many.model(0)), weights(other.model), atol=1e-4)


def test_a_live_teacher_gives_activations_and_stays_as_it_was(teacher, train):
    objective = Objective([Term("layer", logit_loss, teacher_logits=teacher_activation("logits"))])
    teacher.train()
    live = fit(small_mlp, objective, train, SHORT, teacher=LiveTeacher(teacher), views=VIEWS)
    plain = Objective([Term("layer", logit_loss)])
    other = fit(small_mlp, plain, train, SHORT, teacher=LiveTeacher(teacher), views=VIEWS)
    assert teacher.training
    assert np.allclose(live.history["layer"], other.history["layer"], rtol=1e-5)


def test_a_kept_cache_of_views_is_read_back(teacher, train, tmp_path, monkeypatch):
    first = cache_teacher(teacher, train, views=VIEWS, directory=tmp_path)
    cache_teacher(teacher, train, views=Views(pad=0, flip=False), directory=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr("course_lib.training.cache.ask_for_logits", None)
    again = cache_teacher(teacher, train, views=VIEWS, directory=tmp_path)
    assert again.views == VIEWS
    assert torch.equal(again.logits, first.logits)


def test_a_checkpoint_of_other_views_is_not_gone_on_from(train, tmp_path):
    checkpoints = Checkpoints(tmp_path, every=5)
    fit(small_mlp, hard_labels(), train, SHORT, views=VIEWS, checkpoints=checkpoints)
    with pytest.raises(CourseError, match="another set of views"):
        fit(small_mlp, hard_labels(), train, SHORT, checkpoints=checkpoints)


def test_a_checkpoint_of_another_live_teacher_is_not_gone_on_from(train, teacher, tmp_path):
    checkpoints = Checkpoints(tmp_path, every=5)
    fit(small_mlp, soft_targets(), train, SHORT, teacher=LiveTeacher(teacher), checkpoints=checkpoints)
    torch.manual_seed(9)
    with pytest.raises(CourseError, match="another teacher"):
        fit(
            small_mlp,
            soft_targets(),
            train,
            SHORT,
            teacher=LiveTeacher(cnn_teacher()),
            checkpoints=checkpoints,
        )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda n, x: cache_teacher(n, x, views=VIEWS, soft_matrix=S), "views go with logits alone"),
        (lambda n, x: cache_teacher(n, x, views=VIEWS, layers=["logits"]), "views go with logits alone"),
        (
            lambda n, x: fit(small_mlp, soft_targets(), x, SHORT, teacher=cache_teacher(n, x), views=VIEWS),
            "teacher must know the views that are trained on, Views.*got a cache of None",
        ),
        (
            lambda n, x: fit(
                small_mlp,
                soft_targets(),
                x,
                SHORT,
                teacher=cache_teacher(n, x, views=VIEWS),
                views=Views(pad=0),
            ),
            "teacher must know the views",
        ),
        (
            lambda n, x: fit(small_mlp, gradient_matching(), x, SHORT, teacher=LiveTeacher(n)),
            "soft_matrix must be given for a term of gradients",
        ),
        (lambda n, x: LiveTeacher("teacher"), "network must be a torch.nn.Module, got str"),
        (
            lambda n, x: fit_many(
                small_mlp, soft_targets(), x, SHORT, seeds=[0, 1], teacher=[LiveTeacher(n), LiveTeacher(n)]
            ),
            "teacher must be one LiveTeacher",
        ),
    ],
)
def test_what_does_not_fit_is_answered_in_a_sentence(teacher, train, call, words):
    with pytest.raises(CourseError, match=words):
        call(teacher, train)
