"""The gradient term of eq. (1) in a training step: exact in one batched call, estimated, and looped over columns."""

from functools import partial

import torch
from torch import Tensor

from benchmarks.timing import ratio, take_turns, timed
from course_lib.data import load
from course_lib.losses import PullBack, differentiates, logit_loss, soft_gradients
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import Objective, Recipe, Term, cache_teacher, fit, gradient, logits

LAYERS = ("inputs", "relu1", "relu2")


@differentiates("activations")
def looped_gradient_loss(student_logits: Tensor, activations: PullBack, soft_matrix: Tensor) -> Tensor:
    """What one writes first: a backward pass for each column of the soft matrix."""
    total = 0.0
    for column in soft_matrix.split(1, dim=1):
        gradients = soft_gradients(student_logits, activations, column, create_graph=True)
        total = total + sum(each.square().sum() for each in gradients)
    return total / len(student_logits)


def measure(rounds: int = 7) -> list[dict]:
    """A row for each way to compute the term, over the step of plain logit regression."""
    torch.manual_seed(0)
    train = load("digits").train
    soft_matrix = torch.eye(10) / 2 + 0.05  # its numbers do not matter here, its size does: C = m = 10
    cache = cache_teacher(cnn_teacher(), train, soft_matrix=soft_matrix)
    recipe = Recipe(steps=300)
    looped = Term("gradient", looped_gradient_loss, 0.01, LAYERS)
    objectives = {
        "plain": logits(),
        "exact": gradient(0.01, LAYERS),
        "hutchinson": gradient(0.01, LAYERS, estimator="hutchinson"),
        "loop": Objective([Term("logits", logit_loss), looped]),
    }
    contestants = {
        name: partial(timed, partial(fit, small_mlp, objective, train, recipe, teacher=cache))
        for name, objective in objectives.items()
    }
    seconds = take_turns(contestants, rounds)
    setting = f"digits, MLP 64-16-16-10, C = m = 10, layers {', '.join(LAYERS)}, batch {recipe.batch_size}"

    def row(what: str, name: str, target: str | None) -> dict:
        value = ratio(seconds[name], seconds["plain"])
        return {"what": what, "setting": setting, "ratio": value, "target": target}

    return [
        row("step with eq. (1), exact ÷ step on logits alone", "exact", "≤ 3.5"),
        row("step with eq. (1) by Hutchinson ÷ step on logits alone", "hutchinson", "≤ 1.8"),
        row("step with eq. (1), a loop over columns ÷ step on logits alone", "loop", None),
    ]
