"""Exercises of chapter 05: a penalty per example, a critic's matrix, a noise, a dead layer, a mean norm."""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named, rand

GRADIENTS, ALPHA = rand(5, 2, 3, seed=1), 1.5
FLAT = torch.cat(
    [rand(3, 4, seed=2), torch.zeros(2, 4, dtype=torch.float64)]
)  # the last two examples are dead
BATCHES = [rand(4, 3, seed=3), rand(4, 3, seed=4) * 2, rand(1, 3, seed=5) * 5]

# --- 05.1 ----------------------------------------------------------------------------------------------------------


def penalty(gradients: Tensor, alpha: float) -> Tensor:
    """Flatten what belongs to one example, take its norm, then the mean of the squared deviations."""
    return (gradients.flatten(1).norm(dim=1) - alpha).square().mean()


def check_penalty(answer: Callable) -> str | None:
    lengths = torch.tensor(
        [sum(g**2 for g in each.flatten().tolist()) ** 0.5 for each in GRADIENTS], dtype=torch.float64
    )
    got = answer(GRADIENTS, ALPHA)
    expected = ((lengths - ALPHA) ** 2).mean()
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "This is one norm for the whole batch: flatten each example and take a norm for each.": (
            GRADIENTS.norm() - ALPHA
        )
        ** 2,
        "You take a norm for each column of S: flatten columns and features together first.": (
            (GRADIENTS.norm(dim=2) - ALPHA) ** 2
        ).mean(),
        "These are the squared norms minus α: take the root first.": ((lengths**2 - ALPHA) ** 2).mean(),
        "Take the mean over the 5 examples; do not add them up.": expected * 5,
        "The deviation is not squared.": (lengths - ALPHA).mean(),
        "This is the mean norm minus α, in which long and short gradients cancel: square before you take the mean.": (
            lengths.mean() - ALPHA
        )
        ** 2,
    }
    return named(got, mistakes, f"Not 1/N Σ (‖G_i‖ − α)²: {problem}.")


# --- 05.2 ----------------------------------------------------------------------------------------------------------


def one_logit(classes: int, c: int) -> Tensor:
    """A one-hot column: it picks row c of the Jacobian."""
    column = torch.zeros(classes, 1)
    column[c] = 1
    return column


def check_one_logit(answer: Callable) -> str | None:
    got = answer(4, 2)
    expected = torch.tensor([[0.0], [0.0], [1.0], [0.0]])
    problem = difference(got, expected)
    if problem is None:
        return (
            None
            if difference(answer(3, 0), torch.tensor([[1.0], [0.0], [0.0]])) is None
            else "Use c and classes."
        )
    mistakes = {
        "This is a row: S has a row for each class, so that JᵀS is (d, 1).": expected.T,
        "Right numbers, one dimension short: S is a matrix of shape (C, 1).": expected[:, 0],
        "This adds all logits up: only that of class c counts.": torch.ones(4, 1),
        "This takes every logit by itself: only one column is needed.": torch.eye(4),
        "This is the mean of the logits.": torch.full((4, 1), 0.25),
    }
    return named(got, mistakes, f"JᵀS is not the gradient of logit c: {problem}.")


# --- 05.3 ----------------------------------------------------------------------------------------------------------


def same_noise(beta: float, scale: float) -> float:
    """β ‖JᵀS‖² = β · scale² ‖J‖², and noise gives σ² ‖J‖²."""
    return scale * beta**0.5


def check_same_noise(answer: Callable) -> str | None:
    for beta, scale in ((0.09, 1.0), (0.25, 0.8)):
        got, expected = answer(beta, scale), scale * beta**0.5
        problem = difference(got, expected)
        if problem is None:
            continue
        mistakes = {
            "This is σ², the variance: take its root.": scale**2 * beta,
            "This forgets the scale of S: ‖JᵀS‖² = scale² · ‖J‖².": beta**0.5,
            "Take the root of β, not of the scale: the scale is squared in ‖JᵀS‖².": (scale * beta) ** 0.5,
            "The scale belongs on the other side: a larger S makes a stronger penalty.": beta**0.5 / scale,
            "β is compared with σ², not with σ.": scale * beta,
        }
        return named(
            got, mistakes, f"Not the σ with σ² ‖J‖² = β ‖JᵀS‖² for β = {beta}, scale = {scale}: {problem}."
        )
    return None


# --- 05.4 ----------------------------------------------------------------------------------------------------------


def survivor(gradients: Tensor, alpha: float, eps: float = 1e-12) -> Tensor:
    """ε inside the root: its slope at zero is 0 · 1/√ε instead of 0 · ∞."""
    norms = (gradients.square().sum(dim=1) + eps).sqrt()
    return (norms - alpha).square().mean()


def outside(gradients, alpha, eps=1e-12):
    return ((gradients.square().sum(dim=1).sqrt() + eps) - alpha).square().mean()


def clamped(gradients, alpha, eps=1e-12):
    return (gradients.square().sum(dim=1).sqrt().clamp(min=eps) - alpha).square().mean()


def where(gradients, alpha, eps=1e-12):
    squares = gradients.square().sum(dim=1)
    return (torch.where(squares > 0, squares.sqrt(), eps) - alpha).square().mean()


def large(gradients, alpha, eps=0.1):
    return survivor(gradients, alpha, eps)


def living_only(gradients, alpha, eps=1e-12):
    alive = gradients[gradients.square().sum(dim=1) > 0]
    return survivor(alive, alpha, eps)


def check_survivor(answer: Callable) -> str | None:
    lengths = torch.tensor([row.square().sum().item() ** 0.5 for row in FLAT], dtype=torch.float64)
    expected = ((lengths - ALPHA) ** 2).mean()
    gradients = FLAT.clone().requires_grad_()
    got = answer(gradients, ALPHA)
    problem = difference(got, expected)
    if problem is not None:
        mistakes = {
            "You left the dead examples out: they have norm 0 and count like all others.": (
                (lengths[:3] - ALPHA) ** 2
            ).mean()
        }
        return named(got, mistakes, f"The value is not the penalty (is your ε too large?): {problem}.")
    if not got.requires_grad:
        return "The value is right, but it does not depend on the gradients any more: nothing could learn from it."
    (slope,) = torch.autograd.grad(got, gradients)
    if not slope.isfinite().all():
        return (
            "The value is right, but its slope at the dead examples is NaN: the slope of the root at zero is infinite, "
            "and infinity times zero is NaN, even where the result is replaced afterwards. Put ε under the root."
        )
    wanted = torch.zeros_like(FLAT)
    wanted[:3] = (2 / 5 * (lengths[:3] - ALPHA) / lengths[:3])[:, None] * FLAT[:3]
    problem = difference(slope, wanted)
    return None if problem is None else f"The value is right, but its slope is not: {problem}."


# --- 05.5 ----------------------------------------------------------------------------------------------------------


def mean_norm(batches: list[Tensor]) -> Tensor:
    """All norms together, then one mean: a batch counts by its number of examples."""
    return torch.cat([batch.norm(dim=1) for batch in batches]).mean()


def check_mean_norm(answer: Callable) -> str | None:
    lengths = [row.square().sum().sqrt() for batch in BATCHES for row in batch]
    expected = sum(lengths) / 9
    got = answer([batch.clone() for batch in BATCHES])
    problem = difference(got, expected)
    if problem is None:
        return None
    rows = torch.cat(BATCHES)
    mistakes = {
        "This is the mean of the batches' means: the last batch has one example and must not weigh like four.": sum(
            batch.norm(dim=1).mean() for batch in BATCHES
        )
        / 3,
        "This is the root of the mean square: take the mean of the norms.": rows.square()
        .sum(1)
        .mean()
        .sqrt(),
        "This is the norm of the mean gradient, in which directions cancel: take the mean of the norms.": rows.mean(
            dim=0
        ).norm(),
        "These are summed: divide by the number of examples.": sum(lengths),
        "One norm for each batch: take one for each example.": sum(batch.norm() for batch in BATCHES) / 9,
    }
    return named(got, mistakes, f"Not the mean norm: {problem}.")


def given_survivor(gradients, alpha, eps=1e-12):
    norms = gradients.square().sum(dim=1).sqrt() + eps
    return (norms - alpha).square().mean()


EXERCISES = (
    Exercise(
        "05.1",
        "The penalty",
        check_penalty,
        "flatten(1) makes (N, m·d); norm(dim=1) makes (N,). Then subtract, square, and take the mean.",
        penalty,
        (
            WrongAnswer(lambda g, a: (g.norm() - a) ** 2, "whole batch"),
            WrongAnswer(lambda g, a: (g.norm(dim=2) - a).square().mean(), "each column of S"),
            WrongAnswer(lambda g, a: (g.flatten(1).square().sum(1) - a).square().mean(), "squared norms"),
            WrongAnswer(lambda g, a: (g.flatten(1).norm(dim=1) - a).square().sum(), "do not add them up"),
            WrongAnswer(lambda g, a: (g.flatten(1).norm(dim=1) - a).mean(), "not squared"),
            WrongAnswer(lambda g, a: (g.flatten(1).norm(dim=1).mean() - a).square(), "cancel"),
        ),
    ),
    Exercise(
        "05.2",
        "One logit as a critic",
        check_one_logit,
        "JᵀS combines the rows of the Jacobian as the column says. Which combination leaves row c alone?",
        one_logit,
        (
            WrongAnswer(lambda n, c: one_logit(n, c).T, "This is a row"),
            WrongAnswer(lambda n, c: one_logit(n, c)[:, 0], "one dimension short"),
            WrongAnswer(lambda n, c: torch.ones(n, 1), "adds all logits up"),
            WrongAnswer(lambda n, c: torch.eye(n), "every logit by itself"),
            WrongAnswer(lambda n, c: one_logit(4, 2), "Use c and classes"),
        ),
    ),
    Exercise(
        "05.3",
        "The noise that a penalty stands for",
        check_same_noise,
        "Write ‖JᵀS‖² for S = scale · I as a multiple of ‖J‖², and compare with σ² ‖J‖².",
        same_noise,
        (
            WrongAnswer(lambda b, s: b, "the variance"),
            WrongAnswer(lambda b, s: s**2 * b, "the variance"),
            WrongAnswer(lambda b, s: b**0.5, "forgets the scale"),
            WrongAnswer(lambda b, s: (s * b) ** 0.5, "not of the scale"),
            WrongAnswer(lambda b, s: b**0.5 / s, "on the other side"),
            WrongAnswer(lambda b, s: 2.0, "Not the σ"),
        ),
    ),
    Exercise(
        "05.4",
        "Find the bug: a penalty that kills the network",
        check_survivor,
        "What is the derivative of √s at s = 0, and which expression must never be exactly 0 there?",
        survivor,
        (
            WrongAnswer(outside, "Put ε under the root"),
            WrongAnswer(clamped, "Put ε under the root"),
            WrongAnswer(where, "even where the result is replaced"),
            WrongAnswer(large, "ε too large"),
            WrongAnswer(living_only, "left the dead examples out"),
            WrongAnswer(lambda g, a: survivor(g.detach(), a), "does not depend on the gradients"),
        ),
        given=given_survivor,
    ),
    Exercise(
        "05.5",
        "The teacher's mean norm",
        check_mean_norm,
        "Collect the norms of all examples first, with torch.cat, or add up norms and numbers of examples.",
        mean_norm,
        (
            WrongAnswer(lambda b: sum(x.norm(dim=1).mean() for x in b) / len(b), "batches' means"),
            WrongAnswer(lambda b: torch.cat(b).square().sum(1).mean().sqrt(), "root of the mean square"),
            WrongAnswer(lambda b: torch.cat(b).mean(0).norm(), "directions cancel"),
            WrongAnswer(lambda b: torch.cat(b).norm(dim=1).sum(), "summed"),
            WrongAnswer(lambda b: sum(x.norm() for x in b) / 9, "One norm for each batch"),
        ),
    ),
)
