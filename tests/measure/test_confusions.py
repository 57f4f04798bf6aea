"""Confusions as shares, and the correlation of two rankings of pairs of classes, against values counted by hand."""

import pytest
import torch

from course_lib.errors import CourseError
from course_lib.measure import confusion_shares, pair_correlation


def answers(*named):
    return torch.nn.functional.one_hot(torch.tensor(named), 3).float()


def test_shares_of_all_students_by_true_class():
    labels = torch.tensor([0, 0, 1, 1])
    logits = torch.stack([answers(0, 1, 1, 2), answers(0, 0, 2, 2)])
    expected = [[0.75, 0, 0], [0.25, 0.25, 0], [0, 0.75, 0]]
    assert confusion_shares(logits, labels).tolist() == expected
    assert confusion_shares(logits[0], labels).tolist() == [[0.5, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0]]


def test_only_the_order_off_the_diagonal_counts():
    matrix = torch.arange(9.0).view(3, 3)
    other = (matrix / 3).exp()
    other.fill_diagonal_(-100)
    assert pair_correlation(matrix, other) == pytest.approx(1)
    assert pair_correlation(matrix, -other) == pytest.approx(-1)
    # Ranks 1 … 6 against 2 1 3 4 5 6: 1 − 6 · 2 / (6 · 35).
    swapped = matrix.clone()
    swapped[0, 1], swapped[0, 2] = matrix[0, 2], matrix[0, 1]
    assert pair_correlation(matrix, swapped) == pytest.approx(1 - 12 / 210)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (torch.eye(3), torch.eye(4), r"of one size from 3 × 3, got \(3, 3\) and \(4, 4\)"),
        (torch.ones(2, 3), torch.ones(2, 3), r"got \(2, 3\)"),
        (torch.eye(2), torch.eye(2), r"got \(2, 2\)"),
        (torch.rand(3, 3), torch.eye(3), "second must rank the pairs of classes, got 0 for all of them"),
    ],
)
def test_what_cannot_be_compared_is_refused(first, second, words):
    with pytest.raises(CourseError, match=words):
        pair_correlation(first, second)
