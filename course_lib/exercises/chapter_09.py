"""Exercises of chapter 09: a checkpoint, the size of a cache, a view, a wrong look-up, two different views."""

from collections.abc import Callable

import torch
from torch import Tensor

from course_lib.exercises.engine import Exercise, WrongAnswer, difference, named, rand

IMAGE = rand(1, 4, 5, seed=1)
TABLE = rand(6, 4, 3, seed=2)  # 6 examples, 4 views, 3 classes
ROWS, VIEWS = torch.tensor([5, 0, 2]), torch.tensor([1, 3, 0])
NEEDED = {"weights", "optimizer", "schedule", "random state", "position"}
NOT_NEEDED = {
    "training images": "The images are on the disk; the checkpoint only has to know that they are the same ones.",
    "teacher's logits": "The teacher's logits can be computed again, to the last bit; keep a hash to know them by.",
    "test accuracy": "The test accuracy does not belong here: nobody has read the test images yet.",
}
MISSING = {
    "weights": "Without the weights there is nothing to continue with.",
    "optimizer": "Without the optimiser's state Adam starts with empty moments: the first steps differ.",
    "schedule": "Without the schedule the learning rate starts again at its top.",
    "random state": "Without the random state dropout draws other masks, and the run ends with other weights.",
    "position": "Without the position in the data the epoch starts again: some images come twice, others never.",
}

# --- 09.1 ----------------------------------------------------------------------------------------------------------

content = NEEDED


def check_content(answer: set) -> str | None:
    if isinstance(answer, str) or not hasattr(answer, "__iter__"):
        return "Answer with a set of names, such as {'weights'}."
    given = {str(each) for each in answer}
    for name in sorted(given):
        if name in NOT_NEEDED:
            return NOT_NEEDED[name]
        if name not in NEEDED:
            return f"{name!r} is not among the things to choose from."
    for name in MISSING:
        if name not in given:
            return MISSING[name]
    return None


# --- 09.2 ----------------------------------------------------------------------------------------------------------


def cache_bytes(images: int, pad: int, classes: int) -> int:
    """Shifts from −pad to pad in two directions, mirrored or not, two bytes for each logit."""
    views = (2 * pad + 1) ** 2 * 2
    return images * views * classes * 2


def check_cache_bytes(answer: Callable) -> str | None:
    got = answer(50_000, 4, 10)
    if got == 162_000_000 and answer(7, 1, 3) == 7 * 18 * 3 * 2:
        return None
    mistakes = {
        81_000_000: "Half of it: either the mirror images are missing, or the second byte of each number.",
        324_000_000: "Twice as much: half precision has two bytes, not four.",
        128_000_000: "From −pad to pad there are 2·pad + 1 shifts: 0 is one of them.",
        50_000_000: "A crop can be shifted by −pad to pad: 2·pad + 1 places along each side, not pad + 1.",
        18_000_000: "Shifts go in two directions: (2·pad + 1)² places.",
        16_200_000: "Each view has a logit for every class.",
        1_296_000_000: "These are bits.",
    }
    if got in mistakes:
        return mistakes[got]
    return f"50,000 images, pad 4 and 10 classes make 162,000,000 bytes, not {got}."


# --- 09.3 ----------------------------------------------------------------------------------------------------------


def view(image: Tensor, pad: int, down: int, right: int, mirrored: bool) -> Tensor:
    """Pad with zeros, cut the window out, mirror what was cut."""
    _, height, width = image.shape
    padded = torch.nn.functional.pad(image, (pad,) * 4)
    window = padded[:, down : down + height, right : right + width]
    return window.flip(-1) if mirrored else window


def _view(image: Tensor, pad: int, down: int, right: int, mirrored: bool) -> Tensor:
    """Pixel by pixel."""
    channels, height, width = image.shape
    found = torch.zeros_like(image)
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                y, x = i + down - pad, j + right - pad
                if 0 <= y < height and 0 <= x < width:
                    found[c, i, width - 1 - j if mirrored else j] = image[c, y, x]
    return found


def check_view(answer: Callable) -> str | None:
    plain = answer(IMAGE, 2, 2, 2, False)
    if (problem := difference(plain, IMAGE)) is not None:
        return f"down = right = pad must give the image as it is: {problem}."
    got = answer(IMAGE, 2, 0, 3, False)
    if (problem := difference(got, _view(IMAGE, 2, 0, 3, False))) is not None:
        mistakes = {
            "Down and right are exchanged: the height comes first.": _view(IMAGE, 2, 3, 0, False),
            "What leaves on one side comes back on the other: pad with zeros instead.": IMAGE.roll(
                (2, -1), (1, 2)
            ),
            "The shift goes the other way: down and right say where the window begins in the padded image.": _view(
                IMAGE, 2, 4, 1, False
            ),
        }
        return named(got, mistakes, f"The shifted view is wrong: {problem}.")
    got = answer(IMAGE, 2, 0, 3, True)
    if (problem := difference(got, _view(IMAGE, 2, 0, 3, True))) is not None:
        mistakes = {
            "You mirror first and cut then, which is another view: the cut goes the other way.": _view(
                IMAGE.flip(-1), 2, 0, 3, False
            ),
            "This is upside down: mirror left and right, the last dimension.": _view(
                IMAGE, 2, 0, 3, False
            ).flip(-2),
            "It is not mirrored.": _view(IMAGE, 2, 0, 3, False),
        }
        return named(got, mistakes, f"The mirrored view is wrong: {problem}.")
    return None


# --- 09.4 ----------------------------------------------------------------------------------------------------------


def answers(table: Tensor, rows: Tensor, views: Tensor) -> Tensor:
    """Both indices at once: one answer for each pair."""
    return table[rows, views]


def given_answers(table: Tensor, rows: Tensor, views: Tensor) -> Tensor:
    return table[rows][:, views]


def check_answers(answer: Callable) -> str | None:
    expected = torch.stack([TABLE[5, 1], TABLE[0, 3], TABLE[2, 0]])
    got = answer(TABLE, ROWS, VIEWS)
    problem = difference(got, expected)
    if problem is None:
        return None
    mistakes = {
        "This is every row with every view, (B, B, C): index with both at once.": TABLE[ROWS][:, VIEWS],
        "You look up the place in the batch, not the example: as soon as batches are shuffled, every image gets the "
        "answer to another one.": TABLE[torch.arange(3), VIEWS],
        "You look up the view of the unchanged image for all.": TABLE[ROWS, 0],
        "Rows and views are exchanged.": TABLE[VIEWS, ROWS % 4],
        "This is the mean over the views: each view has an answer of its own.": TABLE[ROWS].mean(dim=1),
    }
    return named(got, mistakes, f"Not the teacher's answers to these views: {problem}.")


# --- 09.5 ----------------------------------------------------------------------------------------------------------


def shown(images: Tensor, augment: Callable, teacher: Callable) -> tuple[Tensor, Tensor]:
    """One draw, seen by both."""
    seen = augment(images)
    return seen, teacher(seen)


def given_shown(images: Tensor, augment: Callable, teacher: Callable) -> tuple[Tensor, Tensor]:
    return augment(images), teacher(augment(images))


def check_shown(answer: Callable) -> str | None:
    draws = []

    def augment(images: Tensor) -> Tensor:
        draws.append(len(draws) + 1)
        return images + draws[-1]

    result = answer(torch.zeros(2, 3, dtype=torch.float64), augment, lambda x: 10 * x)
    if not isinstance(result, tuple) or len(result) != 2:
        return "Return what the student sees and what the teacher says about it."
    seen, said = result
    if len(draws) == 0:
        return "Nothing was augmented."
    if difference(said, torch.zeros(2, 3, dtype=torch.float64)) is None:
        return "The teacher was asked about the image as it is, the student sees another one: ask about what it sees."
    if len(draws) > 1:
        return f"There were {len(draws)} draws: student and teacher do not see the same pixels. Draw once."
    if difference(said, 10 * seen) is not None:
        return "The teacher's answer does not belong to what the student sees."
    return None


EXERCISES = (
    Exercise(
        "09.1",
        "What a checkpoint must hold",
        check_content,
        "Go through a training step: what is read that an earlier step has changed?",
        content,
        (
            WrongAnswer({"weights"}, "Adam starts"),
            WrongAnswer(NEEDED - {"schedule"}, "learning rate"),
            WrongAnswer(NEEDED - {"random state"}, "dropout"),
            WrongAnswer(NEEDED - {"position"}, "twice"),
            WrongAnswer(NEEDED - {"weights"}, "nothing to continue"),
            WrongAnswer(NEEDED | {"training images"}, "on the disk"),
            WrongAnswer(NEEDED | {"teacher's logits"}, "computed again"),
            WrongAnswer(NEEDED | {"test accuracy"}, "nobody has read"),
            WrongAnswer({"gradients"}, "not among"),
            WrongAnswer("weights", "set of names"),
        ),
    ),
    Exercise(
        "09.2",
        "How large is the cache?",
        check_cache_bytes,
        "How many places does a window have along one side of the padded image? Then two sides, mirror, classes.",
        cache_bytes,
        (
            WrongAnswer(lambda n, p, c: n * (2 * p + 1) ** 2 * c * 2, "mirror images are missing"),
            WrongAnswer(lambda n, p, c: n * (2 * p + 1) ** 2 * 2 * c * 4, "not four"),
            WrongAnswer(lambda n, p, c: n * (2 * p) ** 2 * 2 * c * 2, "0 is one of them"),
            WrongAnswer(lambda n, p, c: n * (p + 1) ** 2 * 2 * c * 2, "not pad + 1"),
            WrongAnswer(lambda n, p, c: n * (2 * p + 1) * 2 * c * 2, "two directions"),
            WrongAnswer(lambda n, p, c: n * (2 * p + 1) ** 2 * 2 * 2, "for every class"),
            WrongAnswer(lambda n, p, c: 162_000_000, "not 162000000"),
        ),
    ),
    Exercise(
        "09.3",
        "One view",
        check_view,
        "torch.nn.functional.pad(image, (pad,) * 4) pads all four sides; then slice rows and columns, then flip(-1).",
        view,
        (
            WrongAnswer(lambda x, p, d, r, m: view(x, p, r, d, m), "exchanged"),
            WrongAnswer(
                lambda x, p, d, r, m: (
                    x.roll((p - d, p - r), (1, 2)).flip(-1) if m else x.roll((p - d, p - r), (1, 2))
                ),
                "pad with zeros",
            ),
            WrongAnswer(lambda x, p, d, r, m: view(x, p, 2 * p - d, 2 * p - r, m), "other way"),
            WrongAnswer(lambda x, p, d, r, m: view(x.flip(-1) if m else x, p, d, r, False), "mirror first"),
            WrongAnswer(
                lambda x, p, d, r, m: view(x, p, d, r, False).flip(-2) if m else view(x, p, d, r, m), "upside"
            ),
            WrongAnswer(lambda x, p, d, r, m: view(x, p, d, r, False), "not mirrored"),
            WrongAnswer(lambda x, p, d, r, m: view(x, p, 0, 0, m), "as it is"),
        ),
    ),
    Exercise(
        "09.4",
        "Find the bug: a cache looked up wrongly",
        check_answers,
        "Print the shape of the result. What does PyTorch do with two lists of indices in one pair of brackets?",
        answers,
        (
            WrongAnswer(lambda t, r, v: t[r][:, v], "every row with every view"),
            WrongAnswer(lambda t, r, v: t[torch.arange(len(r)), v], "shuffled"),
            WrongAnswer(lambda t, r, v: t[r, 0], "unchanged"),
            WrongAnswer(lambda t, r, v: t[v, r % 4], "exchanged"),
            WrongAnswer(lambda t, r, v: t[r].mean(dim=1), "mean over the views"),
        ),
        given=given_answers,
    ),
    Exercise(
        "09.5",
        "Find the bug: two different views",
        check_shown,
        "How often is augment called? It draws anew each time.",
        shown,
        (
            WrongAnswer(lambda x, a, t: (a(x), t(a(x))), "Draw once"),
            WrongAnswer(lambda x, a, t: (a(x), t(x)), "as it is"),
            WrongAnswer(lambda x, a, t: (x, t(x)), "Nothing was augmented"),
            WrongAnswer(lambda x, a, t: t(a(x)), "Return what"),
            WrongAnswer(lambda x, a, t: (x, t(a(x))), "does not belong"),
        ),
        given=given_shown,
    ),
)
