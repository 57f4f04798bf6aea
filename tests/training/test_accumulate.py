"""A batch in parts gives the gradient of the whole batch."""

from dataclasses import replace

import pytest
import torch
from stopping import stopped_after
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss
from course_lib.matrices import cross_entropy_matrix
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    Checkpoints,
    LiveTeacher,
    Recipe,
    fit,
    fit_many,
    gradient_matching,
    hard_labels,
)

RECIPE = Recipe(steps=8, batch_size=20, optimizer="sgd", lr=0.1, clip=0.5)
IN_PARTS = replace(RECIPE, accumulate=4)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(40, seed=0)


@pytest.mark.parametrize("objective", [hard_labels(), gradient_matching()], ids=["labels", "gradients"])
def test_parts_give_the_gradient_and_the_losses_of_the_whole(objective, train):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher = LiveTeacher(cnn_teacher().eval(), cross_entropy_matrix)
    whole = fit(small_mlp, objective, train, RECIPE, teacher=teacher)
    parts = fit(small_mlp, objective, train, IN_PARTS, teacher=teacher)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    for name, values in whole.history.items():
        assert parts.history[name] == pytest.approx(values, rel=1e-3)


def test_it_is_a_loop_by_hand_in_which_only_a_part_is_seen_at_once(train):
    sizes = []

    class Counting(nn.Sequential):
        def forward(self, inputs):
            sizes.append(len(inputs))
            return super().forward(inputs)

    def build():
        return Counting(nn.Flatten(), nn.Linear(64, 10))

    recipe = Recipe(steps=3, batch_size=40, optimizer="sgd", lr=0.1, accumulate=2)
    run = fit(build, hard_labels(), train, recipe)
    assert sizes == [2] + [20] * 6
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        for half in (slice(0, 20), slice(20, 40)):
            (hard_label_loss(network(train.inputs[half]), train.labels[half]) / 2).backward()
        optimizer.step()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_a_stopped_training_ends_with_the_same_bits(train, tmp_path):
    places = Checkpoints(tmp_path, every=4)
    whole = fit(small_mlp, hard_labels(), train, IN_PARTS).model.state_dict()
    with stopped_after(4):
        fit(small_mlp, hard_labels(), train, IN_PARTS, checkpoints=places)
    rest = fit(small_mlp, hard_labels(), train, IN_PARTS, checkpoints=places).model.state_dict()
    assert all(torch.equal(value, rest[name]) for name, value in whole.items())
    with pytest.raises(CourseError, match=r"another recipe: .*accumulate=4"):
        fit(small_mlp, hard_labels(), train, RECIPE, checkpoints=places)


def test_parts_of_other_sizes_and_many_students_are_refused(train):
    with pytest.raises(
        CourseError, match="accumulate must divide each process's examples of a batch, 20, got 3"
    ):
        fit(small_mlp, hard_labels(), train, replace(RECIPE, accumulate=3))
    with pytest.raises(CourseError, match="accumulate must be 1 for students that are trained at once"):
        fit_many(small_mlp, hard_labels(), train, IN_PARTS, seeds=[0, 1])
    with pytest.raises(CourseError, match="accumulate must be an integer of at least 1, got 0"):
        Recipe(accumulate=0)
