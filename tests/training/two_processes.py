"""What each of two processes does in test_processes.py; run by torchrun with a folder for the results."""

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from filelock import FileLock
from lightning_fabric import Fabric
from torch.utils.data import TensorDataset

from course_lib.data import Views, from_dataset, load, streamed
from course_lib.distillation import Plan, distill
from course_lib.errors import CourseError
from course_lib.models import cnn_teacher, mlp, small_mlp
from course_lib.training import (
    Checkpoints,
    LiveTeacher,
    Recipe,
    Watch,
    fit,
    gradient,
    gradient_matching,
    hard_labels,
    soft_targets,
)
from course_lib.training.processes import on_rank_zero

RECIPE = Recipe(steps=12, batch_size=16, optimizer="momentum", lr=0.05)
VIEWS = Views(pad=1, flip=False)
OBJECTIVES = {
    "hard labels": hard_labels(),
    "soft targets": soft_targets(4.0, 0.5),
    "gradient": gradient(0.01),
    "matching": gradient_matching(0.1),
}


def train():
    return load("digits", seed=0).train.subset(64, seed=0)


def teacher():
    torch.manual_seed(0)
    return LiveTeacher(cnn_teacher(), torch.eye(10)[:, :3])


def trained(name, fabric=None, **settings):
    lr = 0.05 if "labels" in name or "targets" in name else 1e-3
    recipe = Recipe(steps=12, batch_size=16, optimizer="momentum", lr=lr)
    return fit(
        small_mlp,
        OBJECTIVES[name],
        train(),
        recipe,
        teacher=teacher(),
        views=VIEWS,
        fabric=fabric,
        **settings,
    )


def in_parts(fabric=None):
    """Parts of batches, the average of the weights, and the best step."""
    scores = iter([0.0, 2.0, 1.0, 1.0])
    watch = Watch(lambda network: {"score": next(scores)}, every=3, best="score")
    recipe = replace(RECIPE, accumulate=4, average=0.8)
    return fit(small_mlp, hard_labels(), train(), recipe, watch=watch, fabric=fabric)


class Drawing(torch.nn.Module):
    """Keeps a random number of its last training step, as dropout would draw it."""

    def __init__(self):
        super().__init__()
        self.network, self.drawn = small_mlp(), None

    def forward(self, inputs):
        if self.training:
            self.drawn = torch.rand(()).item()
        return self.network(inputs)


def main(folder):
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    found = {}
    for name in OBJECTIVES:
        run = trained(name, fabric)
        found[name] = {
            "weights": run.model.state_dict(),
            "history": {k: v.tolist() for k, v in run.history.items()},
        }

    # Stopped after a checkpoint and gone on from there, with other dropout in each process.
    def dropping():
        return torch.nn.Sequential(torch.nn.Dropout(0.5), mlp((1, 8, 8), (16,), 10))

    settings = {"fabric": fabric, "watch": Watch(lambda network: {"rank": 0.0}, every=6)}
    whole = fit(dropping, hard_labels(), train(), RECIPE, **settings)
    checkpoints = Checkpoints(folder / "kept", every=6, keep=9)
    fit(dropping, hard_labels(), train(), RECIPE, checkpoints=checkpoints, **settings)
    fabric.barrier()
    if fabric.is_global_zero:
        checkpoints.files()[0].unlink()
    fabric.barrier()
    again = fit(dropping, hard_labels(), train(), RECIPE, checkpoints=checkpoints, **settings)
    found["whole"], found["again"] = whole.model.state_dict(), again.model.state_dict()
    found["files"] = [path.name for path in checkpoints.files()]
    parts = in_parts(fabric)
    found["in parts"] = {"weights": parts.model.state_dict(), "chosen": parts.chosen}
    found["draw"] = fit(Drawing, hard_labels(), train(), RECIPE, fabric=fabric).model.drawn
    source = TensorDataset(train().images, train().labels)
    for name, examples in (("memory", from_dataset(source)), ("stream", streamed(source, workers=1))):
        found[name] = fit(small_mlp, hard_labels(), examples, RECIPE, fabric=fabric).model.state_dict()
    try:
        fit(small_mlp, hard_labels(), train(), Recipe(steps=1, batch_size=15), fabric=fabric)
    except CourseError as error:
        found["odd"] = str(error)
    found["refused"] = list(refusals(fabric, folder))
    torch.save(found, folder / f"{fabric.global_rank}.pt")


def refusals(fabric, folder):
    """What each process says about what cannot be done, or what the first alone finds out."""

    def fails():
        raise CourseError("the disk is full")

    plan = Plan(data="digits", batch_size=33)
    for work in (
        lambda: on_rank_zero(fails, fabric),
        lambda: distill(plan, folder / "out", fabric=fabric),
        lambda: distill(replace(plan, batch_size=32), folder / "out", fabric=fabric, together=True),
        lambda: distill(replace(plan, batch_size=32), folder / "used", fabric=fabric),
    ):
        try:
            with used(folder / "used") if fabric.is_global_zero else nullcontext():
                work()
        except CourseError as error:
            yield str(error)
        fabric.barrier()


def used(folder):
    """As another distillation would hold it."""
    folder.mkdir(exist_ok=True)
    return FileLock(folder / ".lock")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
