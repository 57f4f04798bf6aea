"""``fit`` as it is called, beside the same with one thread and with all, in a plain script of its own.

Once while nothing else runs, and once while another program keeps one core busy: there threads wait for a thread that
is not running at all.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import torch

from benchmarks.teacher_cache import random_images
from benchmarks.timing import ratio, take_turns
from course_lib.data import Examples, load
from course_lib.models import alexnet, cnn_teacher, small_mlp
from course_lib.training import Recipe, fit, hard_labels, threads

QUARTER_ALEXNET = partial(alexnet, (3, 32, 32), 10, width=1 / 4)
# By name: network, examples, batch size, and steps of about a second.
NETWORKS = {
    "small MLP": (small_mlp, lambda: load("digits").train, 32, 600),
    "small CNN": (cnn_teacher, lambda: load("digits").train, 64, 60),
    "AlexNet at a quarter": (QUARTER_ALEXNET, random_images, 128, 6),
}
TARGETS = {
    "small MLP": "≤ 1.1",
    "AlexNet at a quarter": "≤ 1.1",
}  # the CNN lies between, one way loses on each machine


def contestants(build: Callable, examples: Examples, recipe: Recipe) -> dict[str, Callable[[], float]]:
    """The three ways, each from nothing to the seconds of a training."""
    setting, threshold = torch.get_num_threads(), threads.ALL_THREADS_FROM

    def run(number: int, all_threads_from: float) -> float:
        torch.set_num_threads(number)
        threads.ALL_THREADS_FROM = all_threads_from
        return fit(build, hard_labels(), examples, recipe, progress=False).seconds

    return {
        "default": lambda: run(setting, threshold),
        "one": lambda: run(1, threshold),
        "all": lambda: run(setting, 0),
    }


def in_a_script(name: str, rounds: int) -> dict[str, list[float]]:
    """The seconds of every way in every round, measured by a Python that is set up as a user's script is."""
    root = Path(__file__).resolve().parents[1]
    ours = ("GOMP_SPINCOUNT", "OMP_NUM_THREADS")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    # PyTorch comes first: it reads then how OpenMP waits, which this package sets and a user's script does not.
    script = f"import torch, benchmarks.threads as own; own.print_seconds({name!r}, {rounds})"
    command = [sys.executable, "-c", script]
    answer = subprocess.run(command, env=environment, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout)


def print_seconds(name: str, rounds: int) -> None:
    """What ``in_a_script`` reads."""
    build, examples, batch_size, steps = NETWORKS[name]
    recipe = Recipe(steps=steps, batch_size=batch_size, lr=1e-3)
    print(json.dumps(take_turns(contestants(build, examples(), recipe), rounds)))


@contextmanager
def busy_core() -> Iterator[None]:
    """Another program that computes all the time, and ends with this one."""
    computing = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
    program = subprocess.Popen([sys.executable, "-c", computing])
    try:
        yield
    finally:
        program.kill()
        program.wait()


def row(name: str, seconds: dict[str, list[float]], busy: bool) -> dict:
    """The default ÷ the better of the two others."""
    best = min(("one", "all"), key=lambda way: statistics.median(seconds[way]))
    where = "beside a busy program" if busy else "on a quiet machine"
    return {
        "what": f"fit of the {name} {where} ÷ the best of one thread and all ({best})",
        "setting": f"batch {NETWORKS[name][2]}, {NETWORKS[name][3]} steps, hard labels, a plain script",
        "ratio": ratio(seconds["default"], seconds[best]),
        "target": None if busy else TARGETS.get(name),
    }


def measure(rounds: int = 5) -> list[dict]:
    """A row for every network, quiet and beside a busy program."""
    rows = []
    for busy in (False, True):
        with busy_core() if busy else nullcontext():
            rows += [row(name, in_a_script(name, rounds), busy) for name in NETWORKS]
    return rows
