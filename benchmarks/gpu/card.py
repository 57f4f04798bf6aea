"""What lies on the card: the photographs, all of them, and the networks that are trained on them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from benchmarks.teacher_cache import random_images
from course_lib.data import Dataset, Examples, Views, load
from course_lib.models import HalfPrecision, alexnet
from course_lib.training import cache_teacher

VIEWS = Views()  # all 162 of an image


@dataclass(frozen=True)
class Size:
    """How large everything is; the rehearsal is the same in small.

    Attributes:
        teacher_width, student_width, small_width: factors of AlexNet's channels.
        batch_size: of all trainings.
        teacher_tuning_epochs: of the trainings that choose the teacher's settings on validation data.
        epochs: of the teacher and of its students.
        budgets: epochs of the students, each with a schedule of its own.
        tuning_epochs: of the trainings that choose settings on validation data.
        gradient_epochs: of the students with gradients, one of the budgets.
        long_epochs: of the last comparison.
        seeds, pairs: of the comparisons, and of the speed run.
        labels: numbers of labelled images beside those without.
        steps: budgets of the trainings with few labels.
        half_epochs: of the teacher that sees the labels of one half.
        races: epochs of the speed run's hard labels.
        usual_images: of an epoch of the usual loop.
        timed_steps: of the other loops.
        rounds: in turns, of whatever is timed.
        images: of noise, where only speed is measured.
        matrix: side of the matrices whose product tells what the machine can do.
    """

    teacher_width: float = 1.0
    student_width: float = 1 / 4
    small_width: float = 1 / 16
    batch_size: int = 256
    teacher_tuning_epochs: int = 10
    epochs: int = 100
    budgets: tuple[int, ...] = (5, 20, 100)
    tuning_epochs: int = 10
    gradient_epochs: int = 20
    long_epochs: int = 400
    seeds: int = 5
    pairs: int = 20
    labels: tuple[int, ...] = (500, 1000, 5000)
    steps: tuple[int, ...] = (350, 1_750, 7_000)
    half_epochs: int = 60
    races: tuple[int, ...] = (2, 6, 18)
    usual_images: int = 6_400
    timed_steps: int = 200
    rounds: int = 3
    images: int = 45_056
    matrix: int = 8192


FULL = Size()
REHEARSAL = Size(
    teacher_width=1 / 32,
    student_width=1 / 64,
    small_width=1 / 64,
    batch_size=32,
    teacher_tuning_epochs=1,
    epochs=2,
    budgets=(1, 2),
    tuning_epochs=1,
    gradient_epochs=1,
    long_epochs=3,
    seeds=2,
    pairs=2,
    labels=(20, 40),
    steps=(2, 4),
    half_epochs=1,
    races=(2, 8),
    usual_images=64,
    timed_steps=2,
    rounds=2,
    images=320,
    matrix=64,
)


def photographs(device: torch.device) -> Dataset:
    """CIFAR-10 with all its images on the device."""
    return _moved(load("cifar10"), device)


def decode() -> None:
    """Make the cache of decoded photographs."""
    load("cifar10")


def noise(device: torch.device, images: int) -> Dataset:
    """In its place where nothing is learned: for the rehearsal, and where only speed is measured."""
    parts = (random_images(number) for number in (images, 64, 64))
    return _moved(Dataset("noise", "noise", tuple("0123456789"), *parts), device)


def _moved(data: Dataset, device: torch.device) -> Dataset:
    parts = {name: getattr(data, name).to(device) for name in ("train", "validation", "test")}
    return replace(data, **parts)


def network(width: float, seed: int, dropout: float = 0.0) -> nn.Module:
    """AlexNet for these photographs, with the first weights of a seed."""
    with torch.random.fork_rng(()):
        torch.manual_seed(seed)
        return alexnet((3, 32, 32), 10, width=width, dropout=dropout)


def kept_answers(teacher: nn.Module, examples: Examples, views: Views = VIEWS) -> Tensor:
    """The teacher's logits for every view of every example, (N · views, C) in half precision, on the device."""
    cache = cache_teacher(HalfPrecision(teacher), examples, views=views, batch_size=2048, progress=False)
    return cache.answers(examples).logits.flatten(0, 1)
