"""Answers that stay in a file: a training reads what each batch needs, and its bits are those of answers in memory."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from course_lib.data import Examples, Views, load
from course_lib.errors import CourseError
from course_lib.models import small_mlp
from course_lib.training import (
    Checkpoints,
    Objective,
    Recipe,
    Term,
    cache_teacher,
    fit,
    fit_many,
    gradient_matching,
    save_answers,
    soft_targets,
    teacher_activation,
)

TRAIN = load("digits", seed=0).train.take(torch.arange(60))
SHUFFLED = TRAIN.take(torch.randperm(60, generator=torch.Generator().manual_seed(0)))
VIEWS = Views(pad=1, flip=False)
STATUS = Path("/proc/self/status")
SHORT = Recipe(steps=6, batch_size=20, lr=1e-2)


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return small_mlp()


def weights(run):
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


def both(teacher, folder, **form):
    """The same answers in memory, and in a file."""
    return cache_teacher(teacher, TRAIN, **form), cache_teacher(
        teacher, TRAIN, directory=folder, mapped=True, **form
    )


def features(objective):
    term = Term("features", lambda a: a.square().mean(), a=teacher_activation("relu1"))
    return Objective([*objective.terms, term])


@pytest.mark.parametrize("examples", [TRAIN, SHUFFLED, TRAIN.take(torch.arange(5, 45, 2))])
@pytest.mark.parametrize(
    ("objective", "form"),
    [
        (soft_targets(), {}),
        (soft_targets(), {"dtype": torch.float16}),
        (soft_targets(2.0), {"top_k": 3, "temperature": 2.0}),
        (features(gradient_matching(0.1)), {"soft_matrix": torch.eye(10), "layers": ["relu1"]}),
        (gradient_matching(0.1), {"soft_matrix": torch.randn(60, 10, 2)}),
    ],
)
def test_a_training_has_the_bits_of_one_from_memory(teacher, tmp_path, examples, objective, form):
    inside, outside = both(teacher, tmp_path, **form)
    assert outside.mapped
    assert not inside.mapped
    one, other = (fit(small_mlp, objective, examples, SHORT, teacher=each) for each in (inside, outside))
    assert torch.equal(weights(one), weights(other))
    assert torch.equal(inside.lookup(examples), outside.lookup(examples))


@pytest.mark.parametrize("trained", [VIEWS, None])
@pytest.mark.parametrize("examples", [TRAIN, SHUFFLED])
def test_views_are_found_in_the_file(teacher, tmp_path, examples, trained):
    inside, outside = both(teacher, tmp_path, views=VIEWS)
    one, other = (
        fit(small_mlp, soft_targets(), examples, SHORT, teacher=each, views=trained)
        for each in (inside, outside)
    )
    assert torch.equal(weights(one), weights(other))


def test_many_students_with_a_file_each(teacher, tmp_path):
    caches = [both(network, tmp_path) for network in (teacher, small_mlp())]
    one, other = (
        fit_many(small_mlp, soft_targets(), SHUFFLED, SHORT, seeds=[1, 2], teacher=list(each))
        for each in zip(*caches, strict=True)
    )
    for name, value in one.parameters.items():
        assert torch.equal(value, other.parameters[name])


def test_a_checkpoint_goes_on_with_answers_from_a_file(teacher, tmp_path):
    inside, outside = both(teacher, tmp_path / "answers")
    whole = fit(small_mlp, soft_targets(), TRAIN, SHORT, teacher=inside)
    kept = {"checkpoints": Checkpoints(tmp_path / "kept", every=3, extend=True)}
    fit(small_mlp, soft_targets(), TRAIN, Recipe(3, 20, lr=1e-2), teacher=inside, **kept)
    rest = fit(small_mlp, soft_targets(), TRAIN, SHORT, teacher=outside, **kept)
    assert torch.equal(weights(whole), weights(rest))


def test_it_is_one_file_and_the_one_that_others_read(teacher, tmp_path):
    outside = cache_teacher(teacher, SHUFFLED, directory=tmp_path, mapped=True)
    (path,) = tmp_path.iterdir()
    changed = path.stat().st_mtime_ns
    inside = cache_teacher(teacher, TRAIN, directory=tmp_path)
    assert path.stat().st_mtime_ns == changed
    assert torch.equal(inside.logits, outside.logits)
    assert not inside.mapped
    assert save_answers(outside, tmp_path / "answers.npz").exists()


def test_a_damaged_file_is_refused_in_a_sentence(teacher, tmp_path):
    cache_teacher(teacher, TRAIN, directory=tmp_path, mapped=True)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CourseError, match=r"the teacher cache .* cannot be read .*; delete it"):
        cache_teacher(teacher, TRAIN, directory=tmp_path, mapped=True)
    place = whole.index(cache_teacher(teacher, TRAIN).logits.numpy().tobytes()[-64:])
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(CourseError, match=r"the teacher cache .* is damaged; delete it"):
        cache_teacher(teacher, TRAIN, directory=tmp_path, mapped=True)


def test_a_file_needs_a_folder_and_room(teacher, tmp_path, monkeypatch):
    with pytest.raises(CourseError, match="directory must be given with mapped=True"):
        cache_teacher(teacher, TRAIN, mapped=True)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(CourseError, match=r"cannot keep the answers in .*: No space left on device"):
        cache_teacher(teacher, TRAIN, directory=tmp_path, mapped=True)
    assert not list(tmp_path.iterdir())


class Wide(nn.Module):
    """Answers much larger than the question."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return (self.scale * x).expand(-1, 100_000)


@pytest.mark.skipif(not STATUS.exists(), reason="memory is counted as Linux does")
def test_making_and_reading_take_less_memory_than_the_answers(tmp_path):
    many = Examples(inputs=torch.arange(200.0)[:, None], labels=torch.zeros(200, dtype=torch.int64))
    teacher, held = Wide(), []

    def anonymous():
        fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return int(fields["RssAnon"].split()[0]) * 1024

    before = anonymous()
    teacher.register_forward_hook(lambda *_: held.append(anonymous()))
    cache = cache_teacher(teacher, many, directory=tmp_path, mapped=True, batch_size=4)
    assert cache.bytes == 80_000_000
    assert max(*held, anonymous()) - before < 40_000_000
