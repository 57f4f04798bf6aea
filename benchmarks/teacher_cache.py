"""An epoch of distillation with the teacher's answers kept, on hard labels alone, and in the loops one usually writes.

With augmentation, and the pair of networks of PyTorch's knowledge-distillation tutorial.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import ratio, take_turns, timed
from benchmarks.torchdistill_loop import torchdistill_epoch
from course_lib._torchvision import torchvision
from course_lib.data import Examples, Views
from course_lib.training import Recipe, cache_teacher, fit, hard_labels, soft_targets

IMAGES, BATCH = 2048, 128
VIEWS = Views(pad=4, stride=4)  # which views there are costs nothing in the epoch, only before


def teacher_network() -> nn.Module:
    """The teacher of PyTorch's knowledge-distillation tutorial, from its description: 1,186,986 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(3, 128, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(128, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(64, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(2048, 512), nn.ReLU(), nn.Dropout(0.1), nn.Linear(512, 10)),
    )


def student_network() -> nn.Module:
    """Its student: 267,738 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Dropout(0.1), nn.Linear(256, 10)),
    )


def random_images(number: int = IMAGES) -> Examples:
    """Noise of CIFAR-10's shape: the speed does not depend on what is on the images."""
    generator = torch.Generator().manual_seed(0)
    return Examples(
        images=torch.randint(256, (number, 3, 32, 32), dtype=torch.uint8, generator=generator),
        labels=torch.randint(10, (number,), generator=generator),
        index=torch.arange(number),
        mean=torch.full((3,), 0.5),
        std=torch.full((3,), 0.25),
    )


class Decoded(Dataset):
    """Images as the usual loop has them: decoded, transformed one by one in the loader's workers."""

    def __init__(self, examples: Examples, augment: bool = True):
        transforms = torchvision.transforms
        random = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
        self.images, self.labels = examples.images.permute(0, 2, 3, 1).numpy(), examples.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                *(random if augment else ()),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.transform(self.images[place]), self.labels[place]


def usual_loader(examples: Examples, augment: bool = True, workers: int = 2) -> DataLoader:
    """Workers that stay between the epochs."""
    images = Decoded(examples, augment)
    return DataLoader(images, BATCH, shuffle=True, num_workers=workers, persistent_workers=True)


def live_teacher_epoch(
    loader: DataLoader, teacher: nn.Module, student: nn.Module, device: torch.device | str = "cpu"
) -> None:
    """The usual loop: the teacher is asked again in every step."""
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    for inputs, labels in loader:
        inputs, labels = inputs.to(device), labels.to(device)
        with torch.no_grad():
            teacher_logits = teacher(inputs)
        loss = usual_loss(student(inputs), teacher_logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def usual_loss(logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> Tensor:
    """The tutorial's mix, with PyTorch's functions."""
    soft = F.kl_div(F.log_softmax(logits / 2, 1), F.softmax(teacher_logits / 2, 1), reduction="batchmean")
    return 0.75 * F.cross_entropy(logits, labels) + 0.25 * 4 * soft


def measure(rounds: int = 5) -> list[dict]:
    """Ratios of an epoch, without the set-up of a training, which comes once for all epochs."""
    torch.manual_seed(0)
    examples = random_images()
    cache = cache_teacher(teacher_network(), examples, views=VIEWS)
    recipe = Recipe(steps=IMAGES // BATCH, batch_size=BATCH, lr=1e-3)
    loader = usual_loader(examples)

    def ours(objective, **settings) -> Callable[[], float]:
        return lambda: fit(student_network, objective, examples, recipe, views=VIEWS, **settings).seconds

    contestants = {
        "hard": ours(hard_labels()),
        "kept": ours(soft_targets(2.0, 0.25), teacher=cache),
        "usual": lambda: timed(
            lambda: live_teacher_epoch(loader, teacher_network().eval(), student_network())
        ),
    }
    theirs = torchdistill_epoch(teacher_network().eval(), student_network(), Decoded(examples), BATCH)
    if theirs:
        contestants["torchdistill"] = lambda: timed(theirs)
    seconds = take_turns(contestants, rounds)
    setting = f"epoch of {IMAGES} augmented images 3×32×32, PyTorch tutorial's pair, batch {BATCH}"

    def row(what: str, over: str, under: str, target: str | None) -> dict:
        return {
            "what": what,
            "setting": setting,
            "ratio": ratio(seconds[over], seconds[under]),
            "target": target,
        }

    rows = [
        row("distillation with the teacher kept ÷ hard labels only", "kept", "hard", "≤ 1.05"),
        row(
            "the usual loop (live teacher, two loader workers) ÷ distillation with the teacher kept",
            "usual",
            "kept",
            "≥ 5",
        ),
    ]
    if theirs:
        rows.append(
            row(
                "torchdistill's loop (live teacher, two workers) ÷ distillation with the teacher kept",
                "torchdistill",
                "kept",
                None,
            )
        )
    return rows
