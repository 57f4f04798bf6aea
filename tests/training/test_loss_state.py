"""Losses with state: a projector that is learned, a memory that is filled, a weight that is set from gradients."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from lightning_fabric.loggers import Logger
from stopping import stopped_after
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss, logit_loss
from course_lib.models import Activations, cnn_teacher, small_mlp
from course_lib.training import (
    Checkpoints,
    Objective,
    PerStudent,
    Recipe,
    Term,
    cache_teacher,
    fit,
    fit_many,
    student_activation,
    teacher_activation,
)

RECIPE = Recipe(steps=24, batch_size=16, lr=1e-2)
PLACES = {"student": student_activation("relu2"), "teacher": teacher_activation("relu3")}


class Hint(nn.Module):
    """FitNets: the student's features, through a learned map, against the teacher's."""

    def __init__(self, student: int = 16, teacher: int = 1024):
        super().__init__()
        self.projector = nn.Linear(student, teacher)

    def forward(self, student, teacher, scale=1.0):
        return scale * (self.projector(student) - teacher.flatten(1)).square().mean()

    def loss(self, student, teacher):
        return self(student, teacher)


class Memory(nn.Module):
    """Towards the mean of what the student said about the same example before; counts its calls."""

    def __init__(self, examples: int):
        super().__init__()
        self.register_buffer("seen", torch.zeros(examples, 10))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, student_logits, index):
        loss = (student_logits - self.seen[index]).square().mean()
        self.seen[index] = student_logits.detach()
        self.calls += 1
        return loss


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(64, seed=0)


@pytest.fixture(scope="module")
def teacher():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cnn_teacher()


@pytest.fixture(scope="module")
def cache(teacher, train):
    return cache_teacher(teacher, train, layers=["relu3"])


@pytest.fixture
def hint():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Hint()


def goal(loss, **options):
    return Objective([Term("hard", hard_label_loss), Term("hint", loss, **PLACES, **options)])


def states_equal(first, second):
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_a_projector_is_learned_as_in_a_loop_by_hand(train, cache, hint):
    recipe = Recipe(
        steps=5, batch_size=len(train), optimizer="sgd", lr=0.1
    )  # the whole set: no order of batches
    run = fit(small_mlp, goal(hint, weight=0.5, lr=0.02), train, recipe, teacher=cache)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = small_mlp()
    own = copy.deepcopy(hint)
    with Activations(network, ["relu2"]) as z:
        for _ in range(recipe.steps):
            logits = network(train.inputs)
            teacher = cache.answers(train).activations["relu3"]
            total = hard_label_loss(logits, train.labels) + 0.5 * own(z["relu2"], teacher)
            weights = [*network.parameters(), *own.parameters()]
            rates = [0.1] * 6 + [0.02] * 2
            with torch.no_grad():
                for weight, slope, rate in zip(
                    weights, torch.autograd.grad(total, weights), rates, strict=True
                ):
                    weight -= rate * slope
    for mine, theirs in ((network, run.model), (own, run.losses["hint"])):
        for name, value in mine.state_dict().items():
            torch.testing.assert_close(theirs.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_the_callers_module_stays_as_it_was_and_a_second_training_is_the_same(train, cache, hint):
    before = copy.deepcopy(hint)
    first = fit(small_mlp, goal(hint), train, RECIPE, teacher=cache)
    second = fit(small_mlp, goal(hint), train, RECIPE, teacher=cache)
    assert states_equal(hint, before)
    assert not states_equal(first.losses["hint"], before)
    assert states_equal(first.losses["hint"], second.losses["hint"])
    assert states_equal(first.model, second.model)


@pytest.mark.parametrize("wrap", [lambda m: m.loss, partial, lambda m: partial(m, scale=1.0)])
def test_a_method_or_a_partial_of_a_module_trains_it_too(wrap, train, cache, hint):
    module = fit(small_mlp, goal(hint), train, RECIPE, teacher=cache)
    wrapped = fit(small_mlp, goal(wrap(hint)), train, RECIPE, teacher=cache)
    assert states_equal(module.losses["hint"], wrapped.losses["hint"])
    assert states_equal(module.model, wrapped.model)


def test_a_memory_knows_every_example_and_no_dry_run(train):
    examples = int(train.index.max()) + 1
    objective = Objective([Term("hard", hard_label_loss), Term("memory", Memory(examples), 0.1)])
    run = fit(small_mlp, objective, train, RECIPE)
    memory = run.losses["memory"]
    assert int(memory.calls) == RECIPE.steps
    known = memory.seen.any(dim=1).nonzero().flatten()
    assert set(known.tolist()) == set(train.index.tolist())


@pytest.mark.parametrize("kind", ["projector", "memory", "balanced"])
def test_a_stopped_training_ends_with_the_same_bits(kind, train, cache, hint, tmp_path):
    objective = {
        "projector": goal(hint, weight=0.3),
        "memory": Objective([Term("hard", hard_label_loss), Term("memory", Memory(2000), 0.1)]),
        "balanced": goal(hint, weight="balanced"),
    }[kind]

    def trained(places=None):
        return fit(small_mlp, objective, train, RECIPE, teacher=cache, checkpoints=places)

    whole = trained()
    with stopped_after(10):
        trained(Checkpoints(tmp_path, every=10))
    rest = trained(Checkpoints(tmp_path, every=10))
    assert states_equal(whole.model, rest.model)
    assert all(states_equal(whole.losses[name], rest.losses[name]) for name in whole.losses)
    assert whole.losses
    assert whole.weights == rest.weights


def test_many_stopped_students_end_with_the_same_bits(train, cache, hint, tmp_path):
    def trained(places=None):
        objective = goal(hint, weight="balanced")
        return fit_many(small_mlp, objective, train, RECIPE, seeds=[0, 1], teacher=cache, checkpoints=places)

    whole = trained()
    with stopped_after(10):
        trained(Checkpoints(tmp_path, every=10))
    rest = trained(Checkpoints(tmp_path, every=10))
    assert all(torch.equal(value, rest.parameters[name]) for name, value in whole.parameters.items())
    assert all(map(states_equal, whole.losses["hint"], rest.losses["hint"]))


def test_a_checkpoint_of_another_projector_is_refused(train, cache, hint, tmp_path):
    places = Checkpoints(tmp_path, every=10)
    fit(small_mlp, goal(hint), train, RECIPE, teacher=cache, checkpoints=places)
    with torch.no_grad():
        hint.projector.bias += 1
    with pytest.raises(CourseError, match="another objective"):
        fit(small_mlp, goal(hint), train, RECIPE, teacher=cache, checkpoints=places)


@pytest.mark.parametrize("steps", [24, 240])  # below and above what is recorded
def test_students_at_once_learn_a_projector_each(steps, train, cache, hint):
    recipe = replace(RECIPE, steps=steps, lr=1e-3)
    objective = goal(hint, weight=PerStudent([0.1, 1.0]), lr=3e-3)
    runs = fit_many(small_mlp, objective, train, recipe, seeds=[3, 4], teacher=cache)
    for student, (seed, weight) in enumerate([(3, 0.1), (4, 1.0)]):
        alone = fit(small_mlp, goal(hint, weight=weight, lr=3e-3), train, recipe, seed=seed, teacher=cache)
        for mine, theirs in (
            (runs.model(student), alone.model),
            (runs.losses["hint"][student], alone.losses["hint"]),
        ):
            for name, value in theirs.state_dict().items():
                torch.testing.assert_close(mine.state_dict()[name], value, rtol=1e-2, atol=1e-3)


def test_students_at_once_refuse_a_memory_and_a_shared_module(train, cache, hint):
    memory = Objective([Term("hard", hard_label_loss), Term("memory", Memory(2000))])
    with pytest.raises(CourseError, match=r"term 'memory' has a loss with a Memory layer.*with fit"):
        fit_many(small_mlp, memory, train, RECIPE, seeds=[0, 1])
    shared = Objective([Term("one", hint, **PLACES), Term("two", hint.loss, **PLACES)])
    with pytest.raises(CourseError, match="the terms one, two share a module"):
        fit_many(small_mlp, shared, train, RECIPE, seeds=[0, 1], teacher=cache)


def test_terms_that_share_a_module_train_it_once(train, cache, hint):
    shared = Objective([Term("one", hint, 0.5, **PLACES), Term("two", hint.loss, 0.5, **PLACES)])
    whole = Objective([Term("one", hint, 1.0, **PLACES)])
    recipe = replace(RECIPE, optimizer="sgd")
    first = fit(small_mlp, shared, train, recipe, teacher=cache)
    second = fit(small_mlp, whole, train, recipe, teacher=cache)
    assert list(first.losses) == ["one"]
    for name, value in second.losses["one"].state_dict().items():
        torch.testing.assert_close(first.losses["one"].state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_a_balanced_weight_brings_a_term_to_the_length_of_the_others(train, cache):
    recipe = Recipe(steps=1, batch_size=len(train), optimizer="sgd", lr=1e-3)
    objective = Objective([Term("hard", hard_label_loss, 2.0), Term("logits", logit_loss, weight="balanced")])
    run = fit(small_mlp, objective, train, recipe, teacher=cache)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = small_mlp()
    logits = network(train.inputs)

    def length(loss):
        slopes = torch.autograd.grad(loss, list(network.parameters()), retain_graph=True)
        return torch.cat([each.flatten() for each in slopes]).norm()

    wanted = (
        2 * length(hard_label_loss(logits, train.labels)) / length(logit_loss(logits, cache.lookup(train)))
    )
    assert run.weights["logits"] == pytest.approx(float(wanted), rel=1e-4)
    many = fit_many(small_mlp, objective, train, recipe, seeds=[0, 5], teacher=cache)
    assert float(many.weights["logits"][0]) == pytest.approx(float(wanted), rel=1e-4)
    assert float(many.weights["logits"][1]) != pytest.approx(float(wanted), rel=1e-4)


def test_balanced_weights_leave_out_what_is_frozen(train):
    def frozen():
        network = small_mlp()
        next(network.parameters()).requires_grad_(False)
        return network

    same = Term("same", hard_label_loss, weight="balanced")
    objective = Objective([Term("hard", hard_label_loss, 2.0), same])
    assert fit(frozen, objective, train, RECIPE).weights == pytest.approx({"same": 2.0})
    many = fit_many(frozen, objective, train, RECIPE, seeds=[0, 5])
    assert many.weights["same"].tolist() == pytest.approx([2.0, 2.0])


class Told(Logger):
    """Keeps what it is told."""

    name, version = "told", 0

    def __init__(self):
        self.numbers = {}

    def log_metrics(self, metrics, step=None):
        self.numbers |= metrics

    def log_hyperparams(self, *arguments, **more):
        pass


def test_a_balanced_weight_is_logged_and_the_rest_is_as_with_the_number(train, cache, hint):
    told = Told()
    run = fit(small_mlp, goal(hint, weight="balanced"), train, RECIPE, teacher=cache, loggers=[told])
    assert told.numbers["weight/hint"] == run.weights["hint"]
    given = fit(small_mlp, goal(hint, weight=run.weights["hint"]), train, RECIPE, teacher=cache)
    assert states_equal(run.model, given.model)


def test_a_term_without_gradient_cannot_be_balanced(train):
    def constant(student_logits):
        return student_logits.detach().mean()

    objective = Objective([Term("hard", hard_label_loss), Term("still", constant, weight="balanced")])
    with pytest.raises(CourseError, match=r"term 'still' cannot be weighted \"balanced\""):
        fit(small_mlp, objective, train, RECIPE)


def test_a_term_that_only_its_own_module_learns_from_cannot_be_balanced(train):
    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(torch.ones(()))

        def forward(self, labels):
            return self.value.square() * labels.double().mean()

    objective = Objective([Term("hard", hard_label_loss), Term("alone", Alone(), weight="balanced")])
    with pytest.raises(CourseError, match=r"term 'alone' cannot be weighted \"balanced\""):
        fit(small_mlp, objective, train, RECIPE)


def test_what_cannot_be_meant_is_refused(hint):
    with pytest.raises(CourseError, match=r"needs the setting .*teacher.* of Hint"):
        Term("hint", hint, student=student_activation("relu2"))
    with pytest.raises(CourseError, match="was given lr, but hard_label_loss has no parameters"):
        Term("hard", hard_label_loss, lr=0.1)
    with pytest.raises(CourseError, match="lr must be"):
        Term("hint", hint, lr=-1.0, **PLACES)
    with pytest.raises(CourseError, match="number, PerStudent or \"balanced\", got 'heavy'"):
        Term("hint", hint, weight="heavy", **PLACES)

    def projected(student, teacher, projector):
        return (projector(student) - teacher).square().mean()

    with pytest.raises(CourseError, match=r"given a module as a setting \(projector\)"):
        Term("hint", projected, projector=nn.Linear(16, 128), **PLACES)
