"""The student that is best on validation data, and the end of a training that no longer gets better."""

import copy

import pytest
import torch
from lightning_fabric.loggers import Logger
from stopping import stopped_after
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.models import small_mlp
from course_lib.training import Checkpoints, Recipe, Watch, fit, hard_labels

RECIPE = Recipe(steps=60, batch_size=16, lr=1e-2)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(64, seed=0)


class Scores:
    """Looks that see these numbers, one after the other, and remember the weights."""

    def __init__(self, *numbers):
        self.numbers, self.weights = list(numbers), []

    def __call__(self, network):
        self.weights.append(copy.deepcopy(network.state_dict()))
        return {"score": self.numbers[len(self.weights) - 1], "other": 0.0}


def same(state, model):
    return all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def with_batch_norm():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))


def test_the_first_of_the_best_is_returned_with_its_statistics(train):
    scores = Scores(1, 3, 2, 3, 0, 1)
    run = fit(with_batch_norm, hard_labels(), train, RECIPE, watch=Watch(scores, every=10, best="score"))
    assert run.chosen == 20
    assert same(scores.weights[1], run.model)
    assert not same(scores.weights[-1], run.model)
    assert len(run.history["total"]) == 60
    assert not run.model.training


def test_without_best_it_is_the_last(train):
    scores = Scores(1, 3, 2, 3, 0, 1)
    run = fit(small_mlp, hard_labels(), train, RECIPE, watch=Watch(scores, every=10))
    assert run.chosen is None
    assert same(scores.weights[-1], run.model)


@pytest.mark.parametrize(
    ("numbers", "patience", "steps", "chosen"),
    [
        ([1, 3, 2, 2, 9, 9], 2, 40, 20),
        ([1, 3, 2, 4, 4, 9], 2, 60, 60),
        ([1, 0, 9, 9, 9, 9], 1, 20, 10),
        ([float("nan")] * 3, 2, 30, None),
    ],
)
def test_patience_ends_a_training_that_does_not_get_better(numbers, patience, steps, chosen, train):
    watch = Watch(Scores(*numbers), every=10, best="score", patience=patience)
    run = fit(small_mlp, hard_labels(), train, RECIPE, watch=watch)
    assert (len(run.history["total"]), run.chosen) == (steps, chosen)
    assert [each["step"] for each in run.watched] == list(range(10, steps + 1, 10))
    assert run.budgets == (steps,)
    whole = fit(small_mlp, hard_labels(), train, RECIPE)
    assert (run.history["total"] == whole.history["total"][:steps]).all()


class Closed(Logger):
    name, version = "closed", 0

    def __init__(self):
        self.steps = []

    def log_metrics(self, metrics, step=None):
        self.steps += [step] if "train/total" in metrics else []

    def log_hyperparams(self, *arguments, **more):
        pass


def test_the_losses_until_the_end_are_logged(train):
    log = Closed()
    watch = Watch(Scores(1, 0), every=30, best="score", patience=1)
    run = fit(small_mlp, hard_labels(), train, Recipe(steps=200, batch_size=16), watch=watch, loggers=[log])
    assert len(run.history["total"]) == 60
    assert log.steps == [50, 60]


def test_a_weight_that_is_not_a_number_is_found_at_the_early_end_too(train):
    scores = iter([1.0, 0.0])

    def spoil(network):
        score = next(scores)
        with torch.no_grad():
            next(network.parameters()).div_(score)
        return {"score": score}

    with pytest.raises(CourseError, match="a weight became NaN or infinite at step 10"):
        fit(small_mlp, hard_labels(), train, RECIPE, watch=Watch(spoil, 5, "score", patience=1))


@pytest.mark.parametrize("stop", [10, 30])  # before and after the best
def test_a_stopped_training_ends_with_the_same_student(stop, train, tmp_path):
    numbers = [1, 4, 2, 2, 0, 9]

    def watch(first=0):
        return Watch(Scores(*numbers[first:]), every=10, best="score", patience=3)

    whole = fit(small_mlp, hard_labels(), train, RECIPE, watch=watch())
    places = Checkpoints(tmp_path, every=10)
    with stopped_after(stop):
        fit(small_mlp, hard_labels(), train, RECIPE, watch=watch(), checkpoints=places)
    rest = fit(small_mlp, hard_labels(), train, RECIPE, watch=watch(stop // 10), checkpoints=places)
    assert (rest.chosen, len(rest.history["total"])) == (whole.chosen, 50) == (20, 50)
    assert same(whole.model.state_dict(), rest.model)
    assert rest.watched == whole.watched


def test_a_training_that_ended_early_is_not_repeated(train, tmp_path):
    places = Checkpoints(tmp_path, every=50)
    watch = Watch(Scores(3, 1, 1), every=10, best="score", patience=2)
    first = fit(small_mlp, hard_labels(), train, RECIPE, watch=watch, checkpoints=places)
    assert [path.name for path in places.files()] == ["step-0000000030.ckpt"]
    blind = Watch(Scores(), every=10, best="score", patience=2)  # a look would fail
    again = fit(small_mlp, hard_labels(), train, RECIPE, watch=blind, checkpoints=places)
    assert same(first.model.state_dict(), again.model)
    assert (again.chosen, len(again.history["total"])) == (10, 30)


def test_a_training_that_ends_where_the_losses_were_just_looked_at_is_kept_too(train, tmp_path):
    places = Checkpoints(tmp_path, every=500)
    watch = Watch(Scores(3, 1), every=50, best="score", patience=1)
    fit(small_mlp, hard_labels(), train, Recipe(steps=200, batch_size=16), watch=watch, checkpoints=places)
    assert [path.name for path in places.files()] == ["step-0000000100.ckpt"]


def test_another_choice_is_another_training(train, tmp_path):
    places = Checkpoints(tmp_path, extend=True)
    watch = Watch(Scores(*range(6)), every=10, best="score")
    fit(small_mlp, hard_labels(), train, RECIPE, watch=watch, checkpoints=places)
    for other in (None, Watch(Scores(), every=10), Watch(Scores(), every=10, best="other")):
        with pytest.raises(CourseError, match="another choice of the step: highest score of looks every 10"):
            fit(small_mlp, hard_labels(), train, RECIPE, watch=other, checkpoints=places)
    longer = Recipe(steps=90, batch_size=16, lr=1e-2)
    with pytest.raises(
        CourseError, match="from 60 to 90 steps: the step that is chosen depends on the number"
    ):
        fit(small_mlp, hard_labels(), train, longer, watch=watch, checkpoints=places)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Watch(len, every=1, patience=2), "best must name the number that patience waits for"),
        (lambda: Watch(len, every=1, best="score", patience=0), "patience must be an integer of at least 1"),
    ],
)
def test_a_choice_that_cannot_be_meant_is_refused(make, words):
    with pytest.raises(CourseError, match=words):
        make()


def test_a_number_that_nobody_looks_at_is_refused(train):
    with pytest.raises(
        CourseError, match="look must return the number 'loss' that best names, got score, other"
    ):
        fit(small_mlp, hard_labels(), train, RECIPE, watch=Watch(Scores(1), every=1, best="loss"))
    with pytest.raises(CourseError, match="got the step that is chosen: otherwise"):
        fit(small_mlp, hard_labels(), train, RECIPE, watch=Watch(Scores(1), 1, "score"), keep=[5])
    with pytest.raises(CourseError, match="look must give its numbers other names than 'step'"):
        fit(small_mlp, hard_labels(), train, RECIPE, watch=Watch(lambda network: {"step": 7}, 1, "step"))
