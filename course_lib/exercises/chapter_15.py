"""Exercises of chapter 15: kernels from dense weights, the size of a map, and hits that are counted twice."""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named, rand
from course_lib.measure import match_places

# --- 15.1 ----------------------------------------------------------------------------------------------------------

DENSE = rand(3, 2 * 4 * 5, seed=10)


def to_convolution(weight: Tensor, channels: int, height: int, width: int) -> Tensor:
    """flatten lays out channels, then rows, then columns, so the same view gives them back."""
    return weight.reshape(-1, channels, height, width)


def given_to_convolution(weight: Tensor, channels: int, height: int, width: int) -> Tensor:
    return weight.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def check_to_convolution(answer: Callable) -> str | None:
    # Input i of the dense layer is the pixel that flatten puts at i: found by marking each pixel.
    marked = torch.eye(40, dtype=torch.float64).view(40, 2, 4, 5).flatten(1).argmax(dim=1)
    places = [(int(i) // 20, int(i) // 5 % 4, int(i) % 5) for i in marked]
    expected = torch.zeros(3, 2, 4, 5, dtype=torch.float64)
    for column, (channel, row, place) in enumerate(places):
        expected[:, channel, row, place] = DENSE[:, column]
    got = answer(DENSE, 2, 4, 5)
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "These kernels would be right if flatten put the channels last, as TensorFlow does; PyTorch lays out channels "
        "first, then rows, then columns.": DENSE.reshape(-1, 4, 5, 2).permute(0, 3, 1, 2),
        "Rows and columns are exchanged.": DENSE.reshape(-1, 2, 5, 4).transpose(2, 3),
        "The kernels are mirrored: what deep learning calls a convolution does not flip them.": expected.flip(
            2, 3
        ),
        "Inputs and outputs are mixed: the first dimension of the weights is that of the outputs.": (
            DENSE.T.reshape(3, 2, 4, 5)
        ),
    }
    return named(got, mistakes, f"Not the same layer as the dense one: {problem}.")


# --- 15.2 ----------------------------------------------------------------------------------------------------------

IMAGE_SIZES = ((80, 16, 4), (96, 16, 8), (81, 16, 4), (83, 16, 4), (16, 16, 4), (19, 16, 4), (57, 12, 1))


def places(size: int, window: int, stride: int) -> int:
    """The first window begins at 0, the last one at the last multiple of the stride where it still fits."""
    return (size - window) // stride + 1


def check_places(answer: Callable) -> str | None:
    for size, window, stride in IMAGE_SIZES:
        expected = sum(1 for start in range(0, size, stride) if start + window <= size)
        got = answer(size, window, stride)
        if isinstance(got, int) and not isinstance(got, bool) and got == expected:
            continue
        told = f"for {size} pixels, windows of {window} and a stride of {stride} there are {expected} places"
        if not isinstance(got, int) or isinstance(got, bool):
            return f"A number of places is a whole number, int: {told}; you gave {got!r}."
        mistakes = {
            (size - window) // stride: "The window at 0 is a place, too: you count the steps between places.",
            size // stride: "Your last windows reach over the edge.",
            -(-(size - window) // stride) + 1: "Round down: your last window reaches over the edge.",
        }
        return f"{mistakes.get(got, 'Not the number of places.')} It is {told}; you gave {got}."
    return None


# --- 15.3 ----------------------------------------------------------------------------------------------------------

OBJECTS = torch.tensor([[10.0, 10.0], [10.0, 40.0], [40.0, 40.0]])
TWICE = torch.tensor([[11.0, 10.0], [9.0, 11.0], [10.0, 41.0], [70.0, 70.0]])
CLOSE, BETWEEN = torch.tensor([[10.0, 10.0], [10.0, 16.0]]), torch.tensor([[10.0, 13.0]])


def hits(found: Tensor, objects: Tensor, tolerance: float) -> tuple[float, float]:
    """Pair them first: a detection has one object at most, an object one detection."""
    matched = len(match_places(found, objects, tolerance))
    return matched / len(objects), matched / len(found)


def given_hits(found: Tensor, objects: Tensor, tolerance: float) -> tuple[float, float]:
    near = torch.cdist(found, objects) <= tolerance
    matched = int(near.any(dim=1).sum())
    return matched / len(objects), matched / len(found)


def check_hits(answer: Callable) -> str | None:
    cases = (
        # Two of the four detections lie on one object: three objects, two of them found.
        (TWICE, OBJECTS, (2 / 3, 2 / 4), "two detections on one object are one hit and one false alarm"),
        # One detection within reach of two objects: it can be one of them only.
        (BETWEEN, CLOSE, (1 / 2, 1.0), "one detection between two objects finds one of them"),
        (OBJECTS, OBJECTS, (1.0, 1.0), "with every object found exactly once both are 1"),
    )
    for found, objects, expected, words in cases:
        got = answer(found, objects, 4.0)
        if not isinstance(got, tuple) or len(got) != 2:
            return f"Return two numbers, recall and precision; you gave {got!r}."
        if all(abs(float(one) - two) < 1e-9 for one, two in zip(got, expected, strict=True)):
            continue
        if all(abs(float(one) - two) < 1e-9 for one, two in zip(got, expected[::-1], strict=True)):
            return "These are the two numbers in the other order: recall first, the share of the objects."
        shown = ", ".join(f"{float(each):.3g}" for each in got)
        right = ", ".join(f"{each:.3g}" for each in expected)
        return f"Count again: {words}. Recall and precision are {right} there, yours are {shown}."
    return None


EXERCISES = (
    Exercise(
        id="15.1",
        title="Find the bug: kernels from dense weights",
        check=check_to_convolution,
        hint="torch.arange(8).view(1, 2, 2, 2).flatten(1): does the next channel come second, or the next column?",
        solution=to_convolution,
        wrong_answers=(
            WrongAnswer(lambda w, c, h, v: w.reshape(-1, h, v, c).permute(0, 3, 1, 2), "channels last"),
            WrongAnswer(lambda w, c, h, v: w.reshape(-1, c, v, h).transpose(2, 3), "Rows and columns"),
            WrongAnswer(lambda w, c, h, v: to_convolution(w, c, h, v).flip(2, 3), "mirrored"),
            WrongAnswer(lambda w, c, h, v: w.T.reshape(-1, c, h, v), "Inputs and outputs"),
            WrongAnswer(lambda w, c, h, v: 2 * to_convolution(w, c, h, v), "Not the same layer"),
        ),
        given=given_to_convolution,
    ),
    Exercise(
        id="15.2",
        title="The size of a map",
        check=check_places,
        hint="Write down where the windows of a row of 19 pixels begin, with a window of 16 and a stride of 4.",
        solution=places,
        wrong_answers=(
            WrongAnswer(lambda s, w, d: (s - w) // d, "steps between places"),
            WrongAnswer(lambda s, w, d: s // d, "over the edge"),
            WrongAnswer(lambda s, w, d: -(-(s - w) // d) + 1, "Round down"),
            WrongAnswer(lambda s, w, d: (s - w) / d + 1, "whole number"),
            WrongAnswer(lambda s, w, d: ((s - w) // d + 1) ** 2, "Not the number"),
        ),
    ),
    Exercise(
        id="15.3",
        title="Find the bug: recall and precision",
        check=check_hits,
        hint="What does the given code make of two detections on one object? measure.match_places pairs one with one.",
        solution=hits,
        wrong_answers=(
            WrongAnswer(
                lambda f, o, t: (
                    int((torch.cdist(f, o) <= t).any(dim=0).sum()) / len(o),
                    int((torch.cdist(f, o) <= t).any(dim=1).sum()) / len(f),
                ),
                "one hit and one false alarm",
            ),
            WrongAnswer(
                lambda f, o, t: (
                    (near := int((torch.cdist(f, o) <= t).any(dim=0).sum())) / len(o),
                    near / len(f),
                ),
                "finds one of them",
            ),
            WrongAnswer(lambda f, o, t: hits(f, o, t)[::-1], "the other order"),
            WrongAnswer(lambda f, o, t: hits(f, o, t)[0], "two numbers"),
        ),
        given=given_hits,
    ),
)
