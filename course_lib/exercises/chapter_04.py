"""Exercises of chapter 04: JᵀS, Hutchinson's estimate, matching, slopes from noise, a term that teaches nothing."""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named, rand

WEIGHT, S, X = rand(3, 4, seed=1), rand(3, 2, seed=2), rand(5, 4, seed=3)
STUDENT, TEACHER = rand(5, 2, 4, seed=4), rand(5, 2, 4, seed=5)
HERE, PLUS, MINUS, SIGMA = rand(5, 3, seed=7), rand(5, 3, seed=8), rand(5, 3, seed=9), 0.3
COLUMNS, SIGNS = rand(2, 4, seed=6), torch.tensor([1.0, -1.0], dtype=torch.float64)

# --- 04.1 ----------------------------------------------------------------------------------------------------------


def linear_soft_gradient(weight: Tensor, soft_matrix: Tensor) -> Tensor:
    """F(x) = W x has the Jacobian W for every x, so JᵀS = Wᵀ S."""
    return weight.T @ soft_matrix


def check_linear(answer: Callable) -> str | None:
    expected = torch.stack([sum(WEIGHT[c] * S[c, m] for c in range(3)) for m in range(2)], dim=1)  # (4, 2)
    problem = difference(answer(WEIGHT, S), expected)
    if problem is None:
        return None
    mistakes = {
        "This is Sᵀ J, the transpose: JᵀS has a row for each input and a column for each column of S.": expected.T,
        "This is the Jacobian itself: combine its rows with the columns of S.": WEIGHT,
        "This is Jᵀ without S: combine the logits as the columns of S say.": WEIGHT.T,
    }
    return named(answer(WEIGHT, S), mistakes, f"Not JᵀS: {problem}.")


# --- 04.2 ----------------------------------------------------------------------------------------------------------


def one_probe(columns: Tensor, signs: Tensor) -> Tensor:
    """‖Σ_m v_m g_m‖², one draw of Hutchinson's estimate of Σ_m ‖g_m‖²."""
    return (signs[:, None] * columns).sum(dim=0).square().sum()


def check_one_probe(answer: Callable) -> str | None:
    combined = COLUMNS[0] - COLUMNS[1]
    got = answer(COLUMNS, SIGNS)
    problem = difference(got, (combined**2).sum())
    if problem is None:
        return None
    mistakes = {
        "This is the exact value, a square for each column: combine the columns first, then square.": (
            COLUMNS**2
        ).sum(),
        "The signs have no effect: multiply each column by its sign.": ((COLUMNS[0] + COLUMNS[1]) ** 2).sum(),
        "Square the entries of the combination and sum: a norm without the square is not unbiased.": combined.norm(),
        "You averaged over the features: sum them.": (combined**2).mean(),
    }
    return named(got, mistakes, f"Not ‖v₁g₁ + v₂g₂‖² for v = (1, −1): {problem}.")


# --- 04.3 ----------------------------------------------------------------------------------------------------------


def flatness(weight: Tensor, x: Tensor, column: Tensor) -> Tensor:
    """The literal term of one column for F(x) = tanh(W x), in a graph that can be differentiated again."""
    x = x.detach().requires_grad_()
    logits = torch.tanh(x @ weight.T)
    (gradient,) = torch.autograd.grad((logits @ column).sum(), x, create_graph=True)
    return gradient.square().sum(dim=1).mean()


def without_graph(weight, x, column):
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad((torch.tanh(x @ weight.T) @ column).sum(), x)
    return gradient.square().sum(dim=1).mean()


def detached(weight, x, column):
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad((torch.tanh(x @ weight.T) @ column).sum(), x, create_graph=True)
    return gradient.detach().square().sum(dim=1).mean()


def of_the_batch(weight, x, column):
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad((torch.tanh(x @ weight.T) @ column).sum(), x, create_graph=True)
    return gradient.sum(dim=0).square().sum() / len(x)


def mean_first(weight, x, column):
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad((torch.tanh(x @ weight.T) @ column).mean(), x, create_graph=True)
    return gradient.square().sum(dim=1).mean()


def check_flatness(answer: Callable) -> str | None:
    weight, column = WEIGHT.clone().requires_grad_(), S[:, 0]
    slopes = 1 - torch.tanh(X @ weight.T) ** 2  # (N, C)
    gradients = (slopes * column) @ weight  # (N, d), in closed form
    expected = (gradients**2).sum(dim=1).mean()
    got = answer(weight, X, column)
    problem = difference(got, expected.detach())
    if problem is not None:
        mistakes = {
            "The examples are mixed: square every example's gradient before you take the mean.": (
                gradients.sum(dim=0) ** 2
            )
            .sum()
            .detach()
            / 5,
            "You differentiate the mean over the batch, so that every gradient is N times too small: differentiate the "
            "sum; each example's part of it depends on that example alone.": expected.detach() / 25,
        }
        return named(got, mistakes, f"The value is not the literal term: {problem}.")
    if not got.requires_grad:
        return (
            "The value is right, but it teaches nothing: it no longer depends on the weights. Keep the graph of "
            "the gradient with create_graph=True."
        )
    (found,) = torch.autograd.grad(got, weight)
    (wanted,) = torch.autograd.grad(expected, weight)
    problem = difference(found, wanted)
    return (
        None
        if problem is None
        else f"The value is right, but its gradient with respect to the weights is not: {problem}."
    )


# --- 04.4 ----------------------------------------------------------------------------------------------------------


def matching(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared distance of the gradients, sum over columns and features, mean over examples."""
    return (student - teacher).square().flatten(1).sum(dim=1).mean()


def check_matching(answer: Callable) -> str | None:
    total = sum(((a - b) ** 2).sum() for a, b in zip(STUDENT, TEACHER, strict=True))
    got = answer(STUDENT, TEACHER)
    problem = difference(got, total / 5)
    if problem is None:
        return None
    mistakes = {
        "Average over the 5 examples, do not add them up.": total,
        "You averaged over columns and features too: sum over them, average over examples only.": total / 40,
        "You averaged over the columns of S too: sum over them.": total / 10,
        "The teacher plays no part in it: this is the literal reading.": (STUDENT**2).sum() / 5,
        "Square the differences: this is the mean norm.": sum(
            ((a - b) ** 2).sum() ** 0.5 for a, b in zip(STUDENT, TEACHER, strict=True)
        )
        / 5,
    }
    return named(got, mistakes, f"Not 1/N Σ ‖G_s − G_t‖²: {problem}.")


# --- 04.5 ----------------------------------------------------------------------------------------------------------


def slopes_from_noise(here: Tensor, plus: Tensor, minus: Tensor, sigma: float) -> Tensor:
    """What noise adds to the mean squared difference, over σ²."""

    def size(difference: Tensor) -> Tensor:
        return difference.square().sum(dim=1).mean()

    return ((size(plus) + size(minus)) / 2 - size(here)) / sigma**2


def check_noise(answer: Callable) -> str | None:
    h, p, m = (sum((row**2).sum() for row in rows) / 5 for rows in (HERE, PLUS, MINUS))
    middle = ((PLUS + MINUS) / 2 - HERE) ** 2
    expected = ((p + m) / 2 - h) / SIGMA**2
    got = answer(HERE, PLUS, MINUS, SIGMA)
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "The variance of the noise is σ²: divide by σ².": ((p + m) / 2 - h) / SIGMA,
        "Subtract the distance without noise.": (p + m) / 2 / SIGMA**2,
        "Average the distances at x + ε and x − ε, do not add them up.": (p + m - h) / SIGMA**2,
        "You averaged over the classes: sum over classes, average over examples.": expected / 3,
        "Average over the 5 examples, do not add them up.": 5 * expected,
        "Square first, then average: the difference at x + ε and that at x − ε must not cancel.": middle.sum()
        / 5
        / SIGMA**2,
    }
    return named(got, mistakes, f"Not what noise adds, over σ²: {problem}.")


def sized(rows: Tensor) -> Tensor:
    return rows.square().sum(dim=1).mean()


def given_flatness(weight, x, column):
    x = x.detach().requires_grad_()
    logits = torch.tanh(x @ weight.T)
    (gradient,) = torch.autograd.grad((logits @ column).sum(), x)
    return gradient.square().sum(dim=1).mean()


EXERCISES = (
    Exercise(
        "04.1",
        "JᵀS of a linear network",
        check_linear,
        "The Jacobian of W x is W, of shape (C, d). Transpose it, then multiply by S of shape (C, m).",
        linear_soft_gradient,
        (
            WrongAnswer(lambda w, s: s.T @ w, "the transpose"),
            WrongAnswer(lambda w, s: w, "the Jacobian itself"),
            WrongAnswer(lambda w, s: w.T, "without S"),
            WrongAnswer(lambda w, s: w @ s, "stopped with"),
        ),
    ),
    Exercise(
        "04.2",
        "One probe of Hutchinson's estimator",
        check_one_probe,
        "Multiply column m by its sign, add the columns up, then square and sum the entries.",
        one_probe,
        (
            WrongAnswer(lambda g, v: g.square().sum(), "the exact value"),
            WrongAnswer(lambda g, v: g.sum(0).square().sum(), "signs have no effect"),
            WrongAnswer(lambda g, v: (v[:, None] * g).sum(0).norm(), "norm without the square"),
            WrongAnswer(lambda g, v: (v[:, None] * g).sum(0).square().mean(), "averaged over the features"),
            WrongAnswer(lambda g, v: (v[:, None] * g).square().sum(), "the exact value"),
        ),
    ),
    Exercise(
        "04.3",
        "Find the bug: a gradient term that teaches nothing",
        check_flatness,
        "What does autograd keep of a gradient unless it is told to? See the arguments of torch.autograd.grad.",
        flatness,
        (
            WrongAnswer(without_graph, "create_graph=True"),
            WrongAnswer(detached, "teaches nothing"),
            WrongAnswer(of_the_batch, "The examples are mixed"),
            WrongAnswer(mean_first, "N times too small"),
        ),
        given=given_flatness,
    ),
    Exercise(
        "04.4",
        "The matching loss",
        check_matching,
        "Both are (N, m, d). Square the difference, sum over the last two dimensions, average over the first.",
        matching,
        (
            WrongAnswer(lambda s, t: (s - t).square().sum(), "do not add them up"),
            WrongAnswer(lambda s, t: (s - t).square().mean(), "columns and features too"),
            WrongAnswer(lambda s, t: (s - t).square().sum(2).mean(), "averaged over the columns"),
            WrongAnswer(lambda s, t: s.square().flatten(1).sum(1).mean(), "literal reading"),
            WrongAnswer(lambda s, t: (s - t).flatten(1).norm(dim=1).mean(), "mean norm"),
        ),
    ),
    Exercise(
        "04.5",
        "Slopes from noise",
        check_noise,
        "Three numbers: the mean squared length of the differences at x + ε, at x − ε and at x.",
        slopes_from_noise,
        (
            WrongAnswer(lambda h, p, m, s: ((sized(p) + sized(m)) / 2 - sized(h)) / s, "divide by σ²"),
            WrongAnswer(lambda h, p, m, s: (sized(p) + sized(m)) / 2 / s**2, "without noise"),
            WrongAnswer(lambda h, p, m, s: (sized(p) + sized(m) - sized(h)) / s**2, "do not add them up"),
            WrongAnswer(
                lambda h, p, m, s: ((p.square() + m.square()) / 2 - h.square()).mean() / s**2,
                "over the classes",
            ),
            WrongAnswer(
                lambda h, p, m, s: ((p.square() + m.square()) / 2 - h.square()).sum() / s**2, "5 examples"
            ),
            WrongAnswer(lambda h, p, m, s: sized((p + m) / 2 - h) / s**2, "Square first"),
        ),
    ),
)
