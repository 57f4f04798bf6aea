"""``python -m benchmarks.throughput``: images a second of distilling AlexNet, here and in the loop one usually writes.

On a CPU, with narrow networks; ``benchmarks.gpu`` has the full ones. Writes ``data/results/throughput_cpu.json``.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.benchmark import Timer

from benchmarks.teacher_cache import BATCH, live_teacher_epoch, random_images, usual_loader
from benchmarks.timing import ratio, take_turns, timed
from course_lib.data import Views
from course_lib.files import write_json
from course_lib.measure import macs
from course_lib.models import HalfPrecision, alexnet
from course_lib.provenance import provenance
from course_lib.training import LiveTeacher, Recipe, cache_teacher, fit, hard_labels, soft_targets

VIEWS = Views(pad=4, stride=4)  # which views there are costs nothing in the epoch, only before


@dataclass(frozen=True)
class Size:
    """What is timed.

    Attributes:
        teacher_width, student_width: factors of AlexNet's channels.
        images: of an epoch.
        matrix: side of the matrices whose product tells what the machine can do.
    """

    teacher_width: float
    student_width: float
    images: int
    matrix: int


SIZE = Size(1 / 4, 1 / 16, 2048, 2048)


def network(width: float, dropout: float) -> nn.Module:
    return alexnet((3, 32, 32), 10, width=width, dropout=dropout).to(memory_format=torch.channels_last)


def peak(device: torch.device, side: int) -> float:
    """Operations a second of a product of two large bfloat16 matrices, the most that the machine shows."""
    a, b = torch.randn(2, side, side, device=device).bfloat16()
    wait = "; torch.cuda.synchronize()" if device.type == "cuda" else ""
    timer = Timer(f"a @ b{wait}", globals={"a": a, "b": b}, num_threads=torch.get_num_threads())
    return 2 * side**3 / timer.blocked_autorange(min_run_time=2).median


def measure(size: Size, fabric: Fabric, rounds: int = 5) -> dict:
    """Images a second, the usual loop's time over ours, and the share of the peak."""
    torch.manual_seed(0)
    examples = random_images(size.images)
    teacher = network(size.teacher_width, 0.5).eval()
    asked = HalfPrecision(teacher)
    known = cache_teacher(asked, examples, views=VIEWS)
    recipe = Recipe(steps=size.images // BATCH, batch_size=BATCH, lr=1e-3)
    loader = usual_loader(examples)

    def ours(objective, **settings) -> Callable[[], float]:
        def run() -> float:
            return fit(
                lambda: network(size.student_width, 0.0),
                objective,
                examples,
                recipe,
                views=VIEWS,
                fabric=fabric,
                progress=False,
                **settings,
            ).seconds

        return run

    def usual() -> float:
        student = network(size.student_width, 0.0)
        return timed(lambda: live_teacher_epoch(loader, teacher, student))

    soft = soft_targets(5.0, 0.9)
    contestants = {
        "hard labels": ours(hard_labels()),
        "teacher kept": ours(soft, teacher=known),
        "teacher live": ours(soft, teacher=LiveTeacher(asked)),
        "usual loop": usual,
    }
    seconds = take_turns(contestants, rounds)
    images = recipe.steps * BATCH
    speed = {name: images / sorted(times)[len(times) // 2] for name, times in seconds.items()}
    example = torch.zeros(1, 3, 32, 32)
    # Forwards, and twice as much backwards; a multiplication and an addition each.
    operations = 6 * macs(network(size.student_width, 0.0), example)
    most = peak(torch.device("cpu"), size.matrix)
    return {
        "images_per_second": speed,
        "usual loop ÷ teacher kept": asdict(ratio(seconds["usual loop"], seconds["teacher kept"])),
        "usual loop ÷ teacher live": asdict(ratio(seconds["usual loop"], seconds["teacher live"])),
        "teacher kept ÷ hard labels": asdict(ratio(seconds["teacher kept"], seconds["hard labels"])),
        "peak_operations_per_second": most,
        "share_of_peak, teacher kept": speed["teacher kept"] * operations / most,
    }


def main() -> None:
    torch.set_float32_matmul_precision("high")
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    result = {
        "what": "AlexNet on augmented images 3×32×32, one epoch, without the set-up: images a second, medians of "
        "rounds in turns; the usual loop has a live teacher, two loader workers and float32",
        "command": "python -m benchmarks.throughput",
        "size": asdict(SIZE) | {"batch": BATCH},
        "device": "cpu",
        "precision": "bf16-mixed",
    } | measure(SIZE, fabric)
    write_json(Path("data/results/throughput_cpu.json"), result | provenance())
    print(json.dumps(result, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
