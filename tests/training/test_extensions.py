"""What a stranger adds without touching the package: each in at most fifteen lines, resumable to the bit."""

import ast
import inspect

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from stopping import stopped_after
from torch import nn

from course_lib._torchvision import torchvision
from course_lib.data import Examples, from_folder, load
from course_lib.losses import hard_label_loss, soft_target_loss
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    Checkpoints,
    Objective,
    Recipe,
    Term,
    cache_teacher,
    extra,
    fit,
    soft_targets,
    student_activation,
    teacher_activation,
)

RECIPE = Recipe(steps=20, batch_size=16, lr=1e-3)


def clipped_loss(student_logits, teacher_logits, temperature, limit):
    return soft_target_loss(student_logits, teacher_logits, temperature).clamp(max=limit)


def a_loss_with_two_settings(places, folder):
    few = load("digits").train.subset(50, seed=0)
    clipped = Term("clipped", clipped_loss, temperature=4.0, limit=20.0)
    objective = Objective([Term("hard", hard_label_loss), clipped])
    return fit(small_mlp, objective, few, RECIPE, teacher=cnn_teacher_of_zero(), checkpoints=places)


class Hint(nn.Linear):
    def forward(self, student, teacher):
        return (super().forward(student) - teacher.flatten(1)).square().mean()


def a_projector(places, folder):
    few = load("digits").train.subset(50, seed=0)
    cache = cache_teacher(cnn_teacher_of_zero(), few, layers=["relu3"])
    features = {"student": student_activation("relu2"), "teacher": teacher_activation("relu3")}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        hint = Term("hint", Hint(16, 1024), weight="balanced", **features)
    return fit(
        small_mlp,
        Objective([Term("hard", hard_label_loss), hint]),
        few,
        RECIPE,
        teacher=cache,
        checkpoints=places,
    )


class Contrast(nn.Module):
    def __init__(self, examples, width):
        super().__init__()
        self.register_buffer("memory", torch.zeros(examples, width))

    def forward(self, student, index):
        z = F.normalize(student, dim=1)
        others = self.memory.clone() @ z.T / 0.1  # (examples, N)
        self.memory[index] = z.detach()
        return others.logsumexp(dim=0).mean()


def a_memory(places, folder):
    few = load("digits").train.subset(50, seed=0)
    contrast = Term("contrast", Contrast(2000, 16), 0.01, student=student_activation("relu2"))
    objective = Objective([Term("hard", hard_label_loss), contrast])
    return fit(small_mlp, objective, few, RECIPE, checkpoints=places)


def a_transformer_on_text(places, folder):
    tokens = torch.randint(0, 20, (60, 10), generator=torch.Generator().manual_seed(0))
    texts = Examples(inputs=tokens, labels=tokens.roll(1, dims=1), extras={"mask": tokens > 2})

    def build():
        block = nn.TransformerEncoderLayer(16, nhead=2, dim_feedforward=32, dropout=0.1, batch_first=True)
        return nn.Sequential(nn.Embedding(20, 16), block, nn.Linear(16, 20))

    objective = Objective([Term("hard", hard_label_loss, mask=extra("mask"))])
    return fit(build, objective, texts, RECIPE, checkpoints=places)


def photographs_with_a_resnet(places, folder):
    photos = from_folder(folder, size=24, progress=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        teacher = torchvision.models.resnet18(num_classes=2)
    fit_once = Recipe(steps=2, batch_size=8)
    teacher = fit(lambda: teacher, Objective([Term("hard", hard_label_loss)]), photos.train, fit_once).model

    def build():
        return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 11 * 11, 2))

    return fit(
        build,
        soft_targets(2.0),
        photos.train,
        RECIPE,
        teacher=cache_teacher(teacher, photos.train),
        checkpoints=places,
    )


def cnn_teacher_of_zero():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return cnn_teacher()


EXTENSIONS = {
    a_loss_with_two_settings: clipped_loss,
    a_projector: Hint,
    a_memory: Contrast,
    a_transformer_on_text: None,
    photographs_with_a_resnet: None,
}


@pytest.fixture
def pictures(tmp_path):
    draw = torch.Generator().manual_seed(0)
    for name in ("cats", "dogs"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(12):
            side = 24 + int(torch.randint(20, (), generator=draw))
            pixels = torch.randint(0, 256, (side, 30, 3), generator=draw).to(torch.uint8).numpy()
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda each: each.__name__)
def test_an_extension_trains_and_is_resumed_to_the_bit(extension, pictures, tmp_path):
    whole = extension(None, pictures)
    places = Checkpoints(tmp_path / "kept", every=10)
    with stopped_after(10):
        extension(places, pictures)
    rest = extension(places, pictures)
    assert len(rest.history["total"]) == RECIPE.steps
    for name, value in whole.model.state_dict().items():
        assert torch.equal(rest.model.state_dict()[name], value), name
    for name, module in whole.losses.items():
        assert all(torch.equal(v, rest.losses[name].state_dict()[k]) for k, v in module.state_dict().items())


def statements(thing):
    """Lines that somebody has to write, a call over several lines counted once."""
    tree = ast.parse(inspect.getsource(thing))
    return sum(isinstance(each, ast.stmt) for each in ast.walk(tree))


@pytest.mark.parametrize("extension", EXTENSIONS, ids=lambda each: each.__name__)
def test_an_extension_is_short(extension):
    own = EXTENSIONS[extension]
    assert statements(extension) + (statements(own) if own else 0) <= 15
