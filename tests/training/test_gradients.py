"""Losses of gradients and of features under the one loop: for one student, for many at once, in mixed precision."""

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import (
    differentiates,
    gradient_loss,
    gradient_matching_loss,
    gradient_penalty_loss,
    logit_loss,
    soft_gradients,
)
from course_lib.models import Activations, cnn_teacher, mlp, small_mlp
from course_lib.training import (
    SOFT_MATRIX,
    STUDENT_GRADIENTS,
    STUDENT_LOGITS,
    TEACHER_GRADIENTS,
    TEACHER_LOGITS,
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
    logits,
    soft_targets,
    student_activation,
    teacher_activation,
)

SHORT = Recipe(steps=20, batch_size=16)
S = torch.rand(10, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.take(torch.arange(60))


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return cnn_teacher()


@pytest.fixture(scope="module")
def cache(teacher, train):
    return cache_teacher(teacher, train, soft_matrix=S, layers=["relu4", "pool"])


def squared(student, teacher):
    return (student - teacher).square().sum() / len(student)


def weights(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


OBJECTIVES = {
    "logits": logits(),
    "gradient": gradient(0.01),
    "gradient of own layers": gradient(0.01, layers=["linear2", "inputs"]),
    "matching": gradient_matching(0.1),
    "penalty": gradient_penalty(0.1, [1.0, 2.0, 0.5]),
    "gradients, by source": Objective(
        [Term("own", squared, student=STUDENT_GRADIENTS, teacher=TEACHER_GRADIENTS)]
    ),
    "features": Objective(
        [
            Term("logits", squared, student=STUDENT_LOGITS, teacher=TEACHER_LOGITS),
            Term(
                "sizes",
                lambda student, teacher: (student.norm(dim=1) - teacher.norm(dim=1)).square().mean(),
                student=student_activation("relu2"),
                teacher=teacher_activation("relu4"),
            ),
        ]
    ),
    "all together": Objective(
        [
            *gradient_matching(0.1).terms,
            Term("gradient", gradient_loss, 0.01, layers=["relu1"]),
            Term(
                "penalty",
                gradient_penalty_loss,
                0.01,
                layers=["relu2"],
                target_norm=1.0,
                soft_matrix=S[:, :1],
            ),
            Term(
                "features",
                squared,
                0.1,
                student=student_activation("relu2"),
                teacher=student_activation("relu1"),
            ),
        ]
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_many_at_once_are_as_trained_alone(train, cache, name):
    """Stated tolerance: 1e-4 after 20 steps in float32 (rounding grows through second derivatives)."""
    together = fit_many(small_mlp, OBJECTIVES[name], train, SHORT, seeds=[3, 4], teacher=cache)
    for place, seed in enumerate((3, 4)):
        alone = fit(small_mlp, OBJECTIVES[name], train, SHORT, seed=seed, teacher=cache)
        assert torch.allclose(weights(together.model(place)), weights(alone.model), atol=1e-4)
        for term, values in alone.history.items():
            assert np.allclose(together.history[term][:, place], values, rtol=1e-3, atol=1e-5)


def test_a_step_is_the_optimisers_step_on_logits_and_matched_gradients(train, teacher, cache):
    """Against a loop written out with torch alone; the batch order is taken as given."""
    from course_lib.training.recipe import batch_order

    recipe = Recipe(steps=3, batch_size=8, optimizer="sgd", lr=1e-3)
    run = fit(small_mlp, gradient_matching(0.5), train, recipe, seed=3, teacher=cache)
    torch.manual_seed(3)
    model = small_mlp()

    def jts(network, x, create_graph):
        out = network(x)
        columns = [torch.autograd.grad((out @ s).sum(), x, create_graph=True)[0] for s in S.T]
        return out, torch.stack(columns, dim=1) if create_graph else torch.stack(columns, dim=1).detach()

    for rows in next(batch_order(len(train), 8, seed=3))[:3]:
        x = train.inputs[rows].requires_grad_()
        out, own = jts(model, x, True)
        target_logits, target = jts(teacher, x, False)
        loss = (out - target_logits.detach()).square().sum() / 8 + 0.5 * (own - target).square().sum() / 8
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        with torch.no_grad():
            for parameter, each in zip(model.parameters(), gradients, strict=True):
                parameter -= 1e-3 * each
    assert torch.allclose(weights(run.model), weights(model), atol=1e-6)


def test_each_student_has_its_own_weight_setting_and_matrix(train, cache):
    matrices = [S, 2 * S]

    def term(weight, target, matrix):
        return Objective(
            [
                Term("logits", logit_loss),
                Term(
                    "penalty",
                    gradient_penalty_loss,
                    weight,
                    ["inputs"],
                    target_norm=target,
                    soft_matrix=matrix,
                ),
            ]
        )

    many = term(PerStudent([0.1, 1.0]), PerStudent([0.5, 2.0]), PerStudent(matrices))
    together = fit_many(small_mlp, many, train, SHORT, seeds=[3, 3], teacher=cache)
    for place, (weight, target) in enumerate(((0.1, 0.5), (1.0, 2.0))):
        alone = fit(small_mlp, term(weight, target, matrices[place]), train, SHORT, seed=3, teacher=cache)
        assert torch.allclose(weights(together.model(place)), weights(alone.model), atol=1e-4)


def test_each_student_may_have_its_own_teacher(train):
    caches = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        caches.append(cache_teacher(mlp((1, 8, 8), (16,), 10), train, soft_matrix=S))
    together = fit_many(small_mlp, gradient_matching(0.1), train, SHORT, seeds=[3, 4], teacher=caches)
    for place, seed in enumerate((3, 4)):
        alone = fit(small_mlp, gradient_matching(0.1), train, SHORT, seed=seed, teacher=caches[place])
        assert torch.allclose(weights(together.model(place)), weights(alone.model), atol=1e-4)
    with pytest.raises(
        CourseError, match="teacher must be one teacher, or one for each of the 3 students, got 2"
    ):
        fit_many(small_mlp, gradient_matching(0.1), train, SHORT, seeds=[3, 4, 5], teacher=caches)
    with pytest.raises(CourseError, match="teacher must be one, got 2: train them with fit_many"):
        fit(small_mlp, gradient_matching(0.1), train, SHORT, teacher=caches)


def test_a_matrix_for_each_example_travels_with_its_example(teacher, train):
    each = torch.rand(len(train), 10, 2, generator=torch.Generator().manual_seed(2))
    cache = cache_teacher(teacher, train, soft_matrix=each)
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(3))
    answers = cache.answers(train.take(order))
    x = train.inputs[order].clone().requires_grad_()
    assert torch.equal(answers.soft_matrix, each[order])
    assert torch.allclose(answers.gradients, soft_gradients(teacher(x), x, each[order]), atol=1e-5)
    together = fit_many(small_mlp, gradient_matching(0.1), train, SHORT, seeds=[3, 4], teacher=cache)
    alone = fit(small_mlp, gradient_matching(0.1), train, SHORT, seed=4, teacher=cache)
    assert torch.allclose(weights(together.model(1)), weights(alone.model), atol=1e-4)


def test_the_cache_holds_gradients_and_activations_of_the_teacher(teacher, train, cache):
    x = train.inputs.clone().requires_grad_()
    with Activations(teacher, ["relu4", "pool"]) as z:
        out = teacher(x)
    assert torch.allclose(cache.gradients, soft_gradients(out, x, S), atol=1e-5)
    for layer in ("relu4", "pool"):
        assert torch.allclose(cache.activations[layer], z[layer], atol=1e-5)
    assert not cache.gradients.requires_grad


def test_a_kept_cache_has_a_key_for_what_was_asked(teacher, train, tmp_path):
    asked = [{}, {"soft_matrix": S}, {"soft_matrix": 2 * S}, {"soft_matrix": S, "layers": ["relu4"]}]
    first = [cache_teacher(teacher, train, directory=tmp_path, **settings) for settings in asked]
    assert len(list(tmp_path.iterdir())) == len({cache.key for cache in first}) == len(asked)
    again = cache_teacher(teacher, train, directory=tmp_path, **asked[-1])
    assert torch.equal(again.gradients, first[-1].gradients)
    assert torch.equal(again.activations["relu4"], first[-1].activations["relu4"])


def test_hutchinson_trains_reproducibly_one_or_many(train, cache):
    objective = gradient_matching(0.1, estimator="hutchinson")
    first, second = (fit(small_mlp, objective, train, SHORT, seed=3, teacher=cache) for _ in range(2))
    assert torch.equal(weights(first.model), weights(second.model))
    many, again = (
        fit_many(small_mlp, objective, train, SHORT, seeds=[3, 3], teacher=cache) for _ in range(2)
    )
    assert torch.equal(weights(many.model(0)), weights(again.model(0)))
    # Every student draws its own probes.
    assert not torch.equal(weights(many.model(0)), weights(many.model(1)))


def test_training_at_once_leaves_no_trace_in_the_network_or_the_random_state(train, cache):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    runs = fit_many(small_mlp, gradient(0.01, estimator="hutchinson"), train, SHORT, seeds=[3], teacher=cache)
    assert torch.equal(torch.rand(1), expected)
    assert not any(module._forward_hooks for module in runs.skeleton.modules())
    assert torch.allclose(runs.logits(train.inputs)[0], runs.model(0)(train.inputs), atol=1e-5)


def test_second_derivatives_are_float32_in_mixed_precision(train, cache):
    from lightning_fabric import Fabric

    half = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    expected = fit(small_mlp, gradient_matching(0.1), train, SHORT, seed=3, teacher=cache)
    alone = fit(small_mlp, gradient_matching(0.1), train, SHORT, seed=3, teacher=cache, fabric=half)
    many = fit_many(small_mlp, gradient_matching(0.1), train, SHORT, seeds=[3], teacher=cache, fabric=half)
    assert torch.equal(weights(alone.model), weights(expected.model))
    assert torch.allclose(weights(many.model(0)), weights(expected.model), atol=1e-4)


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_a_precision_that_changes_the_weights_type_is_refused(train, precision):
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    words = rf"fabric must keep the weights in float32, .*got '{precision}'"
    with pytest.raises(CourseError, match=words):
        fit(small_mlp, hard_labels(), train, SHORT, fabric=fabric)
    with pytest.raises(CourseError, match=words):
        fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[0], fabric=fabric)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_network_in_another_type_is_refused(train, dtype):
    with pytest.raises(CourseError, match=rf"with weights in float32, got {dtype}"):
        fit(lambda: small_mlp().to(dtype), hard_labels(), train, SHORT)


def with_batch_norm():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


@pytest.mark.parametrize(
    "train_with", [fit, lambda *a, **k: fit_many(*a, seeds=[0], **k)], ids=["fit", "fit_many"]
)
def test_batch_norm_is_refused_with_losses_of_gradients(train, cache, train_with):
    with pytest.raises(
        CourseError, match=r"BatchNorm1d layer .*GroupNorm|BatchNorm1d layer .* one at a time"
    ):
        train_with(with_batch_norm, gradient_matching(), train, SHORT, teacher=cache)


def test_batch_norm_is_no_problem_for_losses_without_gradients(train, cache):
    fit(with_batch_norm, soft_targets(), train, SHORT, teacher=cache)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (
            gradient_matching(),
            r"with (soft_matrix|teacher_gradients) for the term matching: .*soft_matrix=\.\.\.",
        ),
        (gradient(), r"with soft_matrix for the term gradient: .*soft_matrix=\.\.\."),
        (
            OBJECTIVES["features"],
            r"with teacher_activation\('relu4'\) for the term .*sizes: .*layers=\['relu4'\]",
        ),
    ],
)
def test_a_cache_that_lacks_something_is_told_how_to_get_it(teacher, train, objective, message):
    with pytest.raises(CourseError, match=message):
        fit(small_mlp, objective, train, SHORT, teacher=cache_teacher(teacher, train))


def test_features_of_a_teacher_that_is_no_cache_are_asked_for(teacher, train, cache):
    one = fit(small_mlp, OBJECTIVES["features"], train, SHORT, teacher=teacher)
    other = fit(small_mlp, OBJECTIVES["features"], train, SHORT, teacher=cache)
    assert torch.equal(weights(one.model), weights(other.model))


@pytest.mark.parametrize(
    "train_with", [fit, lambda *a, **k: fit_many(*a, seeds=[0], **k)], ids=["fit", "fit_many"]
)
def test_bad_settings_are_told_before_the_first_step(train, cache, train_with):
    for objective, message in (
        (gradient(estimator="guess"), "estimator must be one of exact, hutchinson"),
        (gradient(layers=["relu9"]), "layers names 'relu9', which the model does not have"),
        (gradient_penalty(target_norm=-1.0), "target_norm must be finite and at least 0"),
        (
            Objective([Term("gradient", gradient_loss, layers=["inputs"], soft_matrix=S.T)]),
            "soft_matrix must have shape",
        ),
    ):
        with pytest.raises(CourseError, match=message):
            train_with(small_mlp, objective, train, SHORT, teacher=cache)


ONE_OR_MANY = [fit, lambda *a, seed, **k: fit_many(*a, seeds=[seed], **k)]


@pytest.mark.parametrize("train_with", ONE_OR_MANY, ids=["fit", "fit_many"])
def test_diverging_gradients_name_term_step_and_seed(train, cache, train_with):
    recipe = Recipe(steps=200, optimizer="sgd", lr=1e3)
    with pytest.raises(TrainingDiverged, match=r"the loss term .* became .* at step \d+ \(seed 7\)"):
        train_with(small_mlp, gradient(1.0), train, recipe, seed=7, teacher=cache)


def test_bad_pixels_are_named_before_the_first_step(train, teacher):
    from dataclasses import replace

    bad = replace(train, mean=train.mean * float("nan"))
    cache = cache_teacher(teacher, train, soft_matrix=S)
    with pytest.raises(
        CourseError, match="student_logits must hold finite numbers, got nan: look for bad values"
    ):
        fit(small_mlp, gradient(1.0), bad, SHORT, teacher=cache)


def test_a_loss_of_ones_own_trains_one_or_many(train, cache):
    @differentiates("activations")
    def looped(student_logits, activations, soft_matrix):
        columns = [
            soft_gradients(student_logits, activations, s[:, None], create_graph=True)
            for s in soft_matrix.t()
        ]
        return sum(each.square().sum() for several in columns for each in several) / len(student_logits)

    def objective(loss):
        return Objective([Term("logits", logit_loss), Term("own", loss, 0.01, layers=["inputs", "relu1"])])

    alone, same = (
        fit(small_mlp, objective(each), train, SHORT, teacher=cache) for each in (looped, gradient_loss)
    )
    many = fit_many(small_mlp, objective(looped), train, SHORT, seeds=[0], teacher=cache)
    assert torch.allclose(weights(alone.model), weights(same.model), atol=1e-5)
    assert torch.allclose(weights(many.model(0)), weights(same.model), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("g", gradient_loss), "term 'g' needs layers"),
        (("l", logit_loss, 1.0, ["relu1"]), "term 'l' was given layers, but takes no"),
        (("m", gradient_matching_loss, 1.0, (), {"soft_matrix": S}), "takes it from the teacher's cache"),
        (("l", logit_loss, 1.0, (), {"student_logits": S}), "was given student_logits"),
        (("g", gradient_loss, 1.0, ["relu1"], {"activations": SOFT_MATRIX}), "was given activations"),
        (("s", squared, 1.0, (), {"student": STUDENT_LOGITS}), "needs the setting teacher of squared"),
    ],
)
def test_a_term_that_cannot_be_supplied_is_refused(arguments, message):
    *positional, settings = (*arguments, {}) if not isinstance(arguments[-1], dict) else arguments
    with pytest.raises(CourseError, match=message):
        Term(*positional, **settings)


def test_a_term_says_what_it_needs():
    matching, literal = gradient_matching().terms[1], gradient().terms[1]
    assert matching.needs == ("student_logits", "teacher_gradients", "soft_matrix", "inputs (inputs)")
    assert literal.needs == ("student_logits", "soft_matrix", "activations (inputs, relu1, relu2)")
    assert OBJECTIVES["features"].terms[1].needs == (
        "student_activation('relu2')",
        "teacher_activation('relu4')",
    )
