"""Training 64 of the course's students at once, and one after another."""

import torch

from benchmarks.timing import ratio, take_turns, timed
from course_lib.data import load
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import Recipe, cache_teacher, fit, fit_many, soft_targets

STUDENTS, STEPS = 64, 200


def measure(rounds: int = 5) -> list[dict]:
    """One row: the time of one after another ÷ all at once.

    One after another is timed on four of them and scaled up; they all cost the same.
    """
    torch.manual_seed(0)
    train = load("digits").train
    cache = cache_teacher(cnn_teacher(), train)
    recipe, few = Recipe(steps=STEPS), 4

    def one_by_one() -> None:
        for seed in range(few):
            fit(small_mlp, soft_targets(), train, recipe, seed=seed, teacher=cache)

    def at_once() -> None:
        fit_many(small_mlp, soft_targets(), train, recipe, seeds=range(STUDENTS), teacher=cache)

    seconds = take_turns({"alone": lambda: timed(one_by_one), "at once": lambda: timed(at_once)}, rounds)
    alone = [STUDENTS / few * value for value in seconds["alone"]]
    return [
        {
            "what": f"{STUDENTS} students one after another ÷ all at once",
            "setting": f"digits, MLP 64-16-16-10, soft targets, batch {recipe.batch_size}, {STEPS} steps",
            "ratio": ratio(alone, seconds["at once"]),
            "target": "≥ 30",
        }
    ]
