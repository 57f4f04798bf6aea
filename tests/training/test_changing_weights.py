"""Weights of terms that are functions of the progress: as in a loop by hand, logged, resumed, and told apart."""

from functools import partial

import pytest
import torch
from lightning_fabric.loggers import Logger
from stopping import stopped_after

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss, logit_loss
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    Checkpoints,
    Objective,
    Ramp,
    Recipe,
    Term,
    cache_teacher,
    fit,
    fit_many,
    stack,
)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(40, seed=0)


@pytest.fixture(scope="module")
def cache(train):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cache_teacher(cnn_teacher(), train)


def fading(progress, power=1.0):
    return (1 - progress) ** power


def goal(weight):
    return Objective([Term("hard", hard_label_loss), Term("logits", logit_loss, weight)])


WHOLE = Recipe(steps=10, batch_size=40, optimizer="sgd", lr=0.05)  # the whole set: no order of batches


def by_hand(train, cache, weights, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = small_mlp()
    optimizer = torch.optim.SGD(network.parameters(), lr=WHOLE.lr)
    for weight in weights:
        optimizer.zero_grad()
        logits = network(train.inputs)
        (hard_label_loss(logits, train.labels) + weight * logit_loss(logits, cache.lookup(train))).backward()
        optimizer.step()
    return network.state_dict()


def assert_near(model, wanted, rtol=1e-4):
    for name, value in wanted.items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=rtol, atol=1e-5)


@pytest.mark.parametrize(
    ("weight", "numbers"),
    [
        (fading, [1 - step / 10 for step in range(10)]),
        (partial(fading, power=2.0), [(1 - step / 10) ** 2 for step in range(10)]),
        (Ramp(0.0, 0.6, start=0.2, end=0.5), [0, 0, 0, 0.2, 0.4, 0.6, 0.6, 0.6, 0.6, 0.6]),
    ],
    ids=["function", "partial", "ramp"],
)
@pytest.mark.parametrize("recorded", [False, True])
def test_every_step_has_its_weight(weight, numbers, recorded, train, cache, monkeypatch):
    monkeypatch.setattr(stack, "RECORD_FROM", 1 if recorded else 1000)
    run = fit(small_mlp, goal(weight), train, WHOLE, teacher=cache)
    assert_near(run.model, by_hand(train, cache, numbers))
    many = fit_many(small_mlp, goal(weight), train, WHOLE, seeds=[0, 7], teacher=cache)
    for student, seed in enumerate([0, 7]):
        assert_near(many.model(student), by_hand(train, cache, numbers, seed), rtol=1e-3)
    totals = run.history["hard"] + numbers * run.history["logits"]
    assert run.history["total"] == pytest.approx(totals, rel=1e-5)


RECIPE = Recipe(steps=24, batch_size=16)


@pytest.mark.parametrize("many", [False, True])
def test_a_stopped_training_ends_with_the_same_bits(many, train, cache, tmp_path):
    def trained(places=None):
        settings = {"teacher": cache, "checkpoints": places}
        if many:
            return fit_many(small_mlp, goal(Ramp(1, 0)), train, RECIPE, seeds=[0, 1], **settings).parameters
        return fit(small_mlp, goal(Ramp(1, 0)), train, RECIPE, **settings).model.state_dict()

    whole = trained()
    with stopped_after(10):
        trained(Checkpoints(tmp_path, every=10))
    rest = trained(Checkpoints(tmp_path, every=10))
    assert all(torch.equal(value, rest[name]) for name, value in whole.items())


def test_another_function_is_another_objective(train, cache, tmp_path):
    places = Checkpoints(tmp_path)
    for first, second, words in (
        (Ramp(0, 1), Ramp(0, 2), r"another objective: .*last=1.* now .*last=2"),
        (partial(fading, power=2.0), partial(fading, power=3.0), r"power=2\.0.* now .*power=3\.0"),
        (fading, 1.0, r"test_changing_weights\.fading.* now .*weight=1\.0"),
    ):
        places = Checkpoints(tmp_path / str(first))
        fit(small_mlp, goal(first), train, RECIPE, teacher=cache, checkpoints=places)
        with pytest.raises(CourseError, match=words):
            fit(small_mlp, goal(second), train, RECIPE, teacher=cache, checkpoints=places)


def test_what_depends_on_the_length_cannot_be_kept_or_extended(train, cache, tmp_path):
    with pytest.raises(CourseError, match="got the weight of term 'logits': otherwise"):
        fit(small_mlp, goal(fading), train, RECIPE, teacher=cache, keep=[5])
    places = Checkpoints(tmp_path, extend=True)
    fit(small_mlp, goal(fading), train, RECIPE, teacher=cache, checkpoints=places)
    with pytest.raises(
        CourseError, match="from 24 to 48 steps: the weight of term 'logits' depends on the number"
    ):
        fit(
            small_mlp, goal(fading), train, Recipe(steps=48, batch_size=16), teacher=cache, checkpoints=places
        )


class Told(Logger):
    name, version = "told", 0

    def __init__(self):
        self.weights = {}

    def log_metrics(self, metrics, step=None):
        self.weights[step] = metrics["weight/logits"]

    def log_hyperparams(self, *arguments, **more):
        pass


def test_it_is_logged_with_the_losses(train, cache):
    told = Told()
    recipe = Recipe(steps=80, batch_size=16)
    fit(small_mlp, goal(Ramp(0, 8)), train, recipe, teacher=cache, loggers=[told])
    assert told.weights == pytest.approx({50: 4.9, 80: 7.9})


def test_balanced_terms_do_not_count_terms_without_a_number(train, cache):
    def found(weight):
        terms = [Term("hard", hard_label_loss, 2.0), Term("logits", logit_loss, "balanced")]
        more = [] if weight is None else [Term("moving", logit_loss, weight)]
        return fit(small_mlp, Objective(terms + more), train, RECIPE, teacher=cache).weights["logits"]

    assert found(Ramp(5, 0)) == found(None) != found(5.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: goal(lambda progress: None), "must be a finite number at every step, got None when 0% of"),
        (lambda: goal(lambda progress: float("nan")), "term 'logits' must be a finite number at every step"),
        (lambda: Ramp(0, float("inf")), "last must be a finite number, got inf"),
        (lambda: Ramp(0, 1, end=2), "end must be a share from 0 to 1, got 2"),
        (lambda: Ramp(0, 1, start=0.5, end=0.5), r"end must be above start, got 0\.5 and 0\.5"),
    ],
)
def test_what_is_no_weight_is_refused(make, words):
    with pytest.raises(CourseError, match=words):
        make()


def test_a_weight_that_ceases_to_be_a_number_is_named_with_its_moment(train, cache):
    def late(progress):
        return 1.0 if progress < 0.5 else float("inf")

    with pytest.raises(CourseError, match=r"term 'logits' .* got inf when 50% of the steps are done"):
        fit(small_mlp, goal(late), train, RECIPE, teacher=cache)
