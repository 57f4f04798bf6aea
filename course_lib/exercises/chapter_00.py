"""Exercises of chapter 00: how checks work, on softmax, accuracy, and the softmax that is taken twice."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named

LOGITS = torch.tensor(
    [[2.0, 0.5, -1.0], [0.0, 3.0, 1.0], [1.0, 1.5, 0.0], [-2.0, 0.0, 4.0]], dtype=torch.float64
)
LABELS = torch.tensor([0, 1, 0, 2])  # the third row is answered wrongly


# --- 00.1 ----------------------------------------------------------------------------------------------------------


def softmax(z: Tensor) -> Tensor:
    """Probabilities from the logits z of one example, (C,) → (C,)."""
    weights = torch.exp(z - z.max())  # the largest becomes 1, so that nothing overflows
    return weights / weights.sum()


def check_softmax(answer: Callable) -> str | None:
    z = torch.tensor([2.0, 1.0, -1.0], dtype=torch.float64)
    weights = torch.tensor([7.38905609893065, 2.718281828459045, 0.36787944117144233], dtype=torch.float64)
    got, expected = answer(z), weights / weights.sum()
    problem = difference(got, expected)
    if problem is None:
        large = answer(torch.tensor([1000.0, 1000.0], dtype=torch.float64))
        return (
            None
            if difference(large, torch.tensor([0.5, 0.5])) is None
            else "Right for small logits, but e to the power of 1000 overflows: subtract the largest logit first."
        )
    powers_of_two = torch.tensor([4.0, 2.0, 0.5], dtype=torch.float64)
    mistakes = {
        "These are the exponentials. Divide them by their sum, so that they add up to 1.": weights,
        "You divided by the largest exponential; divide by the sum of all.": weights / weights.max(),
        "You divided the logits by their sum: one of them is negative, and no probability is. "
        "Take exponentials first.": z / z.sum(),
        "The base is e, not 2: use torch.exp.": powers_of_two / powers_of_two.sum(),
        "This is the logarithm of the softmax.": (weights / weights.sum()).log(),
    }
    return named(got, mistakes, f"Not the softmax of (2, 1, -1): {problem}.")


# --- 00.2 ----------------------------------------------------------------------------------------------------------


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of examples whose largest logit is that of the label, (N, C) and (N,) → a number in [0, 1]."""
    return (logits.argmax(dim=1) == labels).double().mean()


def check_accuracy(answer: Callable) -> str | None:
    got = answer(LOGITS, LABELS)
    mistakes = {
        "You counted the right answers; divide by the number of examples.": 3.0,
        "A share lies between 0 and 1: leave the factor 100 to the printing.": 75.0,
        "This is the share of wrong answers.": 0.25,
        "You divided by the number of classes; divide by the number of examples.": 1.0,
        "You compare the largest logit itself with the label; compare its position, argmax(dim=1).": 0.0,
    }
    if (problem := difference(got, 0.75)) is not None:
        return named(got, mistakes, f"Three of four answers are right, so the accuracy is 0.75: {problem}.")
    second = answer(LOGITS[:3], LABELS[:3])
    if (problem := difference(second, 2 / 3)) is not None:
        return f"With only the first three examples two are right: {problem}."
    return None


# --- 00.3 ----------------------------------------------------------------------------------------------------------


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy; F.cross_entropy takes logits, since it contains the softmax."""
    return F.cross_entropy(logits, labels)


def negative_log(probabilities: Tensor) -> Tensor:
    """−log of the probability of each label, (N, C) → (N,)."""
    return -probabilities[torch.arange(len(LABELS)), LABELS].log()


def check_classification_loss(answer: Callable) -> str | None:
    weights = LOGITS.exp()
    p = weights / weights.sum(1, keepdim=True)
    each = negative_log(p)
    got = answer(LOGITS, LABELS)
    problem = difference(got, each.mean())
    if problem is None:
        extreme = answer(torch.tensor([[2000.0, 0.0]], dtype=torch.float64), torch.tensor([1]))
        return (
            None
            if difference(extreme, 2000.0) is None
            else "Right here, but the log of a softmax is infinite where a probability underflows to 0: "
            "give the logits to F.cross_entropy."
        )
    twice = p.exp() / p.exp().sum(1, keepdim=True)
    columns = weights / weights.sum(0, keepdim=True)
    mistakes = {
        "The softmax is still taken twice: F.cross_entropy contains one, so give it the logits.": negative_log(
            twice
        ).mean(),
        "Your softmax runs over the examples, and F.cross_entropy needs none before it.": negative_log(
            columns.exp() / columns.exp().sum(1, keepdim=True)
        ).mean(),
        "Average over the examples instead of adding them up.": each.sum(),
        "The sign is wrong: this loss falls when the answers get worse.": -each.mean(),
        "F.nll_loss expects log-probabilities, and it was given something else.": -LOGITS[
            torch.arange(4), LABELS
        ].mean(),
        "The logarithm is missing: this is 1 minus the mean probability of the labels.": 1
        - (-each).exp().mean(),
    }
    return named(got, mistakes, f"Not the cross-entropy of these four examples: {problem}.")


def given_classification_loss(logits, labels):
    probabilities = F.softmax(logits, dim=1)
    return F.cross_entropy(probabilities, labels)


EXERCISES = (
    Exercise(
        id="00.1",
        title="Softmax by hand",
        check=check_softmax,
        hint="torch.exp(z) makes every number positive. Then divide by the sum. For large z: first subtract z.max().",
        solution=softmax,
        wrong_answers=(
            WrongAnswer(torch.exp, "Divide them by their sum"),
            WrongAnswer(lambda z: torch.exp(z - z.max()), "largest exponential"),
            WrongAnswer(lambda z: z / z.sum(), "no probability is"),
            WrongAnswer(lambda z: 2**z / (2**z).sum(), "base is e"),
            WrongAnswer(lambda z: torch.log_softmax(z, dim=0), "logarithm of the softmax"),
            WrongAnswer(lambda z: torch.exp(z) / torch.exp(z).sum(), "overflows"),
            WrongAnswer(lambda z: torch.sigmoid(z), "Not the softmax"),
            WrongAnswer(lambda z: z.softmax(), "stopped with TypeError"),
        ),
    ),
    Exercise(
        id="00.2",
        title="Accuracy",
        check=check_accuracy,
        hint="logits.argmax(dim=1) is the answer to each example. Compare with labels, then take the mean.",
        solution=accuracy,
        wrong_answers=(
            WrongAnswer(lambda z, y: (z.argmax(dim=1) == y).sum(), "counted"),
            WrongAnswer(lambda z, y: 100 * (z.argmax(dim=1) == y).double().mean(), "factor 100"),
            WrongAnswer(lambda z, y: (z.argmax(dim=1) != y).double().mean(), "wrong answers"),
            WrongAnswer(lambda z, y: (z.argmax(dim=1) == y).sum() / z.shape[1], "number of classes"),
            WrongAnswer(lambda z, y: (z.amax(dim=1) == y).double().mean(), "its position"),
            WrongAnswer(lambda z, y: (z.argmax(dim=1) == y).sum() / 4, "first three"),
            WrongAnswer(lambda z, y: (z.argmax(dim=0) == y).double().mean(), "stopped with RuntimeError"),
            WrongAnswer(lambda z, y: z.argmax(dim=1) == y, "0.75"),
        ),
    ),
    Exercise(
        id="00.3",
        title="Find the bug: one softmax too many",
        check=check_classification_loss,
        hint="Look up what F.cross_entropy expects as its first argument: logits, or probabilities?",
        solution=classification_loss,
        wrong_answers=(
            WrongAnswer(lambda z, y: F.cross_entropy(F.softmax(z, dim=1), y), "taken twice"),
            WrongAnswer(lambda z, y: F.cross_entropy(F.softmax(z, dim=0), y), "over the examples"),
            WrongAnswer(lambda z, y: F.cross_entropy(z, y, reduction="sum"), "instead of adding"),
            WrongAnswer(lambda z, y: -F.cross_entropy(z, y), "sign is wrong"),
            WrongAnswer(lambda z, y: F.nll_loss(z, y), "log-probabilities"),
            WrongAnswer(lambda z, y: 1 + F.nll_loss(F.softmax(z, dim=1), y), "logarithm is missing"),
            WrongAnswer(lambda z, y: F.nll_loss(F.softmax(z, dim=1).log(), y), "underflows"),
            WrongAnswer(lambda z, y: F.cross_entropy(2 * z, y), "Not the cross-entropy"),
        ),
        given=given_classification_loss,
    ),
)
