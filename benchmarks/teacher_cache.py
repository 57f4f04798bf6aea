"""An epoch of distillation with the teacher's answers cached, with a live teacher, and on hard labels alone."""

import torch
from torch import nn

from benchmarks.timing import ratio, take_turns, timed
from course_lib.data import Examples
from course_lib.losses import hard_label_loss, soft_target_loss
from course_lib.training import Recipe, cache_teacher, fit, hard_labels, soft_targets

IMAGES, BATCH = 2048, 128


def teacher_network() -> nn.Module:
    """The teacher of PyTorch's knowledge-distillation tutorial, from its description: 1,186,986 parameters."""
    return nn.Sequential(
        *(
            nn.Conv2d(3, 128, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(128, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ),
        *(
            nn.Conv2d(64, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ),
        *(nn.Flatten(), nn.Linear(2048, 512), nn.ReLU(), nn.Dropout(0.1), nn.Linear(512, 10)),
    )


def student_network() -> nn.Module:
    """Its student: 267,738 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Dropout(0.1), nn.Linear(256, 10)),
    )


def random_images() -> Examples:
    """Noise of CIFAR-10's shape: the speed does not depend on what is on the images."""
    generator = torch.Generator().manual_seed(0)
    return Examples(
        images=torch.randint(256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=generator),
        labels=torch.randint(10, (IMAGES,), generator=generator),
        index=torch.arange(IMAGES),
        mean=torch.full((3,), 0.5),
        std=torch.full((3,), 0.25),
    )


def live_teacher_epoch(examples: Examples) -> None:
    """The usual loop: the teacher is asked again in every step."""
    torch.manual_seed(0)
    teacher, student = teacher_network().eval(), student_network()
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3, fused=True)
    for rows in torch.randperm(IMAGES).split(BATCH):
        inputs = examples.batch(rows)
        with torch.no_grad():
            teacher_logits = teacher(inputs)
        logits = student(inputs)
        loss = 0.75 * hard_label_loss(logits, examples.labels[rows]) + 0.25 * soft_target_loss(
            logits, teacher_logits, 2.0
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def measure(rounds: int = 7) -> list[dict]:
    """Two rows: cached ÷ hard, which has a target, and live ÷ hard, which is what the cache saves.

    What is timed is the epoch, without the set-up of a training run (such as finding the teacher's answers), which
    comes once for all epochs.
    """
    torch.manual_seed(0)
    examples = random_images()
    cache = cache_teacher(teacher_network(), examples)
    recipe = Recipe(steps=IMAGES // BATCH, batch_size=BATCH, lr=1e-3)
    seconds = take_turns(
        {
            "hard": lambda: fit(student_network, hard_labels(), examples, recipe).seconds,
            "cached": lambda: (
                fit(student_network, soft_targets(2.0, 0.25), examples, recipe, teacher=cache).seconds
            ),
            "live": lambda: timed(lambda: live_teacher_epoch(examples)),
        },
        rounds,
    )
    what = f"epoch of {IMAGES} images 3×32×32, PyTorch tutorial's pair, batch {BATCH}"
    return [
        {
            "what": "distillation with the teacher cached ÷ hard labels only",
            "setting": what,
            "ratio": ratio(seconds["cached"], seconds["hard"]),
            "target": "≤ 1.05",
        },
        {
            "what": "distillation with a live teacher ÷ hard labels only",
            "setting": what,
            "ratio": ratio(seconds["live"], seconds["hard"]),
            "target": None,
        },
    ]
