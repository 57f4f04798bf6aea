"""Exercises of chapter 10: choosing a cell, its neighbourhood, choosing by test data, a scale for temperatures."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named, rand

# (T, λ, seed): the largest single number, the largest mean and the largest median are in three different cells.
CELLS = torch.tensor(
    [
        [[80.0, 80.0, 95.0], [85.0, 86.0, 87.0], [70.0, 71.0, 72.0]],
        [[82.0, 87.0, 81.0], [88.0, 88.0, 60.0], [75.0, 84.0, 92.0]],
    ],
    dtype=torch.float64,
)
TEMPERATURES, LAMS = [2.0, 8.0], [0.1, 0.5, 0.9]
BEST, OTHER = 88 + rand(9, seed=1), 86 + 2 * rand(9, seed=2)
HALF, REST = 85 + 3 * rand(4, 30, seed=3), 84 + 3 * rand(4, 30, seed=4)

# --- 10.1 ----------------------------------------------------------------------------------------------------------


def choose(accuracies: Tensor, temperatures: list[float], lams: list[float]) -> tuple[float, float]:
    """The mean over seeds first, then the largest: a cell is a setting, not a student."""
    row, column = divmod(int(accuracies.mean(dim=2).argmax()), len(lams))
    return temperatures[row], lams[column]


def by(reduce: Callable) -> Callable:
    """A choice by something else than the mean."""

    def chosen(accuracies, temperatures, lams):
        row, column = divmod(int(reduce(accuracies).argmax()), len(lams))
        return temperatures[row], lams[column]

    return chosen


def check_choose(answer: Callable) -> str | None:
    got = answer(CELLS, list(TEMPERATURES), list(LAMS))
    if not isinstance(got, tuple | list) or len(got) != 2:
        return f"Return a pair (T, λ), not {got!r}."
    pair = tuple(float(value) for value in got)
    mistakes = {
        (0.5, 2.0): "The right cell, but the other way round: return (T, λ).",
        (
            0.0,
            1.0,
        ): "These are the positions of row and column: return the temperature and the λ found there.",
        (
            2.0,
            0.1,
        ): "Here is the best single student; another student of the same setting is bad. Take means over seeds.",
        (8.0, 0.5): "Here the median is largest: take the mean over the seeds.",
        (2.0, 0.9): "This is the worst cell.",
    }
    if pair != (2.0, 0.5):
        return mistakes.get(pair, f"The mean over seeds is largest elsewhere, not at {pair}.")
    # Here T and λ swap roles.
    again = tuple(float(value) for value in answer(CELLS.transpose(0, 1), list(LAMS), list(TEMPERATURES)))
    return (
        None
        if again == (0.5, 2.0)
        else "It works for 2 × 3 cells but not for 3 × 2: divide by the number of λs."
    )


# --- 10.2 ----------------------------------------------------------------------------------------------------------


def nearly_best(best: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """The gap of every pair; its mean, and its standard deviation divided by √n."""
    gaps = best - other
    return gaps.mean(), gaps.std() / math.sqrt(len(gaps))


def check_nearly_best(answer: Callable) -> str | None:
    got = answer(BEST, OTHER)
    if not isinstance(got, tuple | list) or len(got) != 2:
        return "Return a pair: the mean gap and its standard error."
    gaps = [a - b for a, b in zip(BEST.tolist(), OTHER.tolist(), strict=True)]
    mean = sum(gaps) / 9
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / 8)
    if difference(got[0], mean) is not None:
        return f"Not the mean of best − other: {difference(got[0], mean)}."
    problem = difference(got[1], spread / 3)
    if problem is None:
        return None
    mistakes = {
        "This is the standard deviation of the gaps: how far one pair lies from the mean. The mean of n pairs lies "
        "closer, by √n.": spread,
        "Divide by √n, not by n.": spread / 9,
        "This adds two errors up, as if the cells had different seeds. The seeds are the same: take the gap of each "
        "pair first.": float((BEST.var() / 9 + OTHER.var() / 9).sqrt()),
        "This is the error of the best cell alone: the question is the gap.": float(BEST.std() / 3),
        "The divisor of the variance is n − 1.": spread * math.sqrt(8 / 9) / 3,
    }
    return named(got[1], mistakes, f"Not the standard error of the gap: {problem}.")


# --- 10.3 ----------------------------------------------------------------------------------------------------------


def too_good(chosen_on: Tensor, fresh: Tensor) -> Tensor:
    """For every repetition the winner's accuracy where it was chosen, minus its accuracy elsewhere; then the mean."""
    winners = chosen_on.argmax(dim=1, keepdim=True)
    return (chosen_on.gather(1, winners) - fresh.gather(1, winners)).mean()


def check_too_good(answer: Callable) -> str | None:
    rows = list(zip(HALF.tolist(), REST.tolist(), strict=True))
    winners = [max(range(30), key=half.__getitem__) for half, _ in rows]
    pairs = list(zip(rows, winners, strict=True))
    expected = sum(half[w] - rest[w] for (half, rest), w in pairs) / 4
    got = answer(HALF, REST)
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "This compares the best of one half with the best of the other. On the fresh images you may not choose again: "
        "look up the winner of the first half.": sum(max(h) - max(r) for h, r in rows) / 4,
        "The sign is wrong: subtract the fresh accuracy.": -expected,
        "This is the gap of all students, not of the chosen ones.": float((HALF - REST).mean()),
        "You choose on the fresh images and look up on the others.": float(too_good(REST, HALF)),
        "One winner for all repetitions: choose in every row.": float(
            (HALF[:, HALF.mean(0).argmax()] - REST[:, HALF.mean(0).argmax()]).mean()
        ),
        "Take the mean over the repetitions.": expected * 4,
    }
    return named(got, mistakes, f"Not the mean of chosen − fresh: {problem}.")


# --- 10.4 ----------------------------------------------------------------------------------------------------------


def log_scale(u: Tensor, low: float, high: float) -> Tensor:
    """Equal steps of u are equal factors."""
    return low * (high / low) ** u


def check_log_scale(answer: Callable) -> str | None:
    u = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    expected = [math.exp(math.log(0.5) + value * (math.log(32.0) - math.log(0.5))) for value in u.tolist()]
    got = answer(u, 0.5, 32.0)
    problem = difference(got, torch.tensor(expected))
    if problem is None:
        return None
    mistakes = {
        "This is the linear scale: half of all trials lie above the middle of low and high. Equal steps of u must "
        "multiply T by the same factor.": 0.5 + u * 31.5,
        "These are the logarithms: take them back with exp.": torch.tensor(expected).log(),
        "These are powers of high, and low is forgotten.": 32.0**u,
        "low and high have changed places.": 32.0 * (0.5 / 32.0) ** u,
    }
    return named(got, mistakes, f"Not uniform on the logarithmic scale: {problem}.")


def given_nearly_best(best, other):
    gap = best.mean() - other.mean()
    error = (best.var() / len(best) + other.var() / len(other)).sqrt()
    return gap, error


EXERCISES = (
    Exercise(
        "10.1",
        "Choose a cell",
        check_choose,
        "accuracies.mean(dim=2) has shape (T, λ); argmax counts it row by row, divmod by the number of λs undoes that.",
        choose,
        (
            WrongAnswer(by(lambda a: a.amax(2)), "best single student"),
            WrongAnswer(by(lambda a: a.median(2).values), "median"),
            WrongAnswer(by(lambda a: -a.mean(2)), "worst cell"),
            WrongAnswer(lambda a, t, lam: choose(a, t, lam)[::-1], "other way round"),
            WrongAnswer(lambda a, t, lam: divmod(int(a.mean(2).argmax()), len(lam)), "positions of row"),
            WrongAnswer(lambda a, t, lam: (2.0, 0.5), "not for 3 × 2"),
            WrongAnswer(lambda a, t, lam: choose(a, t, lam)[0], "Return a pair"),
        ),
    ),
    Exercise(
        "10.2",
        "Find the bug: a region that is too large",
        check_nearly_best,
        "Two students of one seed have the same images and first weights. What they share drops out of the gap, if it "
        "is taken pair by pair. And how far is a mean of n from the truth?",
        nearly_best,
        (
            WrongAnswer(lambda a, b: ((a - b).mean(), (a - b).std()), "closer, by √n"),
            WrongAnswer(lambda a, b: ((a - b).mean(), (a - b).std() / len(a)), "not by n"),
            WrongAnswer(
                lambda a, b: ((a - b).mean(), (a.var() / len(a) + b.var() / len(b)).sqrt()), "different seeds"
            ),
            WrongAnswer(lambda a, b: ((a - b).mean(), a.std() / len(a) ** 0.5), "best cell alone"),
            WrongAnswer(lambda a, b: ((a - b).mean(), (a - b).std(correction=0) / len(a) ** 0.5), "n − 1"),
            WrongAnswer(lambda a, b: ((b - a).mean(), (a - b).std() / len(a) ** 0.5), "best − other"),
            WrongAnswer(lambda a, b: (a - b).mean(), "Return a pair"),
        ),
        given=given_nearly_best,
    ),
    Exercise(
        "10.3",
        "How much too good",
        check_too_good,
        "argmax over dim 1 of the first half gives a winner for each row; gather looks it up, in both halves.",
        too_good,
        (
            WrongAnswer(lambda a, b: (a.amax(1) - b.amax(1)).mean(), "may not choose again"),
            WrongAnswer(lambda a, b: -too_good(a, b), "sign"),
            WrongAnswer(lambda a, b: (a - b).mean(), "all students"),
            WrongAnswer(lambda a, b: too_good(b, a), "choose on the fresh"),
            WrongAnswer(
                lambda a, b: (a[:, a.mean(0).argmax()] - b[:, a.mean(0).argmax()]).mean(), "in every row"
            ),
            WrongAnswer(lambda a, b: too_good(a, b) * len(a), "Take the mean"),
        ),
    ),
    Exercise(
        "10.4",
        "A scale for temperatures",
        check_log_scale,
        "log T runs evenly from log low to log high. Or: with u = 1 the factor is high / low, with u = ½ its root.",
        log_scale,
        (
            WrongAnswer(lambda u, low, high: low + u * (high - low), "linear scale"),
            WrongAnswer(lambda u, low, high: log_scale(u, low, high).log(), "logarithms"),
            WrongAnswer(lambda u, low, high: high**u, "low is forgotten"),
            WrongAnswer(lambda u, low, high: log_scale(u, high, low), "changed places"),
        ),
    ),
)
