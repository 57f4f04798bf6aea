"""A training on examples that are streamed has the bits of the same training in memory."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from course_lib import measure
from course_lib.data import Views, from_dataset, load, streamed
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss, soft_target_loss
from course_lib.models import small_mlp
from course_lib.progress import Stopped
from course_lib.training import (
    Checkpoints,
    LiveTeacher,
    Objective,
    Recipe,
    Term,
    answers_from,
    cache_teacher,
    fit,
    fit_many,
    gradient_matching,
    hard_labels,
    layer_responses,
    soft_targets,
    teacher_logits,
)

VIEWS = Views(pad=1, flip=False)
SHORT = Recipe(steps=7, batch_size=16, lr=1e-2)  # an epoch is 3 steps, so that examples come again
DIGITS = load("digits", seed=0).train.take(torch.arange(50))
SOURCE = TensorDataset(DIGITS.images, DIGITS.labels)
MEMORY, STREAM = from_dataset(SOURCE), streamed(SOURCE, workers=0)


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return small_mlp()


def weights(run):
    return torch.cat([parameter.detach().flatten() for parameter in run.model.parameters()])


def with_dropout():
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))


def noisy(inputs, labels):
    return inputs + torch.rand_like(inputs), labels


def balanced():
    soft = Term("soft", soft_target_loss, weight="balanced", temperature=2.0)
    return Objective([Term("hard", hard_label_loss), soft])


@pytest.mark.parametrize(
    ("build", "objective", "settings"),
    [
        (small_mlp, soft_targets(), {}),
        (with_dropout, soft_targets(), {}),
        (small_mlp, soft_targets(), {"views": VIEWS}),
        (small_mlp, balanced(), {}),
        (small_mlp, hard_labels(), {"transform": noisy}),
    ],
)
def test_fit_has_the_same_bits(teacher, build, objective, settings):
    runs = [
        fit(build, objective, examples, SHORT, seed=3, teacher=teacher, **settings)
        for examples in (MEMORY, STREAM)
    ]
    assert torch.equal(*map(weights, runs))
    assert (runs[0].history["total"] == runs[1].history["total"]).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_change_no_bit(teacher, workers):
    several = streamed(SOURCE, workers=workers)
    one, other = (
        fit(with_dropout, soft_targets(), each, SHORT, teacher=teacher) for each in (MEMORY, several)
    )
    assert torch.equal(weights(one), weights(other))


def test_a_part_of_a_stream_and_a_live_teacher(teacher):
    rows = torch.tensor([40, 3, 17, 9, 22, 31])
    one, other = (
        fit(small_mlp, soft_targets(), each.take(rows), SHORT, teacher=LiveTeacher(teacher), views=VIEWS)
        for each in (MEMORY, STREAM)
    )
    assert torch.equal(weights(one), weights(other))


def test_the_cache_of_a_stream_is_that_of_the_memory(teacher, tmp_path):
    asked = {"soft_matrix": torch.eye(10), "layers": ["relu1"]}
    here, there = (cache_teacher(teacher, each, **asked) for each in (MEMORY, STREAM))
    assert here.key == there.key
    assert torch.equal(here.logits, there.logits)
    assert torch.equal(here.gradients, there.gradients)
    assert torch.equal(here.activations["relu1"], there.activations["relu1"])
    assert torch.equal(here.lookup(STREAM), there.lookup(MEMORY))
    one, other = (
        fit(small_mlp, gradient_matching(0.1), each, SHORT, teacher=there) for each in (MEMORY, STREAM)
    )
    assert torch.equal(weights(one), weights(other))
    outside = cache_teacher(teacher, STREAM, directory=tmp_path, mapped=True, dtype=torch.float16)
    inside = cache_teacher(teacher, MEMORY, dtype=torch.float16)
    one, other = (
        fit(small_mlp, soft_targets(), examples, SHORT, teacher=cache)
        for examples, cache in ((MEMORY, inside), (STREAM, outside))
    )
    assert torch.equal(weights(one), weights(other))


def test_networks_and_functions_are_asked_batch_by_batch(teacher):
    assert torch.equal(*(teacher_logits(teacher, each, batch_size=16) for each in (MEMORY, STREAM)))
    answers = [answers_from(teacher.eval().__call__, each, batch_size=16) for each in (MEMORY, STREAM)]
    assert answers[0].key == answers[1].key
    assert torch.equal(answers[0].logits, answers[1].logits)
    assert measure.evaluate(teacher, STREAM).accuracy == measure.evaluate(teacher, MEMORY).accuracy
    said = teacher_logits(teacher, STREAM)
    assert measure.accuracy(said, STREAM.labels) == measure.evaluate(teacher, MEMORY).accuracy


@pytest.mark.parametrize("first", [MEMORY, STREAM])
@pytest.mark.parametrize("views", [None, VIEWS])
def test_a_training_that_was_stopped_goes_on_with_the_same_bits(tmp_path, first, views):
    whole = fit(with_dropout, hard_labels(), MEMORY, SHORT, views=views)
    kept = {"checkpoints": Checkpoints(tmp_path, every=2, keep=9), "views": views}

    def stop(done, total):
        if done >= 4:
            raise Stopped

    with pytest.raises(Stopped):
        fit(with_dropout, hard_labels(), first, SHORT, progress=stop, **kept)
    assert len(kept["checkpoints"].files()) < 4
    rest = fit(with_dropout, hard_labels(), STREAM, SHORT, **kept)
    assert torch.equal(weights(whole), weights(rest))


class Counted(TensorDataset):
    """Remembers what it was asked for."""

    def __init__(self, *tensors):
        super().__init__(*tensors)
        self.asked = []

    def __getitem__(self, place):
        self.asked.append(place)
        return super().__getitem__(place)


def test_resuming_reads_nothing_of_the_steps_that_are_done(tmp_path):
    source = Counted(*SOURCE.tensors)
    stream = streamed(source, workers=0)
    kept = {"checkpoints": Checkpoints(tmp_path, every=100, extend=True)}
    fit(small_mlp, hard_labels(), stream, Recipe(100, 16), **kept)
    source.asked.clear()
    fit(small_mlp, hard_labels(), stream, Recipe(102, 16), **kept)
    assert len(source.asked) < 200  # what tells sets apart, first looks, and two steps; not a hundred


def test_a_batch_that_is_taken_in_parts_is_read_once(teacher):
    source, in_parts = Counted(*SOURCE.tensors), replace(SHORT, accumulate=2)
    stream = streamed(source, workers=0)
    source.asked.clear()
    other = fit(small_mlp, soft_targets(), stream, in_parts, teacher=LiveTeacher(teacher))
    assert len(source.asked) == 2 + 7 * 16  # a first look, and the steps
    one = fit(small_mlp, soft_targets(), MEMORY, in_parts, teacher=LiveTeacher(teacher))
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("views", [None, VIEWS])
def test_many_at_once_share_a_stream(teacher, views):
    one, other = (
        fit_many(small_mlp, soft_targets(), each, SHORT, seeds=[1, 2], teacher=teacher, views=views)
        for each in (MEMORY, STREAM)
    )
    for name, value in one.parameters.items():
        assert torch.equal(value, other.parameters[name])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            lambda: fit_many(small_mlp, hard_labels(), [STREAM, STREAM], SHORT, seeds=[0, 1]),
            "examples must be in memory for sets that differ between students, got streamed ones",
        ),
        (lambda: measure.trivial_baseline(STREAM, STREAM), "examples must be in memory for this"),
        (lambda: layer_responses(small_mlp(), "relu1", STREAM), "examples must be in memory for this"),
    ],
)
def test_what_needs_all_inputs_at_once_is_refused_in_a_sentence(wrong, words):
    with pytest.raises(CourseError, match=words):
        wrong()


def test_a_batch_that_is_cut_into_parts_is_read_once_and_ahead(teacher, monkeypatch):
    recipe = replace(SHORT, accumulate=2)
    views = {"views": VIEWS, "teacher": teacher, "seed": 3}
    in_memory = fit(with_dropout, soft_targets(), MEMORY, recipe, **views)
    batch = STREAM.batch
    rows = []
    monkeypatch.setattr(type(STREAM), "batch", lambda self, index: (rows.append(len(index)), batch(index))[1])
    read = fit(with_dropout, soft_targets(), STREAM, recipe, **views)
    assert torch.equal(*map(weights, (in_memory, read)))
    assert max(rows, default=0) < 8  # the rehearsal's examples, and no part of a batch
