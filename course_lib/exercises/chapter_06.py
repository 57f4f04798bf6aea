"""Exercises of chapter 06: the split, who sees what, a norm over too much, a safe angle, radii of other dimensions."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named

STUDENT = torch.tensor(
    [[3.0, 0.0, 4.0], [1.0, -2.0, 2.0], [0.0, 0.5, -1.2], [-6.0, 2.0, 3.0]], dtype=torch.float64
)
TEACHER = torch.tensor(
    [[1.0, 2.0, 2.0], [-2.0, 4.0, 4.0], [0.3, 0.4, 1.2], [0.0, 5.0, -12.0]], dtype=torch.float64
)


def length(row: list[float]) -> float:
    """The checks' own norm, in plain Python."""
    return math.sqrt(sum(value * value for value in row))


def cosine(first: list[float], second: list[float]) -> float:
    product = sum(a * b for a, b in zip(first, second, strict=True))
    return product / (length(first) * length(second))


def pairs() -> list[tuple[float, float, float]]:
    """(r_s, r_t, cos θ) of every example."""
    rows = zip(STUDENT.tolist(), TEACHER.tolist(), strict=True)
    return [(length(s), length(t), cosine(s, t)) for s, t in rows]


def column(values) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float64)


# --- 06.1 ----------------------------------------------------------------------------------------------------------


def split(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """(r_s − r_t)² and 2 r_s r_t (1 − cos θ) of every example, (N, d) → (N,) and (N,)."""
    r_s, r_t = student.norm(dim=1), teacher.norm(dim=1)
    dot = (student * teacher).sum(dim=1)  # r_s r_t cos θ
    return (r_s - r_t) ** 2, 2 * (r_s * r_t - dot)


def check_split(answer: Callable) -> str | None:
    got = answer(STUDENT, TEACHER)
    if not isinstance(got, tuple | list) or len(got) != 2:
        return "Return two tensors: the radius parts and the angle parts, each (N,)."
    known = pairs()
    radius = column((a - b) ** 2 for a, b, _ in known)
    angle = column(2 * a * b * (1 - c) for a, b, c in known)
    problem = difference(got[0], radius)
    if problem is not None:
        mistakes = {
            "The radius part is a square: (r_s − r_t)².": column(a - b for a, b, _ in known),
            "That is the absolute difference of the radii: take its square.": column(
                abs(a - b) for a, b, _ in known
            ),
            "You took the difference of the squared radii; take the square of the difference.": column(
                a * a - b * b for a, b, _ in known
            ),
            "That is the norm of the difference, which sees the direction: subtract the two norms.": (
                STUDENT - TEACHER
            )
            .square()
            .sum(1),
            "The two parts are exchanged: first the radius part, then the angle part.": angle,
            "Your norm runs over the batch as well, or over the wrong dimension: one norm per example, dim=1.": (
                STUDENT.norm() - TEACHER.norm()
            )
            ** 2,
        }
        return named(got[0], mistakes, f"Not the radius part: {problem}.")
    mistakes = {
        "The factor 2 is missing in the angle part: the parts do not sum to the squared distance.": angle / 2,
        "The angle part lacks r_s r_t: the same angle is a longer way on a larger sphere.": column(
            2 * (1 - c) for *_, c in known
        ),
        "That is the cosine distance alone, 1 − cos θ: multiply by 2 r_s r_t.": column(
            1 - c for *_, c in known
        ),
        "The sign of the cosine is wrong: equal directions have angle part 0.": column(
            2 * a * b * (1 + c) for a, b, c in known
        ),
    }
    problem = difference(got[1], angle)
    return None if problem is None else named(got[1], mistakes, f"Not the angle part: {problem}.")


# --- 06.2 ----------------------------------------------------------------------------------------------------------

INVARIANT = {
    "radius": {"rotation", "signs"},
    "angle": {"scaling"},
    "magnitude": {"signs"},
    "squared distance": set(),
}
_SEES = {
    ("radius", "rotation"): "a rotation moves a vector on its sphere, and the radius stays",
    ("radius", "scaling"): "a vector twice as long has twice the radius",
    ("angle", "scaling"): "a longer vector points the same way",
    ("angle", "rotation"): "rotate one of two equal vectors, and the angle between them is no longer 0",
    ("angle", "signs"): "flip one sign, and the vector points elsewhere",
    ("magnitude", "signs"): "only absolute values are compared",
    ("magnitude", "rotation"): "a rotation turns (1, 0) into (0, 1), whose absolute values differ",
    ("magnitude", "scaling"): "absolute values grow with the vector",
    ("radius", "signs"): "flipped signs leave all squares, and so the norm, unchanged",
}


def check_invariant(answer: dict) -> str | None:
    if not isinstance(answer, dict) or set(answer) != set(INVARIANT):
        return f"Answer with a dictionary of the keys {', '.join(INVARIANT)}."
    for name, expected in INVARIANT.items():
        given = answer[name]
        if not isinstance(given, set) or not given <= {"rotation", "scaling", "signs"}:
            return f'{name}: give a set of "rotation", "scaling" and "signs", or set() for none of them.'
        for change in ("rotation", "scaling", "signs"):
            if (change in given) == (change in expected):
                continue
            reason = _SEES.get(
                (name, change), "any change to one of two equal vectors puts a distance between them"
            )
            verb = "does not change" if change in expected else "changes"
            return f"{name} {verb} under {change}: {reason}."
    return None


# --- 06.3 ----------------------------------------------------------------------------------------------------------

MAPS = torch.arange(2 * 3 * 2 * 2, dtype=torch.float64).reshape(2, 3, 2, 2) / 10 - 1
OTHER_MAPS = torch.cos(torch.arange(2 * 3 * 2 * 2, dtype=torch.float64)).reshape(2, 3, 2, 2)


def radius_of_maps(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of the norms of every example, (N, C, H, W) → scalar."""
    r_s, r_t = student.flatten(1).norm(dim=1), teacher.flatten(1).norm(dim=1)
    return (r_s - r_t).square().mean()


def check_radius_of_maps(answer: Callable) -> str | None:
    got = answer(MAPS, OTHER_MAPS)
    gaps = [
        length(s.flatten().tolist()) - length(t.flatten().tolist())
        for s, t in zip(MAPS, OTHER_MAPS, strict=True)
    ]
    expected = sum(gap * gap for gap in gaps) / 2
    problem = difference(got, expected)
    if problem is None:
        return None
    per_position = MAPS.square().sum(1).sqrt() - OTHER_MAPS.square().sum(1).sqrt()  # (N, H, W)
    whole = MAPS.square().sum().sqrt() - OTHER_MAPS.square().sum().sqrt()
    spatial = MAPS.square().sum((2, 3)).sqrt() - OTHER_MAPS.square().sum((2, 3)).sqrt()
    mistakes = {
        "norm(dim=1) of a map of shape (N, C, H, W) is a norm over the channels alone, one for each of the 4 "
        "positions: flatten first, so that every example has one radius.": per_position.square().mean(),
        "Still one norm for each position, their differences added up: flatten before the norm.": per_position.square()
        .sum((1, 2))
        .mean(),
        "That is one norm for the whole batch: large and small examples are mixed. Keep dimension 0.": whole.square(),
        "That is one norm for each channel: flatten all but dimension 0.": spatial.square().mean(),
        "You added the examples up: take their mean.": 2 * expected,
        "That is the squared distance of the maps: it sees the direction. Subtract the norms.": (
            MAPS - OTHER_MAPS
        )
        .square()
        .sum()
        / 2,
    }
    return named(got, mistakes, f"Not the mean of (r_s − r_t)²: {problem}.")


# --- 06.4 ----------------------------------------------------------------------------------------------------------


def angle_loss(student: Tensor, teacher: Tensor, eps: float = 1e-12) -> Tensor:
    """Mean of 1 − cos θ over the examples, with a finite gradient where the student is zero."""
    r_s = (student.square().sum(dim=1) + eps).sqrt()
    r_t = (teacher.square().sum(dim=1) + eps).sqrt()
    return (1 - (student * teacher).sum(dim=1) / (r_s * r_t)).mean()


def check_angle_loss(answer: Callable) -> str | None:
    cosines = [c for *_, c in pairs()]
    mean = sum(cosines) / len(cosines)
    got = answer(STUDENT, TEACHER)
    problem = difference(got, 1 - mean)
    if problem is not None:
        flat = cosine(STUDENT.flatten().tolist(), TEACHER.flatten().tolist())
        mistakes = {
            "That is the mean cosine, which grows where the directions agree: a loss is 1 − cos θ.": mean,
            "Your loss is minus the cosine: add 1, so that equal directions have loss 0.": -mean,
            "You added the examples up: take their mean.": len(cosines) * (1 - mean),
            "You took one angle for the whole batch: one for each example, dim=1, then their mean.": 1 - flat,
            "Your loss still sees sizes: divide the product by both norms.": 1
            - sum(a * b * c for a, b, c in pairs()) / len(cosines),
        }
        return named(got, mistakes, f"Not the mean of 1 − cos θ: {problem}.")
    student = STUDENT.clone()
    student[1] = 0
    student.requires_grad_()
    value = answer(student, TEACHER)
    if not torch.isfinite(value):
        return "Right for these vectors, but a zero vector gives NaN: 0 divided by 0. Keep the norm away from zero."
    (gradient,) = torch.autograd.grad(value, student)
    if not torch.isfinite(gradient).all():
        return (
            "The value survives a zero vector, but its gradient is NaN: the root has infinite slope at 0. "
            "Put ε inside the root."
        )
    small = answer(1e-2 * STUDENT, TEACHER)
    problem = difference(small, 1 - mean, tolerance=1e-3)
    return (
        None
        if problem is None
        else "Your ε is so large that vectors of length 0.01 to 0.1 count as short: make it smaller."
    )


# --- 06.5 ----------------------------------------------------------------------------------------------------------


def fair_radius(features: Tensor) -> Tensor:
    """A radius that does not grow with the number of features, r/√d, (N, d) → (N,)."""
    return features.norm(dim=1) / features.shape[1] ** 0.5


def check_fair_radius(answer: Callable) -> str | None:
    known = column(length(row) / math.sqrt(3) for row in STUDENT.tolist())
    got = answer(STUDENT)
    problem = difference(got, known)
    if problem is not None:
        mistakes = {
            "That is the plain radius: a layer with four times as many features of the same size has twice the radius. "
            "Divide by √d.": column(length(row) for row in STUDENT.tolist()),
            "You divided by d: then a wide layer counts too little. The radius grows like √d.": column(
                length(row) / 3 for row in STUDENT.tolist()
            ),
            "That is the mean square; take its root.": column(
                length(row) ** 2 / 3 for row in STUDENT.tolist()
            ),
            "d is the number of features, the second dimension, not the number of examples.": column(
                length(row) / 2 for row in STUDENT.tolist()
            ),
            "That is the mean of absolute values: take the root of the mean of squares.": column(
                sum(map(abs, row)) / 3 for row in STUDENT.tolist()
            ),
        }
        return named(got, mistakes, f"Not r/√d: {problem}.")
    wide = answer(STUDENT.repeat(1, 16))
    problem = difference(wide, known)
    return (
        None
        if problem is None
        else f"With every feature repeated 16 times the radius should stay the same: {problem}."
    )


def given_radius_of_maps(student, teacher):
    r_s, r_t = student.norm(dim=1), teacher.norm(dim=1)
    return (r_s - r_t).square().mean()


EXERCISES = (
    Exercise(
        id="06.1",
        title="Split the squared distance",
        check=check_split,
        hint="r is student.norm(dim=1); r_s r_t cos θ is the dot product, (student * teacher).sum(dim=1).",
        solution=split,
        wrong_answers=(
            WrongAnswer(lambda s, t: (s.norm(dim=1) - t.norm(dim=1), split(s, t)[1]), "is a square"),
            WrongAnswer(
                lambda s, t: (s.square().sum(1) - t.square().sum(1), split(s, t)[1]),
                "difference of the squared radii",
            ),
            WrongAnswer(lambda s, t: ((s - t).square().sum(1), split(s, t)[1]), "subtract the two norms"),
            WrongAnswer(lambda s, t: split(s, t)[::-1], "exchanged"),
            WrongAnswer(lambda s, t: (((s.norm() - t.norm()) ** 2), split(s, t)[1]), "one norm per example"),
            WrongAnswer(lambda s, t: (split(s, t)[0], split(s, t)[1] / 2), "factor 2"),
            WrongAnswer(
                lambda s, t: (split(s, t)[0], 1 - torch.cosine_similarity(s, t)), "cosine distance alone"
            ),
            WrongAnswer(
                lambda s, t: (split(s, t)[0], 2 * (s.norm(dim=1) * t.norm(dim=1) + (s * t).sum(1))),
                "sign of the cosine",
            ),
            WrongAnswer(lambda s, t: (s - t).square().sum(1), "two tensors"),
        ),
    ),
    Exercise(
        id="06.2",
        title="Which loss does not see what?",
        check=check_invariant,
        hint='Try it: compare loss(z, z) = 0 with loss(changed z, z). For "signs" flip some signs of z.',
        solution=INVARIANT,
        wrong_answers=(
            WrongAnswer(INVARIANT | {"radius": {"scaling", "signs"}}, "moves a vector on its sphere"),
            WrongAnswer(INVARIANT | {"radius": {"rotation"}}, "leave all squares"),
            WrongAnswer(INVARIANT | {"angle": {"scaling", "rotation"}}, "no longer 0"),
            WrongAnswer(INVARIANT | {"angle": set()}, "points the same way"),
            WrongAnswer(INVARIANT | {"magnitude": {"signs", "rotation"}}, "(0, 1)"),
            WrongAnswer(INVARIANT | {"squared distance": {"rotation"}}, "any change"),
            WrongAnswer(INVARIANT | {"angle": {"shift"}}, "give a set"),
            WrongAnswer({"radius": set()}, "dictionary"),
        ),
    ),
    Exercise(
        id="06.3",
        title="Find the bug: the norm of a map",
        check=check_radius_of_maps,
        hint="How many norms does student.norm(dim=1) give for one image of shape (3, 2, 2)? There should be one.",
        solution=radius_of_maps,
        wrong_answers=(
            WrongAnswer(lambda s, t: (s.norm(dim=1) - t.norm(dim=1)).square().mean(), "flatten first"),
            WrongAnswer(
                lambda s, t: (s.norm(dim=1) - t.norm(dim=1)).square().sum((1, 2)).mean(),
                "flatten before the norm",
            ),
            WrongAnswer(lambda s, t: (s.norm() - t.norm()).square(), "whole batch"),
            WrongAnswer(
                lambda s, t: (s.norm(dim=(2, 3)) - t.norm(dim=(2, 3))).square().mean(), "for each channel"
            ),
            WrongAnswer(lambda s, t: len(s) * radius_of_maps(s, t), "take their mean"),
            WrongAnswer(lambda s, t: (s - t).flatten(1).square().sum(1).mean(), "sees the direction"),
        ),
        given=given_radius_of_maps,
    ),
    Exercise(
        id="06.4",
        title="An angle that survives a zero vector",
        check=check_angle_loss,
        hint="Write the norms as a root of a sum of squares, and add a tiny number before taking the root.",
        solution=angle_loss,
        wrong_answers=(
            WrongAnswer(
                lambda s, t: (1 - (s * t).sum(1) / (s.norm(dim=1) * t.norm(dim=1))).mean(), "0 divided by 0"
            ),
            WrongAnswer(
                lambda s, t: (
                    1
                    - (s * t).sum(1) / (s.square().sum(1).sqrt().clamp(min=1e-12) * t.square().sum(1).sqrt())
                ).mean(),
                "ε inside the root",
            ),
            WrongAnswer(
                lambda s, t: (1 - (s * t).sum(1) / (s.square().sum(1).sqrt() + 1e-12) / t.norm(dim=1)).mean(),
                "ε inside the root",
            ),
            WrongAnswer(lambda s, t: angle_loss(s, t, 1e-5), "so large"),
            WrongAnswer(lambda s, t: torch.cosine_similarity(s, t).mean(), "1 − cos θ"),
            WrongAnswer(lambda s, t: -torch.cosine_similarity(s, t).mean(), "add 1"),
            WrongAnswer(lambda s, t: len(s) * angle_loss(s, t), "take their mean"),
            WrongAnswer(lambda s, t: angle_loss(s.reshape(1, -1), t.reshape(1, -1)), "whole batch"),
            WrongAnswer(lambda s, t: (1 - (s * t).sum(1)).mean(), "still sees sizes"),
        ),
    ),
    Exercise(
        id="06.5",
        title="Radii of spaces of different dimension",
        check=check_fair_radius,
        hint="If every feature is about 1, the squared radius is about d. What do you divide the radius by?",
        solution=fair_radius,
        wrong_answers=(
            WrongAnswer(lambda z: z.norm(dim=1), "plain radius"),
            WrongAnswer(lambda z: z.norm(dim=1) / z.shape[1], "divided by d"),
            WrongAnswer(lambda z: z.square().mean(1), "take its root"),
            WrongAnswer(lambda z: z.norm(dim=1) / len(z) ** 0.5, "second dimension"),
            WrongAnswer(lambda z: z.abs().mean(1), "mean of absolute values"),
            WrongAnswer(lambda z: z.norm(dim=1) / 3**0.5, "repeated 16 times"),
        ),
    ),
)
