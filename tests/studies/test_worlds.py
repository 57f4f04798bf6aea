"""What studies share: each piece against what it stands for, written out."""

import pytest
import torch

from course_lib import measure
from course_lib.data import load
from course_lib.models import small_mlp
from course_lib.training import Recipe, fit, fit_many, hard_labels, smoothed_labels, teacher_logits
from studies.worlds import (
    DigitsWorld,
    baselines,
    best,
    crossed,
    diagnosed,
    earlier,
    right_answers,
    rounded,
    subsets,
    teacher_of,
)


@pytest.fixture(scope="module")
def world():
    return DigitsWorld(3)


def test_a_world_is_a_split_by_its_seed(world):
    expected = load("digits", seed=3)
    assert torch.equal(world.digits.test.index, expected.test.index)
    first, again, other = world.subsets(20, (5, 5, 6))
    assert again is first
    assert torch.equal(first.index, expected.train.subset(20, seed=5).index)
    assert torch.equal(other.index, expected.train.subset(20, seed=6).index)


def test_subsets_come_in_the_order_of_their_seeds(world):
    found = subsets(world.digits.train, 12, range(4))
    expected = [world.digits.train.subset(12, seed=seed) for seed in range(4)]
    assert [each.index.tolist() for each in found] == [each.index.tolist() for each in expected]


@pytest.mark.parametrize("objective", [None, smoothed_labels(0.3)])
def test_a_teacher_is_trained_as_in_the_notebooks(world, objective):
    few = world.digits.train.subset(20, seed=0)
    found = teacher_of(few, 7, build=small_mlp, steps=6, objective=objective)
    recipe = Recipe(steps=6, batch_size=64, lr=2e-3, schedule="cosine")
    expected = fit(small_mlp, objective or hard_labels(), few, recipe, seed=7, progress=False).model
    for one, two in zip(found.parameters(), expected.parameters(), strict=True):
        assert torch.equal(one, two)


def test_every_value_meets_every_seed():
    values, seeds = crossed((0.1, 0.2), range(3))
    assert values == [0.1, 0.1, 0.1, 0.2, 0.2, 0.2]
    assert seeds == [0, 1, 2, 0, 1, 2]


def test_budgets_on_the_way_are_below_the_last_step():
    assert earlier((100, 500, 2000), 500) == [100]
    assert earlier((100, 500, 2000), 8000) == [100, 500, 2000]


def test_the_best_value_has_the_highest_sum_and_of_equal_ones_the_first_wins():
    assert best((0.0, 0.1, 0.3), [[5, 1], [3, 4], [4, 3]]) == 0.1
    assert best((0.0, 0.1), [[9, 0], [1, 1]]) == 0.0


def test_right_answers_are_counted_for_each_student():
    logits = torch.eye(3)[torch.tensor([[0, 1, 1, 2], [2, 2, 2, 2]])]  # (students, N, C)
    assert right_answers(logits, torch.tensor([0, 1, 2, 2])).tolist() == [3, 2]


def test_shares_are_rounded_in_per_cent_unless_told_otherwise():
    shares = torch.tensor([1 / 3, -0.00456], dtype=torch.float64)
    assert rounded(shares) == [33.33, -0.46]
    assert rounded(shares, places=3, scale=1) == [0.333, -0.005]
    assert rounded(shares, places=None) == (100 * shares).tolist()


def test_students_and_classical_methods_are_measured_and_rounded(world):
    few, test = world.subsets(20, (0, 1)), world.digits.test
    runs = fit_many(small_mlp, hard_labels(), few, Recipe(steps=3), seeds=[0, 1], progress=False)
    torch.manual_seed(0)
    answers = teacher_logits(small_mlp(), test)
    expected = measure.diagnose(runs, few, test, answers)
    found = diagnosed(runs, few, test, answers)
    assert list(found) == ["train", "test", "agreement", "confidence_gap"]
    assert found == {name: rounded(values) for name, values in vars(expected).items()}
    assert baselines(few, test, places=4, scale=1) == {
        kind: rounded(measure.trivial_baseline(few, test, kind), 4, 1)
        for kind in ("logistic regression", "nearest neighbour")
    }
