"""Small steps take one thread, large ones all that PyTorch may use, and its setting holds again afterwards."""

from functools import partial

import pytest
import torch
from torch import nn

from course_lib.data import load
from course_lib.models import mlp
from course_lib.training import (
    LiveTeacher,
    Objective,
    Recipe,
    Term,
    TrainingDiverged,
    fit,
    fit_many,
    hard_labels,
    logits,
)
from course_lib.training.threads import ALL_THREADS_FROM, suited_threads

CPU = torch.device("cpu")
ONE_STEP = Recipe(steps=1, batch_size=64)
wide = partial(
    mlp, (1, 8, 8), (4096, 1024), 10
)  # 64 · 4096 + 4096 · 1024 + 1024 · 10 products, 285 million in a batch
narrow = partial(mlp, (1, 8, 8), (4096, 64), 10)  # 34 million, and 273 million for eight


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Noting(nn.Module):
    """A network that notes how many threads there are whenever it is called."""

    def __init__(self, build, seen):
        super().__init__()
        self.network, self.seen = build(), seen

    def forward(self, x):
        self.seen.append(torch.get_num_threads())
        return self.network(x)


def threads_of(train_with, build):
    """Of the last call, which is the step; the first is the dry run."""
    seen = []
    train_with(lambda: Noting(build, seen))
    assert torch.get_num_threads() == 3
    return seen[-1]


@pytest.mark.parametrize(("build", "threads"), [(narrow, 1), (wide, 3)])
def test_one_training_takes_as_many_as_its_step_is_worth(train, build, threads):
    assert threads_of(lambda noting: fit(noting, hard_labels(), train, ONE_STEP), build) == threads


@pytest.mark.parametrize(("students", "threads"), [(2, 1), (8, 3)])
def test_all_students_of_a_stack_count(train, students, threads):
    seeds = range(students)
    assert (
        threads_of(lambda noting: fit_many(noting, hard_labels(), train, ONE_STEP, seeds=seeds), narrow)
        == threads
    )


def test_the_batch_counts_as_it_is_and_not_as_the_recipe_says(train):
    few = train.subset(20, seed=0)
    assert threads_of(lambda noting: fit(noting, hard_labels(), few, ONE_STEP), wide) == 1


def test_a_live_teacher_counts(train):
    teacher = LiveTeacher(wide())
    assert threads_of(lambda noting: fit(noting, logits(), train, ONE_STEP, teacher=teacher), narrow) == 3


def test_never_more_than_pytorch_is_set_to(train):
    torch.set_num_threads(1)
    with suited_threads(1e12, CPU):
        assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("macs", "device", "threads"),
    [
        (ALL_THREADS_FROM, CPU, 3),
        (ALL_THREADS_FROM - 1, CPU, 1),
        (0, torch.device("cuda"), 3),
    ],
)
def test_the_threshold_is_for_the_processor(macs, device, threads):
    with suited_threads(macs, device):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("train_with", [fit, partial(fit_many, seeds=[0, 1])], ids=["fit", "fit_many"])
def test_the_setting_holds_again_after_a_failure(train, train_with):
    broken = Objective([Term("broken", lambda student_logits: student_logits.mean() * float("nan"))])
    with pytest.raises(TrainingDiverged):
        train_with(narrow, broken, train, ONE_STEP)
    assert torch.get_num_threads() == 3
