"""Exercises of chapter 02: softening, the soft-target loss, the mix, a shuffled cache, reading an interval."""

import math
from collections.abc import Callable

import torch
from scipy import stats
from torch import Tensor

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named

TEACHER = torch.tensor(
    [[6.0, 2.0, 1.0, -3.0], [0.5, 4.0, 3.5, 0.0], [-1.0, 0.0, 2.0, 5.0]], dtype=torch.float64
)
STUDENT = torch.tensor(
    [[2.0, 1.0, -1.0, 0.0], [1.0, 1.5, 3.0, -2.0], [0.0, -0.5, 1.0, 1.5]], dtype=torch.float64
)


def probabilities(logits: Tensor, temperature: float) -> Tensor:
    """The checks' own softmax, written out."""
    weights = ((logits - logits.amax(1, keepdim=True)) / temperature).exp()
    return weights / weights.sum(1, keepdim=True)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p ‖ q) of each row."""
    return (p * (p / q).log()).sum(1)


# --- 02.1 ----------------------------------------------------------------------------------------------------------


def softened(logits: Tensor, temperature: float) -> Tensor:
    """softmax(z/T) for every row of z, (N, C) → (N, C)."""
    return torch.softmax(logits / temperature, dim=1)


def check_softened(answer: Callable) -> str | None:
    got, expected = answer(TEACHER, 4.0), probabilities(TEACHER, 4.0)
    problem = difference(got, expected)
    if problem is None:
        cold = answer(TEACHER * 1e4, 1.0)
        return (
            None
            if torch.isfinite(cold).all()
            else "Right for small logits, but a logit of 10,000 overflows: use torch.softmax."
        )
    columns = (TEACHER / 4.0).exp() / (TEACHER / 4.0).exp().sum(0, keepdim=True)
    mistakes = {
        "You multiplied by the temperature: that sharpens. Divide the logits by T.": probabilities(
            TEACHER, 0.25
        ),
        "The temperature has no effect: divide the logits by T before the softmax.": probabilities(
            TEACHER, 1.0
        ),
        "Your columns sum to 1: take the softmax over the classes, dim=1, not over the examples.": columns,
        "You divided the probabilities by T: they no longer sum to 1. Divide the logits.": probabilities(
            TEACHER, 1.0
        )
        / 4,
    }
    return named(got, mistakes, f"Not softmax(z/T) for T = 4: {problem}.")


# --- 02.2 ----------------------------------------------------------------------------------------------------------


def soft_target_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(y/T) ‖ softmax(F/T)), summed over classes, averaged over examples."""
    log_q = torch.log_softmax(student_logits / temperature, dim=1)
    log_p = torch.log_softmax(teacher_logits / temperature, dim=1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def check_soft_target_loss(answer: Callable) -> str | None:
    t = 4.0
    p, q = probabilities(TEACHER, t), probabilities(STUDENT, t)
    each = t**2 * divergence(p, q)
    got = answer(STUDENT, TEACHER, t)
    problem = difference(got, each.mean())
    if problem is None:
        return None
    classes = STUDENT.shape[1]
    mistakes = {
        "Your loss is T² times too small: without the factor T² the gradient shrinks as T grows.": each.mean()
        / t**2,
        f"Your loss is {classes} times too small: you averaged over the {classes} classes too. Sum over classes, "
        'average over examples (F.kl_div calls that reduction="batchmean").': each.mean() / classes,
        "Your loss is too large: average over the examples instead of adding them up.": each.sum(),
        "The divergence is the wrong way round: it goes from the teacher's distribution to the student's, "
        "KL(teacher ‖ student).": t**2 * divergence(q, p).mean(),
        "Only the student is softened: divide the teacher's logits by T too.": t**2
        * divergence(probabilities(TEACHER, 1.0), q).mean(),
        "Only the teacher is softened: divide the student's logits by T too.": t**2
        * divergence(p, probabilities(STUDENT, 1.0)).mean(),
        "There is one softmax too many: softmax(softmax(z)) is nearly uniform. Take it once, of the logits.": t
        ** 2
        * divergence(probabilities(p, 1.0), probabilities(q, 1.0)).mean(),
        "This is the cross-entropy with the teacher's distribution: subtract the teacher's own entropy, so that "
        "equal networks have loss 0.": t**2 * -(p * q.log()).sum(1).mean(),
    }
    return named(got, mistakes, f"Not the soft-target loss at T = 4: {problem}.")


# --- 02.3 ----------------------------------------------------------------------------------------------------------


def mix(hard: Tensor, soft: Tensor, lam: float) -> Tensor:
    """(1 − λ)·hard + λ·soft."""
    return (1 - lam) * hard + lam * soft


def check_mix(answer: Callable) -> str | None:
    hard, soft = torch.tensor(2.0), torch.tensor(5.0)
    got = answer(hard, soft, 0.9)
    mistakes = {
        "λ is on the wrong side: in this course λ weights the soft targets. (Public code is divided on this.)": 2.3,
        "You added λ·soft to all of hard: the two weights should sum to 1.": 6.5,
        "You kept both losses whole: weight them with 1 − λ and λ.": 7.0,
    }
    problem = difference(got, 4.7)
    return (
        None if problem is None else named(got, mistakes, f"With hard = 2, soft = 5 and λ = 0.9: {problem}.")
    )


# --- 02.4 ----------------------------------------------------------------------------------------------------------


def shuffled_epoch(
    inputs: Tensor, labels: Tensor, teacher_logits: Tensor, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One shuffle for all three: the teacher's answers travel with their examples."""
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    return inputs[order], labels[order], teacher_logits[order]


def forgot_the_cache(inputs, labels, teacher_logits, seed):
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(seed))
    return inputs[order], labels[order], teacher_logits


def shuffled_the_cache_apart(inputs, labels, teacher_logits, seed):
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(inputs), generator=generator)
    return inputs[order], labels[order], teacher_logits[torch.randperm(len(inputs), generator=generator)]


def check_shuffled_epoch(answer: Callable) -> str | None:
    count = 50
    identity = torch.arange(count)
    result = answer(identity[:, None].float(), identity.clone(), identity[:, None].repeat(1, 3).float(), 1)
    if not isinstance(result, tuple | list) or len(result) != 3:
        return "Return three tensors: inputs, labels, teacher_logits."
    inputs, labels, logits = result
    if not torch.equal(torch.sort(labels).values, identity):
        return "Every example must appear exactly once in an epoch."
    if torch.equal(labels, identity):
        return "The epoch is not shuffled any more: keep the shuffle, and fix what it does to the teacher's answers."
    if not torch.equal(inputs[:, 0].long(), labels):
        return "Inputs and labels no longer belong together."
    if not torch.equal(logits[:, 0].long(), labels):
        wrong = int((logits[:, 0].long() != labels).sum())
        return f"{wrong} of {count} examples are given the teacher's answer to another example: one order for all."
    return None


# --- 02.5 ----------------------------------------------------------------------------------------------------------


def interval_of_difference(soft: list[float], hard: list[float]) -> tuple[float, float]:
    """95 % interval of the mean paired difference soft − hard."""
    differences = [a - b for a, b in zip(soft, hard, strict=True)]
    n = len(differences)
    mean = sum(differences) / n
    spread = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1))
    half = stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n)
    return mean - half, mean + half


def half_width_without_root(soft, hard):
    differences = torch.tensor(soft) - torch.tensor(hard)
    half = 2.776 * differences.std().item()
    return differences.mean().item() - half, differences.mean().item() + half


def normal_interval(soft, hard):
    differences = torch.tensor(soft, dtype=torch.float64) - torch.tensor(hard, dtype=torch.float64)
    half = 1.96 * differences.std().item() / math.sqrt(len(soft))
    return differences.mean().item() - half, differences.mean().item() + half


def unpaired_interval(soft, hard):
    result = stats.ttest_ind(soft, hard).confidence_interval()
    return float(result.low), float(result.high)


def check_interval(answer: Callable) -> str | None:
    # Seeds differ much more than methods: only the pairing shows the difference.
    hard, soft = [70.0, 80.0, 60.0, 90.0, 75.0], [72.0, 81.0, 63.0, 91.0, 78.0]
    got = answer(soft, hard)
    if not isinstance(got, tuple | list) or len(got) != 2:
        return "Return two numbers, (low, high)."
    pair = torch.tensor([float(value) for value in got], dtype=torch.float64)
    low, high = stats.ttest_rel(soft, hard).confidence_interval()

    def equals(low: float, high: float) -> bool:
        return difference(pair, torch.tensor([low, high]), tolerance=2e-3) is None

    if equals(low, high):
        return None
    if equals(-high, -low):
        return "The sign is reversed: take soft − hard, so that a gain is positive."
    if equals(*half_width_without_root(soft, hard)):
        return (
            "Your interval says how much single runs differ. Divide by √n for the uncertainty of their mean."
        )
    if equals(*normal_interval(soft, hard)):
        return "1.96 is right for very many seeds. For five, take Student's t: stats.t.ppf(0.975, 4) = 2.776."
    if equals(*unpaired_interval(soft, hard)):
        return "You compared two independent groups. The seeds are paired, so take the differences first."
    return f"Not the 95 % interval of the mean difference: got ({pair[0]:.3f}, {pair[1]:.3f})."


EXERCISES = (
    Exercise(
        id="02.1",
        title="Soften a distribution",
        check=check_softened,
        hint="Divide the logits by T, then take torch.softmax over the classes, dim=1.",
        solution=softened,
        wrong_answers=(
            WrongAnswer(lambda z, t: torch.softmax(z * t, dim=1), "multiplied"),
            WrongAnswer(lambda z, t: torch.softmax(z, dim=1), "no effect"),
            WrongAnswer(lambda z, t: torch.softmax(z / t, dim=0), "columns sum to 1"),
            WrongAnswer(lambda z, t: torch.softmax(z, dim=1) / t, "no longer sum to 1"),
            WrongAnswer(lambda z, t: (z / t).exp() / (z / t).exp().sum(1, keepdim=True), "overflows"),
            WrongAnswer(lambda z, t: torch.softmax(z / t**2, dim=1), "Not softmax"),
            WrongAnswer(lambda z, t: 5, "Not softmax"),
        ),
    ),
    Exercise(
        id="02.2",
        title="Build the soft-target loss",
        check=check_soft_target_loss,
        hint="log p and log q: torch.log_softmax of logits/T. Sum p·(log p − log q) over dim=1; mean; times T².",
        solution=soft_target_loss,
        wrong_answers=(
            WrongAnswer(lambda s, y, t: soft_target_loss(s, y, t) / t**2, "T² times too small"),
            WrongAnswer(lambda s, y, t: soft_target_loss(s, y, t) / s.shape[1], "4 times too small"),
            WrongAnswer(lambda s, y, t: len(s) * soft_target_loss(s, y, t), "average over the examples"),
            WrongAnswer(lambda s, y, t: soft_target_loss(y, s, t), "wrong way round"),
            WrongAnswer(lambda s, y, t: soft_target_loss(s, y * t, t), "Only the student is softened"),
            WrongAnswer(lambda s, y, t: soft_target_loss(s * t, y, t), "Only the teacher is softened"),
            WrongAnswer(
                lambda s, y, t: soft_target_loss(t * torch.softmax(s / t, 1), t * torch.softmax(y / t, 1), t),
                "softmax too many",
            ),
            WrongAnswer(
                lambda s, y, t: (
                    -(t**2) * (torch.softmax(y / t, 1) * torch.log_softmax(s / t, 1)).sum(1).mean()
                ),
                "own entropy",
            ),
            WrongAnswer(lambda s, y, t: ((s - y) ** 2).sum(1).mean(), "Not the soft-target loss"),
            WrongAnswer(lambda s, y: 0.0, "stopped with TypeError"),
        ),
    ),
    Exercise(
        id="02.3",
        title="Which side has λ?",
        check=check_mix,
        hint="λ = 0 must give the hard loss alone, λ = 1 the soft loss alone.",
        solution=mix,
        wrong_answers=(
            WrongAnswer(lambda h, s, lam: lam * h + (1 - lam) * s, "wrong side"),
            WrongAnswer(lambda h, s, lam: h + lam * s, "sum to 1"),
            WrongAnswer(lambda h, s, lam: h + s, "kept both"),
            WrongAnswer(lambda h, s, lam: h, "it is 2"),
        ),
    ),
    Exercise(
        id="02.4",
        title="Find the bug: the shuffled cache",
        check=check_shuffled_epoch,
        hint="Print which example each of the returned answers belongs to. All three need the same order.",
        solution=shuffled_epoch,
        wrong_answers=(
            WrongAnswer(shuffled_the_cache_apart, "one order for all"),
            WrongAnswer(lambda x, c, y, seed: (x, c, y), "not shuffled any more"),
            WrongAnswer(lambda x, c, y, seed: (x[:10], c[:10], y[:10]), "exactly once"),
            WrongAnswer(lambda x, c, y, seed: (x, c.flip(0), y), "no longer belong together"),
            WrongAnswer(lambda x, c, y, seed: x, "three tensors"),
        ),
        given=forgot_the_cache,
    ),
    Exercise(
        id="02.5",
        title="The interval of the mean difference",
        check=check_interval,
        hint="Take the differences seed by seed, then mean ± t · sd/√n with t = stats.t.ppf(0.975, n − 1).",
        solution=interval_of_difference,
        wrong_answers=(
            WrongAnswer(
                lambda s, h: tuple(-v for v in reversed(interval_of_difference(s, h))), "sign is reversed"
            ),
            WrongAnswer(half_width_without_root, "Divide by √n"),
            WrongAnswer(normal_interval, "Student's t"),
            WrongAnswer(unpaired_interval, "seeds are paired"),
            WrongAnswer(lambda s, h: 2.0, "two numbers"),
            WrongAnswer(lambda s, h: (0.0, 1.0), "Not the 95 %"),
        ),
    ),
)
