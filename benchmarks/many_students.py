"""Training 64 of the course's students at once; one after another; and in the loop one usually writes."""

from functools import partial

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.timing import ratio, take_turns, timed
from course_lib.data import load
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import Recipe, cache_teacher, fit, fit_many, soft_targets

STUDENTS = 64


def usual_loop(dataset: TensorDataset, recipe: Recipe, seed: int) -> None:
    """One student with PyTorch's data loader, F.cross_entropy and F.kl_div, the teacher's logits in the data set."""
    torch.manual_seed(seed)
    student = small_mlp()
    optimizer = torch.optim.Adam(student.parameters(), lr=recipe.lr)
    loader = DataLoader(dataset, batch_size=recipe.batch_size, shuffle=True, drop_last=True)
    steps = 0
    while steps < recipe.steps:
        for inputs, labels, teacher_logits in loader:
            logits = student(inputs)
            log_q, p = F.log_softmax(logits / 4, dim=1), F.softmax(teacher_logits / 4, dim=1)
            loss = 0.1 * F.cross_entropy(logits, labels) + 0.9 * 16 * F.kl_div(
                log_q, p, reduction="batchmean"
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            if steps == recipe.steps:
                break


def measure(rounds: int = 5) -> list[dict]:
    """Two rows: ``fit`` one after another ÷ all at once, which has a target, and the usual loop ÷ all at once.

    One after another is timed on four students and scaled up; they all cost the same.
    """
    torch.manual_seed(0)
    train = load("digits").train
    cache = cache_teacher(cnn_teacher(), train)
    dataset = TensorDataset(train.inputs, train.labels, cache.lookup(train))
    recipe, few = Recipe(), range(4)

    def one_by_one() -> None:
        for seed in few:
            fit(small_mlp, soft_targets(), train, recipe, seed=seed, teacher=cache)

    def usual() -> None:
        for seed in few:
            usual_loop(dataset, recipe, seed)

    def at_once() -> None:
        fit_many(small_mlp, soft_targets(), train, recipe, seeds=range(STUDENTS), teacher=cache)

    contestants = {"fit": one_by_one, "usual": usual, "at once": at_once}
    seconds = take_turns({name: partial(timed, work) for name, work in contestants.items()}, rounds)
    setting = f"digits, MLP 64-16-16-10, soft targets, batch {recipe.batch_size}, {recipe.steps} steps"

    def row(what: str, name: str, target: str | None) -> dict:
        alone = [STUDENTS / len(few) * value for value in seconds[name]]
        return {"what": what, "setting": setting, "ratio": ratio(alone, seconds["at once"]), "target": target}

    return [
        row(f"{STUDENTS} students one after another with fit ÷ all at once", "fit", "≥ 30"),
        row(f"{STUDENTS} students in the usual loop ÷ all at once", "usual", None),
    ]
