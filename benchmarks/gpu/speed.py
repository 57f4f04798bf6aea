"""How fast: images a second, the share of what the card can do, and many small students at once."""

import os
from collections.abc import Callable
from dataclasses import asdict

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from benchmarks.gpu.card import VIEWS, Size, network
from benchmarks.gpu.fleet import Fleet, Member
from benchmarks.teacher_cache import live_teacher_epoch, usual_loader
from benchmarks.throughput import peak
from benchmarks.timing import ratio, take_turns, timed
from course_lib.data import Dataset
from course_lib.measure import macs
from course_lib.models import HalfPrecision
from course_lib.training import LiveTeacher, Objective, Recipe, fit, fit_many, hard_labels, soft_targets
from course_lib.training.sources import TEACHER_LOGITS

WORKERS = min(8, os.cpu_count() or 1)  # of the usual loop


def throughput(data: Dataset, size: Size) -> dict:
    """Images a second of one training at a time, medians of rounds in turns, with random answers of the teacher."""
    seconds = take_turns(_loops(data, size), size.rounds)
    speed = {name: round(1 / sorted(times)[len(times) // 2]) for name, times in seconds.items()}
    most = peak(data.train.device, size.matrix)
    example = torch.zeros(1, *data.image_shape)
    # Forwards, and twice as much backwards; a multiplication and an addition each.
    operations = {
        name: 6 * macs(network(width, 0), example)
        for name, width in (("teacher", size.teacher_width), ("student", size.student_width))
    }

    def times_as_long(one: str, other: str) -> dict:
        return asdict(ratio(seconds[one], seconds[other]))

    return {
        "batch_size": size.batch_size,
        "usual_loop": f"{WORKERS} loader processes, live teacher, float32, batch 128",
        "images_per_second": speed,
        "usual loop ÷ answers kept": times_as_long("usual loop", "student, answers kept"),
        "usual loop ÷ teacher live": times_as_long("usual loop", "student, teacher live"),
        "answers kept ÷ hard labels": times_as_long("student, answers kept", "student, hard labels"),
        "peak_operations_per_second": most,
        "share_of_peak": {
            name: round(speed[f"{name}, hard labels"] * operations[name] / most, 4) for name in operations
        },
    }


def _loops(data: Dataset, size: Size) -> dict[str, Callable[[], float]]:
    """Trainings by name; each returns its seconds for an image."""
    device = data.train.device
    teacher = network(size.teacher_width, 0, 0.5).to(device, memory_format=torch.channels_last).eval()
    answers = torch.randn(len(data.train) * len(VIEWS), data.num_classes, device=device).half()
    live, soft = LiveTeacher(HalfPrecision(teacher)), soft_targets(4.0, 0.9)

    def ask(inputs: Tensor, labels: Tensor) -> dict:
        return live.answers(inputs, labels, [TEACHER_LOGITS])

    def graphed(width: float, objective: Objective, dropout: float = 0.0, **given) -> Callable[[], float]:
        member = Member(network(width, 0, dropout), objective, lr=1e-4, **given)
        fleet = Fleet([member], data.train, VIEWS, size.batch_size, size.timed_steps)
        return lambda: fleet.again() / (size.timed_steps * size.batch_size)

    return {
        "teacher, hard labels": graphed(size.teacher_width, hard_labels(), 0.5),
        "student, hard labels": graphed(size.student_width, hard_labels()),
        "student, answers kept": graphed(size.student_width, soft, answers=answers),
        "student, teacher live": graphed(size.student_width, soft, ask=ask),
        "student, hard labels, fit": _by_fit(data, size),
        "usual loop": _usual(data, size, teacher),
    }


def _by_fit(data: Dataset, size: Size) -> Callable[[], float]:
    """The library's own loop, step by step from Python."""
    recipe = Recipe(size.timed_steps, size.batch_size, "momentum", 1e-4)

    def build() -> nn.Module:
        return network(size.student_width, 0).to(memory_format=torch.channels_last)

    def run() -> float:
        given = {"views": VIEWS, "fabric": fabric(data.train.device), "progress": False}
        taken = fit(build, hard_labels(), data.train, recipe, **given)
        return taken.seconds / (size.timed_steps * size.batch_size)

    return run


def _usual(data: Dataset, size: Size, teacher: nn.Module) -> Callable[[], float]:
    """The loop that one usually writes."""
    device = data.train.device
    some = data.train.take(torch.arange(size.usual_images, device=device)).to("cpu")
    loader = usual_loader(some, workers=WORKERS)

    def run() -> float:
        student = network(size.student_width, 0).to(device)
        return timed(lambda: live_teacher_epoch(loader, teacher, student, device)) / size.usual_images

    return run


def fabric(device: torch.device) -> Fabric:
    """Of the library's own loop."""
    return Fabric(accelerator=device.type, devices=1, precision="bf16-mixed")


def together(data: Dataset, size: Size) -> dict:
    """The smallest students: all at once against one after another, in the library's loops and as graphs."""
    device, steps, students = data.train.device, size.timed_steps, size.pairs
    batch = min(128, size.batch_size)

    def small(seed: int) -> nn.Module:
        return network(size.small_width, seed)

    def fleet(seeds: range) -> Fleet:
        members = [Member(small(seed), hard_labels(), 1e-4, seed=seed) for seed in seeds]
        return Fleet(members, data.train, VIEWS, batch, steps)

    one, every = fleet(range(1)), fleet(range(students))
    recipe = Recipe(steps, batch, "momentum", 1e-4)
    common = {"views": VIEWS, "fabric": fabric(device), "progress": False}
    contestants = {
        "one as a graph": one.again,
        "all as a graph": every.again,
        "one by fit": lambda: fit(lambda: small(0), hard_labels(), data.train, recipe, **common).seconds,
        "all by fit_many": lambda: (
            fit_many(
                lambda: small(0), hard_labels(), data.train, recipe, seeds=range(students), **common
            ).seconds
        ),
    }
    seconds = take_turns(contestants, size.rounds)

    def at_once(one: str, every: str) -> dict:
        return asdict(ratio([students * each for each in seconds[one]], seconds[every]))

    return {
        "students": students,
        "steps": steps,
        "batch_size": recipe.batch_size,
        "seconds_each": {name: round(sorted(times)[len(times) // 2], 4) for name, times in seconds.items()},
        "one after another ÷ at once, graphs": at_once("one as a graph", "all as a graph"),
        "one after another by fit ÷ at once as a graph": at_once("one by fit", "all as a graph"),
        "one after another ÷ at once, fit and fit_many": at_once("one by fit", "all by fit_many"),
    }


def checked(data: Dataset, size: Size) -> dict:
    """How far a graph's weights are from those of the same steps taken one by one, relative to the way they went."""
    device = data.train.device
    objective = soft_targets(4.0, 0.9)
    answers = torch.randn(len(data.train) * len(VIEWS), data.num_classes, device=device).half()
    found: list[Tensor] = []
    for graphed in (None, False):
        members = [
            Member(
                network(size.student_width, seed),
                objective,
                1e-2,
                5e-4,
                seed=seed,
                answers=answers,
            )
            for seed in range(2)
        ]
        fleet = Fleet(members, data.train, VIEWS, size.batch_size, 20, graphed=graphed)
        fleet.train()
        found.append(torch.cat([each.detach().flatten() for each in members[1].network.parameters()]))
    first = torch.cat([each.detach().flatten() for each in network(size.student_width, 1).parameters()])
    moved = (found[1].cpu() - first).norm()
    return {"relative_difference": float((found[0] - found[1]).norm().cpu() / moved), "steps": 20}
