"""One long training gives the students of all shorter ones, bit for bit, also when it was interrupted."""

from dataclasses import replace

import pytest
import torch
from stopping import stopped_after
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import Checkpoints, Recipe, Watch, fit, fit_many, hard_labels
from course_lib.training.snapshots import Snapshots

RECIPE = Recipe(steps=40, batch_size=16)
SHORT = Recipe(steps=15, batch_size=16)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.take(torch.arange(60))


def weights(model):
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def test_a_student_kept_on_the_way_is_the_one_of_a_shorter_training(train):
    long = fit(
        cnn_teacher, hard_labels(), train, RECIPE, seed=3, keep=[15], watch=Watch(lambda model: {}, 10)
    )
    short = fit(cnn_teacher, hard_labels(), train, SHORT, seed=3)
    assert long.budgets == (15, 40)
    assert torch.equal(weights(long.at(15).model), weights(short.model))
    assert len(long.at(15).history["total"]) == 15
    assert [each["step"] for each in long.at(15).watched] == [10]
    assert long.at(15).seconds < long.seconds
    assert long.at(40) is long
    assert not torch.equal(weights(long.model), weights(short.model))


def test_many_students_likewise(train):
    long = fit_many(small_mlp, hard_labels(), train, RECIPE, seeds=[0, 1], keep=(5, 15))
    short = fit_many(small_mlp, hard_labels(), train, SHORT, seeds=[0, 1])
    for name, value in long.at(15).parameters.items():
        assert torch.equal(value, short.parameters[name])
    steps = long.over(lambda runs: runs.history["total"].shape)
    assert steps == {5: (5, 2), 15: (15, 2), 40: (40, 2)}


def test_what_was_kept_survives_a_restart(train, tmp_path):
    class Killed(BaseException):
        pass

    def kill(done, total):
        if done >= 30:
            raise Killed

    settings = {"seeds": [0, 1], "keep": [5, 35], "checkpoints": Checkpoints(tmp_path, every=10)}
    whole = fit_many(small_mlp, hard_labels(), train, RECIPE, seeds=[0, 1], keep=[5, 35])
    with pytest.raises(Killed):
        fit_many(small_mlp, hard_labels(), train, RECIPE, progress=kill, **settings)
    resumed = fit_many(small_mlp, hard_labels(), train, RECIPE, **settings)
    for budget in (5, 35, 40):
        for name, value in whole.at(budget).parameters.items():
            assert torch.equal(resumed.at(budget).parameters[name], value)


def test_a_budget_that_a_checkpoint_has_passed_by_is_refused(train, tmp_path):
    fit(small_mlp, hard_labels(), train, RECIPE, checkpoints=Checkpoints(tmp_path))
    with pytest.raises(CourseError, match="it has 40 steps, and nothing of step 15"):
        fit(small_mlp, hard_labels(), train, RECIPE, checkpoints=Checkpoints(tmp_path), keep=[15])


def test_the_step_of_a_budget_itself_is_missed_if_nothing_was_kept():
    snapshots = Snapshots([15], RECIPE, {"w": torch.zeros(2)})
    snapshots.refuse_missed(14)
    with pytest.raises(CourseError, match="it has 15 steps, and nothing of step 15"):
        snapshots.refuse_missed(15)
    snapshots.after(15, 1.0)
    snapshots.refuse_missed(15)


def test_a_copy_has_no_graph_and_does_not_change_with_the_weights():
    weight = torch.nn.Parameter(torch.zeros(2))
    snapshots = Snapshots([2], RECIPE, {"w": weight})
    for step in (1, 2, 3):
        with torch.no_grad():
            weight += 1
        snapshots.after(step, 0.5 * step)
    assert list(snapshots.taken) == [2]
    kept, seconds = snapshots.taken[2]
    assert (kept["w"].tolist(), kept["w"].requires_grad, seconds) == ([2.0, 2.0], False, 1.0)


def test_only_budgets_that_are_asked_for_come_back_from_a_checkpoint(train, tmp_path):
    settings = {"seeds": [0, 1], "checkpoints": Checkpoints(tmp_path)}
    first = fit_many(small_mlp, hard_labels(), train, RECIPE, keep=[5, 15], **settings)
    again = fit_many(small_mlp, hard_labels(), train, RECIPE, keep=[15], **settings)
    assert (first.budgets, again.budgets) == ((5, 15, 40), (15, 40))


@pytest.mark.parametrize(
    ("keep", "recipe", "words"),
    [
        ([41], RECIPE, "keep must hold budgets of at most 40 steps, got 41"),
        ([0], RECIPE, "keep must be an integer of at least 1, got 0"),
        ([2.5], RECIPE, "keep must be an integer of at least 1, got 2.5"),
        (
            [5],
            Recipe(steps=40, schedule="cosine"),
            "keep needs a constant learning rate, got the schedule 'cosine'",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused_before_the_first_step(train, keep, recipe, words):
    with pytest.raises(CourseError, match=words):
        fit(small_mlp, hard_labels(), train, recipe, keep=keep)


def test_a_budget_that_was_not_kept_is_refused(train):
    run = fit(small_mlp, hard_labels(), train, SHORT, keep=[10])
    with pytest.raises(CourseError, match=r"steps must be one of 10, 15, got 12: fit\(..., keep=\[12\]\)"):
        run.at(12)


class Moving(nn.Module):
    """Takes a moving mean of its inputs off, which is another tensor after each step."""

    mean: torch.Tensor

    def __init__(self):
        super().__init__()
        self.network = small_mlp()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, inputs):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * inputs.mean()
        return self.network(inputs - self.mean)


def test_a_buffer_that_is_made_anew_at_each_step_is_kept_as_it_is_then(train, tmp_path):
    whole = fit(Moving, hard_labels(), train, RECIPE, keep=[15])
    short = fit(Moving, hard_labels(), train, SHORT)
    assert torch.equal(weights(whole.at(15).model), weights(short.model))
    places = Checkpoints(tmp_path, every=10)
    with stopped_after(20):
        fit(Moving, hard_labels(), train, RECIPE, checkpoints=places)
    rest = fit(Moving, hard_labels(), train, RECIPE, checkpoints=places)
    assert torch.equal(weights(rest.model), weights(whole.model))
    every = [fit(Moving, hard_labels(), train, replace(SHORT, steps=n)).model.mean for n in (1, 2)]
    average = fit(Moving, hard_labels(), train, replace(SHORT, steps=2, average=0.5))
    assert average.model.mean == (every[0] + every[1]) / 2
