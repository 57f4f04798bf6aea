"""Mixed and cropped batches: the live teacher sees what the student sees, as in a loop by hand."""

from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import chain, islice

import pytest
import torch
from stopping import stopped_after
from torch import nn

from course_lib.data import Examples, Views, load
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss, logit_loss, soft_target_loss
from course_lib.matrices import cross_entropy_matrix
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import (
    Checkpoints,
    LiveTeacher,
    Objective,
    Recipe,
    Term,
    cache_teacher,
    extra,
    fit,
    gradient_matching,
    hard_labels,
    soft_targets,
)
from course_lib.training.recipe import batch_order

v2 = import_module("torchvision.transforms.v2")
RECIPE = Recipe(steps=6, batch_size=16, optimizer="sgd", lr=0.05)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(40, seed=0)


@pytest.fixture(scope="module")
def teacher():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return cnn_teacher().eval()


def mixing():
    return v2.Compose([v2.RandomResizedCrop(8, scale=(0.5, 1.0)), v2.MixUp(num_classes=10, alpha=0.5)])


def with_dropout():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.2), nn.Linear(16, 10))


GOAL = Objective(
    [
        Term("hard", hard_label_loss, 0.5),
        Term("soft", soft_target_loss, temperature=2.0),
        Term("l", logit_loss),
    ]
)


def test_it_is_what_a_loop_by_hand_does(train, teacher):
    run = fit(with_dropout, GOAL, train, RECIPE, teacher=LiveTeacher(teacher), transform=mixing())
    transform = mixing()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = with_dropout()
        transform(train.inputs[:2], train.labels[:2])  # the look before the first step
        optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
        for rows in islice(chain.from_iterable(batch_order(40, 16, 0)), RECIPE.steps):
            inputs, labels = transform(train.inputs[rows], train.labels[rows])
            with torch.no_grad():
                said = teacher(inputs)
            logits = network(inputs)
            optimizer.zero_grad()
            hard = -(labels * logits.log_softmax(1)).sum(1).mean()
            (0.5 * hard + soft_target_loss(logits, said, 2.0) + logit_loss(logits, said)).backward()
            optimizer.step()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value, rtol=1e-4, atol=1e-6)


class Seeing(nn.Module):
    """Remembers what it was shown."""

    def __init__(self, network):
        super().__init__()
        self.network, self.seen = network, []

    def forward(self, inputs):
        self.seen.append(inputs.detach().clone())
        return self.network(inputs)


def test_views_come_first_and_both_see_the_same(train, teacher):
    student, big, changed = Seeing(small_mlp()), Seeing(teacher), []

    def darker(inputs, labels):
        changed.append((inputs.clone(), labels))
        return inputs - 1, labels

    settings = {"views": Views(pad=1, flip=False), "transform": darker}
    fit(lambda: student, soft_targets(), train, RECIPE, teacher=LiveTeacher(big), **settings)
    assert len(student.seen) == len(big.seen) == len(changed) == RECIPE.steps + 1
    for mine, theirs, (before, labels) in zip(student.seen, big.seen, changed, strict=True):
        assert torch.equal(mine, theirs)
        assert torch.equal(mine, before - 1)
        assert len(labels) == len(mine)
    originals = {each.numpy().tobytes() for each in train.inputs}
    assert any(each.numpy().tobytes() not in originals for before, _ in changed for each in before)


@pytest.mark.parametrize("taught", [False, True])
def test_a_stopped_training_ends_with_the_same_bits(taught, train, teacher, tmp_path):
    goal, more = (soft_targets(), {"teacher": LiveTeacher(teacher)}) if taught else (hard_labels(), {})

    def trained(places=None):
        run = fit(with_dropout, goal, train, RECIPE, transform=mixing(), checkpoints=places, **more)
        return run.model.state_dict()

    whole, places = trained(), Checkpoints(tmp_path, every=2)
    with stopped_after(2):
        trained(places)
    rest = trained(places)
    assert all(torch.equal(value, rest[name]) for name, value in whole.items())


def test_another_seed_draws_other_mixtures_and_none_changes_the_labels_kept(train):
    labels, seen = train.labels.clone(), []

    def watched(inputs, labels):
        seen.append(mixing()(inputs, labels)[1])
        return mixing()(inputs, labels)

    for seed in (0, 0, 1):
        fit(small_mlp, hard_labels(), train, replace(RECIPE, steps=1), seed=seed, transform=watched)
    assert torch.equal(seen[1], seen[3])
    assert not torch.equal(seen[1], seen[5])
    assert torch.equal(train.labels, labels)


def brighter(inputs, labels, by=1.0):
    return inputs + by, labels


class Nameless:
    def __call__(self, inputs, labels):
        return inputs, labels


def test_another_transform_is_another_training(train, tmp_path):
    for first, second, words in (
        (brighter, None, r"another transform: test_transform\.brighter\[by=1\.0\], now none"),
        (partial(brighter, by=1.0), partial(brighter, by=2.0), r"by=1\.0\), now .*by=2\.0\)"),
        (v2.MixUp(num_classes=10), v2.MixUp(num_classes=10, alpha=0.1), r"alpha=1\.0.*now .*alpha=0\.1"),
        (None, brighter, r"another transform: none, now test_transform\.brighter"),
    ):
        places = Checkpoints(tmp_path / words[:20].replace("\\", ""))
        fit(small_mlp, hard_labels(), train, RECIPE, transform=first, checkpoints=places)
        with pytest.raises(CourseError, match=words):
            fit(small_mlp, hard_labels(), train, RECIPE, transform=second, checkpoints=places)


@pytest.mark.parametrize("transform", [Nameless(), v2.Compose([Nameless()])])
def test_what_a_checkpoint_cannot_know_again_is_refused_only_there(transform, train, tmp_path):
    fit(small_mlp, hard_labels(), train, RECIPE, transform=transform)
    with pytest.raises(CourseError, match=r"transform must be .* a checkpoint can recognise, got .*Nameless"):
        fit(small_mlp, hard_labels(), train, RECIPE, transform=transform, checkpoints=Checkpoints(tmp_path))


def test_a_teacher_that_does_not_see_the_batch_is_refused(train, teacher):
    for known in (teacher, cache_teacher(teacher, train)):
        with pytest.raises(CourseError, match="teacher must be a LiveTeacher where there is a transform"):
            fit(small_mlp, soft_targets(), train, RECIPE, teacher=known, transform=brighter)
    fit(small_mlp, hard_labels(), train, RECIPE, teacher=teacher, transform=brighter)  # nobody asks it


def test_what_does_not_change_with_the_inputs_is_refused(train):
    def of_index(student_logits, index):
        return (student_logits.mean(1) * index).mean()

    def of_mask(student_logits, mask):
        return (student_logits.mean(1) * mask).mean()

    masked = Examples(inputs=train.inputs, labels=train.labels, extras={"mask": torch.ones(40)})
    for loss, more in ((of_index, {}), (of_mask, {"mask": extra("mask")})):
        goal = Objective([Term("hard", hard_label_loss), Term("own", loss, **more)])
        with pytest.raises(CourseError, match="the term own asks for the index or an extra"):
            fit(small_mlp, goal, masked, RECIPE, transform=brighter)


@pytest.mark.parametrize(
    ("transform", "came"),
    [
        (lambda inputs, labels: inputs, r"got \(2, 1, 8, 8\)"),
        (lambda inputs, labels: None, "got NoneType"),
        (lambda inputs, labels: (inputs, labels[:1]), r"got \(2, 1, 8, 8\), \(1,\)"),
        (lambda inputs, labels: (inputs, "labels"), r"got \(2, 1, 8, 8\), str"),
        (lambda inputs, labels: (), "got nothing"),
    ],
)
def test_what_is_no_batch_is_refused_before_the_first_step(transform, came, train):
    with pytest.raises(CourseError, match=f"transform must return .* a row for each of 2 examples, {came}"):
        fit(small_mlp, hard_labels(), train, RECIPE, transform=transform)


def test_labels_are_there_to_be_mixed_where_no_term_asks_for_them(train):
    def loud(student_logits):
        return student_logits.square().mean()

    fit(small_mlp, Objective([Term("loud", loud)]), train, RECIPE, transform=mixing())


def test_gradients_of_mixed_images_are_asked_with_their_mixed_labels(train, teacher):
    asked = []

    def matrix(logits, labels):
        asked.append(labels)
        return cross_entropy_matrix(logits, labels)

    live = LiveTeacher(teacher, matrix)
    run = fit(small_mlp, gradient_matching(), train, RECIPE, teacher=live, transform=mixing())
    assert len(asked) == RECIPE.steps + 1
    assert all(labels.shape[1:] == (10,) for labels in asked)
    assert (run.history["matching"] > 0).all()
