"""Exercises of chapter 03: the matrix between classes, the softmax's Jacobian, channels and layers side by side."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named, rand

# Classes of 3, 2 and 1 examples: a mean over the wrong number shows.
P, LABELS = rand(6, 3, seed=1).softmax(dim=1), torch.tensor([2, 0, 1, 0, 1, 0])
V, T = rand(6, 3, seed=2), 2.5
TEACHER_ROWS, STUDENT_ROWS = rand(2, 7, seed=3) + 1, 3 * rand(3, 7, seed=4) - 2
X, Y = rand(7, 2, seed=5) + 1, rand(7, 3, seed=6) - 2
CORRELATION = torch.tensor([[0.9, -0.6, 0.1], [0.2, 0.3, -0.8]], dtype=torch.float64)

# --- 03.1 ----------------------------------------------------------------------------------------------------------


def class_means(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Sums over the members of each class by one matrix product, divided by their number."""
    members = F.one_hot(labels, probabilities.shape[1]).to(probabilities)  # (N, C)
    return probabilities.T @ members / members.sum(dim=0)


def check_class_means(answer: Callable) -> str | None:
    sums = torch.zeros(3, 3, dtype=torch.float64)
    for row, label in zip(P, LABELS.tolist(), strict=True):
        sums[:, label] += row
    numbers = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    expected = sums / numbers
    got = answer(P, LABELS)
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "This is the transpose: a true class is a column, the teacher's answer to it runs down the rows.": expected.T,
        "These are sums: divide each column by its number of examples.": sums,
        "You divide by the number of all examples: each class has its own number.": sums / 6,
        "You divide the rows by the class sizes: divide the columns.": sums / numbers[:, None],
    }
    return named(got, mistakes, f"Not the mean answer to each class: {problem}.")


# --- 03.2 ----------------------------------------------------------------------------------------------------------


def jacobian_times(p: Tensor, v: Tensor, T: float) -> Tensor:
    """(diag(p) − p pᵀ) v = p ⊙ (v − p·v): never a (C, C) matrix."""
    return p * (v - (p * v).sum(dim=1, keepdim=True)) / T


def check_jacobian_times(answer: Callable) -> str | None:
    expected = torch.stack(
        [(torch.diag(p) - torch.outer(p, p)) @ v / T for p, v in zip(P, V, strict=True)]
    )  # (N, C)
    got = answer(P, V, T)
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "Divide by T: the derivative is with respect to y, not y/T.": expected * T,
        "Only diag(p) v: the part −p (p·v) is missing.": P * V / T,
        "The sign of the second part is wrong: subtract p (p·v).": P * (V + (P * V).sum(1, keepdim=True)) / T,
        "The examples are mixed: p·v is a number for each example, a sum over classes only.": P
        * (V - (P * V).sum())
        / T,
        "Multiply the second part by p too: it is p (p·v), not p·v.": (P * V - (P * V).sum(1, keepdim=True))
        / T,
    }
    return named(got, mistakes, f"Not (diag(p) − p pᵀ)/T · v: {problem}.")


# --- 03.3 ----------------------------------------------------------------------------------------------------------


def correlations(teacher_rows: Tensor, student_rows: Tensor) -> Tensor:
    """Centre every row, scale it to length one; then a product of matrices is a table of correlations."""
    big, small = (rows - rows.mean(dim=1, keepdim=True) for rows in (teacher_rows, student_rows))
    return F.normalize(big, dim=1) @ F.normalize(small, dim=1).T


def check_correlations(answer: Callable) -> str | None:
    expected = torch.corrcoef(torch.cat([TEACHER_ROWS, STUDENT_ROWS]))[:2, 2:]
    covariance = torch.cov(torch.cat([TEACHER_ROWS, STUDENT_ROWS]), correction=0)[:2, 2:]
    got = answer(TEACHER_ROWS, STUDENT_ROWS)
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "Subtract each row's mean first: this is the cosine of the angle between the rows.": F.normalize(
            TEACHER_ROWS
        )
        @ F.normalize(STUDENT_ROWS).T,
        "This is the covariance: scale every centred row to length one.": covariance,
        "This is 7 times the covariance: scale every centred row to length one.": 7 * covariance,
        "The rows have a standard deviation of one, not a length of one: divide by their number as well.": 7
        * expected,
        "The rows have a standard deviation of one, not a length of one: divide by n − 1 as well.": 6
        * expected,
        "This is the transpose: the teacher's channels are the rows.": expected.T,
    }
    return named(got, mistakes, f"Not the correlations: {problem}.")


# --- 03.4 ----------------------------------------------------------------------------------------------------------


def linear_cka(x: Tensor, y: Tensor) -> Tensor:
    """‖XᵀY‖² ÷ (‖XᵀX‖ ‖YᵀY‖) of centred columns."""
    x, y = x - x.mean(dim=0), y - y.mean(dim=0)
    return (x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())


def check_cka(answer: Callable) -> str | None:
    centring = torch.eye(7, dtype=torch.float64) - 1 / 7
    grams = [centring @ rows @ rows.T @ centring for rows in (X, Y)]  # as in the paper, from kernels

    def aligned(first: Tensor, second: Tensor) -> Tensor:
        return (first * second).sum() / (first.norm() * second.norm())

    expected = aligned(*grams)
    got = answer(X, Y)
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "Subtract the mean of every column first.": aligned(X @ X.T, Y @ Y.T),
        "You subtracted the mean of every example; it is the columns whose mean must be zero.": aligned(
            *(centred(rows) @ centred(rows).T for rows in (X, Y))
        ),
        "The numerator is the *square* of the norm of XᵀY.": (grams[0] * grams[1]).sum().sqrt()
        / (grams[0].norm() * grams[1].norm()),
        "This is the numerator: divide by the norms of XᵀX and YᵀY.": (grams[0] * grams[1]).sum(),
        "The norms in the denominator are not squared.": (grams[0] * grams[1]).sum()
        / (grams[0].norm() * grams[1].norm()) ** 2,
    }
    return named(got, mistakes, f"Not the CKA: {problem}.")


# --- 03.5 ----------------------------------------------------------------------------------------------------------


def shares_of(correlation: Tensor, T: float) -> Tensor:
    """A softmax over the student's channels: positive, and every row sums to one."""
    return (T * correlation).softmax(dim=1)


def check_shares(answer: Callable) -> str | None:
    raised = (T * CORRELATION).exp()
    expected = raised / raised.sum(dim=1, keepdim=True)
    got = answer(CORRELATION, T)
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "Still divided by a Frobenius norm: entries are negative and rows do not sum to one.": CORRELATION
        / CORRELATION.norm(),
        "This is a softmax over the teacher's channels: the shares of one row must sum to one.": raised
        / raised.sum(dim=0),
        "This is a softmax over the whole matrix: every row must sum to one.": raised / raised.sum(),
        "T divides; between layers, as in the article, it multiplies.": (CORRELATION / T).softmax(dim=1),
        "T has no effect: multiply the correlations by it.": CORRELATION.softmax(dim=1),
        "Rows sum to one, but entries are negative: exponentiate first.": CORRELATION
        / CORRELATION.sum(dim=1, keepdim=True),
    }
    return named(got, mistakes, f"Not shares: {problem}.")


def members(labels: Tensor) -> Tensor:
    return F.one_hot(labels, 3).to(torch.float64)


def unit(rows: Tensor) -> Tensor:
    return F.normalize(rows, dim=1)


def centred(rows: Tensor) -> Tensor:
    return rows - rows.mean(dim=1, keepdim=True)


def cross(x: Tensor, y: Tensor) -> Tensor:
    """XᵀY of centred columns."""
    return (x - x.mean(dim=0)).T @ (y - y.mean(dim=0))


def cka_of(x: Tensor, y: Tensor) -> Tensor:
    """Without centring."""
    return (x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())


def given_shares_of(correlation, T):
    M = T * correlation
    return M / M.norm()


EXERCISES = (
    Exercise(
        "03.1",
        "The matrix between classes",
        check_class_means,
        "probabilities.T @ one_hot adds up the members of each class. Divide each column by its number of members.",
        class_means,
        (
            WrongAnswer(lambda p, c: class_means(p, c).T, "the transpose"),
            WrongAnswer(lambda p, c: p.T @ members(c), "These are sums"),
            WrongAnswer(lambda p, c: p.T @ members(c) / len(p), "number of all examples"),
            WrongAnswer(lambda p, c: p.T @ members(c) / members(c).sum(0)[:, None], "divide the rows"),
        ),
    ),
    Exercise(
        "03.2",
        "The softmax's Jacobian times a vector",
        check_jacobian_times,
        "(p pᵀ) v = p (pᵀ v), and pᵀ v is one number for each example.",
        jacobian_times,
        (
            WrongAnswer(lambda p, v, T: p * (v - (p * v).sum(1, keepdim=True)), "Divide by T"),
            WrongAnswer(lambda p, v, T: p * v / T, "part −p (p·v) is missing"),
            WrongAnswer(
                lambda p, v, T: p * (v + (p * v).sum(1, keepdim=True)) / T, "sign of the second part"
            ),
            WrongAnswer(lambda p, v, T: p * (v - (p * v).sum()) / T, "examples are mixed"),
            WrongAnswer(
                lambda p, v, T: (p * v - (p * v).sum(1, keepdim=True)) / T, "Multiply the second part"
            ),
        ),
    ),
    Exercise(
        "03.3",
        "Correlations between channels",
        check_correlations,
        "Subtract each row's mean, divide each row by its length, multiply one matrix with the other's transpose.",
        correlations,
        (
            WrongAnswer(lambda a, b: unit(a) @ unit(b).T, "Subtract each row's mean"),
            WrongAnswer(lambda a, b: centred(a) @ centred(b).T, "7 times the covariance"),
            WrongAnswer(lambda a, b: centred(a) @ centred(b).T / 7, "This is the covariance"),
            WrongAnswer(
                lambda a, b: centred(a) / a.std(1, keepdim=True) @ (centred(b) / b.std(1, keepdim=True)).T,
                "divide by n − 1",
            ),
            WrongAnswer(lambda a, b: correlations(b, a), "the transpose"),
        ),
    ),
    Exercise(
        "03.4",
        "Linear CKA of two layers",
        check_cka,
        "x - x.mean(dim=0) centres the columns. The three norms are Frobenius norms; only the one on top is squared.",
        linear_cka,
        (
            WrongAnswer(lambda x, y: cka_of(x, y), "Subtract the mean of every column"),
            WrongAnswer(lambda x, y: cka_of(centred(x), centred(y)), "every example"),
            WrongAnswer(
                lambda x, y: linear_cka(x, y).sqrt() / (cross(x, x).norm() * cross(y, y).norm()).sqrt(),
                "is the *square*",
            ),
            WrongAnswer(lambda x, y: cross(x, y).square().sum(), "This is the numerator"),
            WrongAnswer(
                lambda x, y: linear_cka(x, y) / (cross(x, x).norm() * cross(y, y).norm()), "are not squared"
            ),
        ),
    ),
    Exercise(
        "03.5",
        "Find the bug: a softmax that is not a softmax",
        check_shares,
        "A softmax exponentiates. Which dimension holds the channels among which a teacher's channel is shared?",
        shares_of,
        (
            WrongAnswer(lambda w, T: T * w / (T * w).norm(), "Frobenius"),
            WrongAnswer(lambda w, T: (T * w).softmax(0), "over the teacher's channels"),
            WrongAnswer(lambda w, T: (T * w).flatten().softmax(0).view_as(w), "over the whole matrix"),
            WrongAnswer(lambda w, T: (w / T).softmax(1), "T divides"),
            WrongAnswer(lambda w, T: w.softmax(1), "T has no effect"),
            WrongAnswer(lambda w, T: T * w / (T * w).sum(1, keepdim=True), "exponentiate first"),
        ),
        given=given_shares_of,
    ),
)
