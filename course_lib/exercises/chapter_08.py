"""Exercises of chapter 08: smoothed targets, permuted knowledge, a teacher that learns, a Pareto front, a bias."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named, rand

LABELS = torch.tensor([2, 0, 3])
STUDENT, TEACHER = rand(5, 3, seed=1), rand(5, 3, seed=2)
# Network 1 is beaten by 0 at the same size, 4 by 3 with the same accuracy, 5 by 3 on both counts.
SIZES, ACCURACIES = [10, 10, 5, 40, 60, 50], [90.0, 89.0, 80.0, 95.0, 95.0, 94.0]

# --- 08.1 ----------------------------------------------------------------------------------------------------------


def smoothed(labels: Tensor, classes: int, epsilon: float) -> Tensor:
    """Most of the weight stays on the label, the rest is spread over all classes, the label's included."""
    return (1 - epsilon) * F.one_hot(labels, classes) + epsilon / classes


def check_smoothed(answer: Callable) -> str | None:
    expected = torch.full((3, 4), 0.05, dtype=torch.float64)
    for row, label in enumerate(LABELS.tolist()):
        expected[row, label] = 0.85
    got = answer(LABELS, 4, 0.2)
    problem = difference(got, expected)
    if problem is None:
        return None
    hard = F.one_hot(LABELS, 4).double()
    mistakes = {
        "You spread ε over the other classes alone; the usual definition gives every class ε/C, the label's too.": 0.8
        * hard
        + 0.2 / 3 * (1 - hard),
        "Rows sum to 1.2: take ε away from the label as well.": hard + 0.05,
        "Rows do not sum to one: every class gets ε/C, not ε.": 0.8 * hard + 0.2,
        "These are the hard labels.": hard,
        "The label keeps ε here, and the classes share 1 − ε.": 0.2 * hard + 0.8 / 4,
    }
    return named(got, mistakes, f"Not (1 − ε)·onehot + ε/C: {problem}.")


# --- 08.2 ----------------------------------------------------------------------------------------------------------


def permuted(probabilities: Tensor, seed: int) -> Tensor:
    """In each row the largest stays in its place, and the others change places among themselves."""
    generator = torch.Generator().manual_seed(seed)
    mixed = probabilities.clone()
    for row in mixed:
        top = int(row.argmax())
        rest = torch.tensor([place for place in range(len(row)) if place != top])
        row[rest] = row[rest[torch.randperm(len(rest), generator=generator)]]
    return mixed


def one_order(probabilities, seed):
    """The same places change in every row whose largest is in one place."""
    order = torch.randperm(probabilities.shape[1] - 1, generator=torch.Generator().manual_seed(seed))
    mixed = probabilities.clone()
    for row in mixed:
        rest = torch.cat([torch.arange(int(row.argmax())), torch.arange(int(row.argmax()) + 1, len(row))])
        row[rest] = row[rest[order]]
    return mixed


def spread_evenly(probabilities, seed):
    top, place = probabilities.max(dim=1, keepdim=True)
    return ((1 - top) / (probabilities.shape[1] - 1)).expand_as(probabilities).scatter(1, place, top)


def check_permuted(answer: Callable) -> str | None:
    given = rand(40, 10, seed=3).softmax(dim=1)
    given[1::2] = given[::2]  # equal answers, to tell one permutation for all from one for each
    got = answer(given, 5)
    if not isinstance(got, Tensor) or got.shape != given.shape:
        came = tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__
        return f"Return probabilities of the same shape, {tuple(given.shape)}, not {came}."
    if torch.equal(got, given):
        return "Nothing has changed places."
    if not torch.allclose(got.sort(dim=1).values, given.sort(dim=1).values):
        if torch.allclose(got.amax(dim=1), given.amax(dim=1)):
            return "Only the largest number of each row is still there: permute the others, do not make new ones."
        return "A row no longer holds the same numbers: let numbers change places within their row only."
    if not torch.equal(got.argmax(dim=1), given.argmax(dim=1)):
        return "The largest number has moved, too: the control must keep the teacher's choice."
    if torch.equal(got[1::2], got[::2]):
        return "Equal rows are still equal: every example needs a permutation of its own."
    return None


# --- 08.3 ----------------------------------------------------------------------------------------------------------


def teach(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """The teacher's answer is a constant: nothing flows back to it."""
    log_q = torch.log_softmax(student_logits, dim=1)
    log_p = torch.log_softmax(teacher_logits.detach(), dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def both_learn(student, teacher):
    log_q, log_p = torch.log_softmax(student, dim=1), torch.log_softmax(teacher, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


def half_detached(student, teacher):
    log_q, log_p = torch.log_softmax(student, dim=1), torch.log_softmax(teacher, dim=1)
    return (log_p.exp().detach() * (log_p - log_q)).sum(dim=1).mean()


def check_teach(answer: Callable) -> str | None:
    p, q = TEACHER.softmax(dim=1), STUDENT.softmax(dim=1)
    expected = (p * (p / q).log()).sum() / 5
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    got = answer(student, teacher)
    problem = difference(got, expected)
    if problem is not None:
        mistakes = {
            "This is the divergence the other way round, from the student to the teacher.": (
                q * (q / p).log()
            ).sum()
            / 5,
            "You averaged over the classes, too: sum over them.": expected / 3,
            "Average over the 5 examples, do not add them up.": expected * 5,
        }
        return named(got, mistakes, f"The value was right before: {problem}.")
    if not got.requires_grad:
        return "Now nobody learns: the value no longer depends on the student's logits."
    to_student, to_teacher = torch.autograd.grad(got, (student, teacher), allow_unused=True)
    if to_teacher is not None and to_teacher.abs().max() > 0:
        return "The teacher still learns from the student: cut it out of the graph with detach()."
    if to_student is None:
        return "Now the student does not learn: it is the teacher whose logits are a constant."
    problem = difference(to_student, (q - p) / 5)
    return (
        None
        if problem is None
        else f"The value is right, but its gradient with respect to the student's logits is not: {problem}."
    )


# --- 08.4 ----------------------------------------------------------------------------------------------------------


def pareto(sizes: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """All positions that no other network dominates."""

    def dominates(a: int, b: int) -> bool:
        no_worse = sizes[a] <= sizes[b] and accuracies[a] >= accuracies[b]
        return no_worse and (sizes[a] < sizes[b] or accuracies[a] > accuracies[b])

    everyone = range(len(sizes))
    return [b for b in everyone if not any(dominates(a, b) for a in everyone)]


def strict_only(sizes, accuracies):
    return [
        b
        for b in range(len(sizes))
        if not any(sizes[a] < sizes[b] and accuracies[a] > accuracies[b] for a in range(len(sizes)))
    ]


def beats_itself(sizes, accuracies):
    return [
        b
        for b in range(len(sizes))
        if not any(sizes[a] <= sizes[b] and accuracies[a] >= accuracies[b] for a in range(len(sizes)))
    ]


def check_pareto(answer: Callable) -> str | None:
    got = answer(list(SIZES), list(ACCURACIES))
    try:
        positions = [int(value) for value in got]
    except TypeError:
        return f"Return a list of positions, not a {type(got).__name__}."
    if positions == [0, 2, 3]:
        twins = [int(value) for value in answer([5, 5], [80.0, 80.0])]
        return (
            None
            if twins == [0, 1]
            else "Two equal networks do not dominate each other: both stay on the front."
        )
    if not positions:
        return "Every network seems to dominate itself: one that dominates must be better in size or in accuracy."
    if sorted(positions) == [0, 2, 3]:
        return "The right networks; give their positions in increasing order."
    if positions == [0, 1, 2, 3, 4]:
        return "A network that is as large and less accurate, or as accurate and larger, is dominated, too."
    if positions == [2]:
        return "This is the smallest network alone."
    if positions == [3]:
        return (
            "This is the most accurate network alone: a smaller one with less accuracy can be on the front."
        )
    if sorted(set(range(6)) - set(positions)) == [0, 2, 3]:
        return "These are the dominated networks: return the others."
    return f"Of sizes {SIZES} and accuracies {ACCURACIES} the front is [0, 2, 3], not {positions}."


# --- 08.5 ----------------------------------------------------------------------------------------------------------


def smallest_within(
    sizes: Sequence[float], accuracies: Sequence[float], teacher: float, tolerance: float
) -> int:
    """The smallest of those that lose at most the tolerance."""
    good = [i for i, accuracy in enumerate(accuracies) if accuracy >= teacher - tolerance]
    return min(good, key=lambda i: sizes[i], default=-1)


def check_smallest(answer: Callable) -> str | None:
    sizes, accuracies = [100, 50, 20, 10, 5], [98.5, 97.0, 97.2, 96.0, 90.0]
    got = answer(sizes, accuracies, 98.0, 2.0)
    if isinstance(got, bool) or not isinstance(got, int):
        return f"Return a position, an integer, not a {type(got).__name__}."
    if got != 3:
        return {
            4: "This is the smallest network of all, whatever it loses.",
            0: "This is the most accurate network: a smaller one will do.",
            2: "Exactly `tolerance` points below the teacher is still within it.",
            10: "This is a size: return the position.",
        }.get(
            got,
            f"With a teacher of 98 and a tolerance of 2, {accuracies} of sizes {sizes} give 3, not {got}.",
        )
    if answer(sizes, accuracies, 99.9, 0.5) != -1:
        return "Where no network is good enough, return -1."
    if answer([5, 20], [97.0, 98.0], 98.0, 2.0) != 0:
        return "The list need not be sorted by size: look for the smallest."
    return None


# --- 08.6 ----------------------------------------------------------------------------------------------------------

# Class 2 was left out. Added 2, it wins two of its three images; added 4, all three, and two images of class 0 as well.
BIAS_LOGITS = torch.tensor(
    [
        *([1.0, 0.0, -0.5], [0.0, 1.0, 0.0], [3.0, 0.0, -0.25]),
        *([2.0, 0.0, -1.0], [0.0, 5.0, -2.0], [4.0, 0.0, -3.0], [2.25, 0.0, -0.75]),
    ],
    dtype=torch.float64,
)
BIAS_LABELS = torch.tensor([2, 2, 2, 0, 1, 0, 0])
CANDIDATES = [0.0, 1.25, 2.0, 2.5, 4.0, 9.0]


def best_bias(logits: Tensor, labels: Tensor, class_index: int, candidates: Sequence[float]) -> float:
    """Tried on all images, not only on those of the class; of equally good numbers the smallest."""

    def right(bias: float) -> int:
        raised = logits.clone()
        raised[:, class_index] += bias
        return int((raised.argmax(dim=1) == labels).sum())

    return max(sorted(candidates), key=right)


def of_the_class_alone(logits, labels, class_index, candidates):
    own = labels == class_index
    return best_bias(logits[own], labels[own], class_index, candidates)


def in_place(logits, labels, class_index, candidates):
    scores = []
    for bias in candidates:
        logits[:, class_index] += bias
        scores.append(int((logits.argmax(dim=1) == labels).sum()))
    return candidates[max(range(len(scores)), key=scores.__getitem__)]


def to_all_classes(logits, labels, class_index, candidates):
    return max(candidates, key=lambda bias: int(((logits + bias).argmax(dim=1) == labels).sum()))


def last_of_the_best(logits, labels, class_index, candidates):
    best = best_bias(logits, labels, class_index, candidates)
    raised = [bias for bias in candidates if bias >= best]
    return best_bias(logits, labels, class_index, [raised[1]]) if len(raised) > 1 else best


def check_bias(answer: Callable) -> str | None:
    got = answer(BIAS_LOGITS.clone(), BIAS_LABELS, 2, list(CANDIDATES))
    if isinstance(got, bool) or not isinstance(got, int | float | Tensor):
        return f"Return one of the candidates, a number, not a {type(got).__name__}."
    got = float(got)
    if got == 2.0:
        # Where all numbers are equally good, none must be added; and the order of the list must not matter.
        if float(answer(BIAS_LOGITS.clone(), BIAS_LABELS, 2, CANDIDATES[::-1])) != 2.0:
            return "With the candidates in another order the answer changes: among equals take the smallest."
        return None
    return {
        0.0: "With nothing added no image of class 2 is recognised: add the number to the logit of that class alone.",
        1.25: "Not the best: images of class 2 are still missing. Does each trial start from the same logits?",
        2.5: "2 and 2.5 are equally good here: among equals take the smallest.",
        9.0: "With 9 everything is class 2: count the right answers to all images.",
        4.0: "With 4 two images of class 0 are lost: count the right answers to all images.",
    }.get(got, f"Of the candidates {CANDIDATES} the best is 2, not {got:g}.")


def given_teach(student_logits, teacher_logits):
    log_q = torch.log_softmax(student_logits, dim=1)
    log_p = torch.log_softmax(teacher_logits, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()


EXERCISES = (
    Exercise(
        "08.1",
        "Smoothed labels",
        check_smoothed,
        "F.one_hot(labels, classes) makes (N, C). Scale it, then add the same small number everywhere.",
        smoothed,
        (
            WrongAnswer(
                lambda c, n, e: (1 - e) * F.one_hot(c, n) + e / (n - 1) * (1 - F.one_hot(c, n)), "alone"
            ),
            WrongAnswer(lambda c, n, e: F.one_hot(c, n) + e / n, "Rows sum to 1.2"),
            WrongAnswer(lambda c, n, e: (1 - e) * F.one_hot(c, n) + e, "not ε"),
            WrongAnswer(lambda c, n, e: F.one_hot(c, n).double(), "hard labels"),
            WrongAnswer(lambda c, n, e: e * F.one_hot(c, n) + (1 - e) / n, "keeps ε"),
        ),
    ),
    Exercise(
        "08.2",
        "Permuted dark knowledge",
        check_permuted,
        "Row by row: find argmax, list the other places, and let torch.randperm reorder what is there.",
        permuted,
        (
            WrongAnswer(lambda p, seed: p, "Nothing has changed"),
            WrongAnswer(one_order, "permutation of its own"),
            WrongAnswer(spread_evenly, "do not make new ones"),
            WrongAnswer(
                lambda p, seed: torch.stack([row[torch.randperm(len(row))] for row in p]), "has moved, too"
            ),
            WrongAnswer(lambda p, seed: p.flip(0), "within their row"),
            WrongAnswer(lambda p, seed: p[0], "of the same shape"),
        ),
    ),
    Exercise(
        "08.3",
        "Find the bug: a teacher that gets worse",
        check_teach,
        "Whose weights does an optimiser change when both networks are part of the graph? See Tensor.detach.",
        teach,
        (
            WrongAnswer(both_learn, "teacher still learns"),
            WrongAnswer(half_detached, "teacher still learns"),
            WrongAnswer(lambda s, t: both_learn(s.detach(), t.detach()), "nobody learns"),
            WrongAnswer(lambda s, t: both_learn(s.detach(), t), "teacher still learns"),
            WrongAnswer(lambda s, t: teach(t, s), "other way round"),
            WrongAnswer(lambda s, t: teach(s, t) / 3, "averaged over the classes"),
        ),
        given=given_teach,
    ),
    Exercise(
        "08.4",
        "The Pareto front",
        check_pareto,
        "For every network ask whether any other one dominates it: no larger, no less accurate, and not equal in both.",
        pareto,
        (
            WrongAnswer(strict_only, "is dominated, too"),
            WrongAnswer(beats_itself, "dominate itself"),
            WrongAnswer(lambda s, a: [s.index(min(s))], "smallest network alone"),
            WrongAnswer(lambda s, a: [a.index(max(a))], "most accurate network alone"),
            WrongAnswer(
                lambda s, a: [i for i in range(len(s)) if i not in pareto(s, a)], "dominated networks"
            ),
            WrongAnswer(lambda s, a: pareto(s, a)[::-1], "increasing order"),
        ),
    ),
    Exercise(
        "08.5",
        "The smallest network that will do",
        check_smallest,
        "First the list of those that are good enough, then the smallest of them: min with key and default.",
        smallest_within,
        (
            WrongAnswer(lambda s, a, t, tol: s.index(min(s)), "smallest network of all"),
            WrongAnswer(lambda s, a, t, tol: a.index(max(a)), "most accurate"),
            WrongAnswer(
                lambda s, a, t, tol: min(
                    (i for i in range(len(s)) if a[i] > t - tol), key=lambda i: s[i], default=-1
                ),
                "still within it",
            ),
            WrongAnswer(lambda s, a, t, tol: s[smallest_within(s, a, t, tol)], "return the position"),
            WrongAnswer(lambda s, a, t, tol: max(smallest_within(s, a, t, tol), 0), "return -1"),
            WrongAnswer(
                lambda s, a, t, tol: max((i for i in range(len(s)) if a[i] >= t - tol), default=-1),
                "not be sorted",
            ),
        ),
    ),
    Exercise(
        "08.6",
        "A bias for the missing class",
        check_bias,
        "For each candidate copy the logits, add it to one column, count the right answers; then max(..., key=...).",
        best_bias,
        (
            WrongAnswer(lambda z, y, c, b: best_bias(z[y != c], y[y != c], c, b), "nothing added"),
            WrongAnswer(to_all_classes, "class alone"),
            WrongAnswer(last_of_the_best, "among equals take the smallest"),
            WrongAnswer(lambda z, y, c, b: max(b), "everything is class 2"),
            WrongAnswer(of_the_class_alone, "images of class 0 are lost"),
            WrongAnswer(in_place, "same logits"),
            WrongAnswer(lambda z, y, c, b: [best_bias(z, y, c, b)], "a number"),
        ),
    ),
)
