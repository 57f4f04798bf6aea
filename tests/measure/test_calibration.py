"""Calibration against closed forms, the four diagnostic numbers, and the classical baselines."""

import math
import warnings

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.measure import (
    accuracy,
    agreement,
    calibrating_temperature,
    confidence_gap,
    diagnose,
    expected_calibration_error,
    reliability,
    trivial_baseline,
)
from course_lib.models import small_mlp
from course_lib.training import Recipe, Run, fit_many, hard_labels, teacher_logits


def two_classes(confidences):
    """Logits that say class 0 with these probabilities."""
    return torch.tensor([[math.log(p / (1 - p)), 0.0] for p in confidences], dtype=torch.float64)


def test_the_confidence_gap_is_mean_confidence_minus_accuracy():
    logits = torch.stack([two_classes([0.9, 0.8, 0.7]), two_classes([0.6, 0.6, 0.6])])
    found = confidence_gap(logits, torch.tensor([0, 1, 0]))
    assert found.tolist() == pytest.approx([0.8 - 2 / 3, 0.6 - 2 / 3])


def test_reliability_gives_each_bin_its_mean_confidence_accuracy_and_number():
    certain = torch.tensor(
        [[800.0, 0.0]], dtype=torch.float64
    )  # a confidence of exactly 1 is in the last bin
    logits = torch.cat([two_classes([0.61, 0.69, 0.85, 0.95]), certain])
    found = reliability(logits, torch.tensor([0, 1, 1, 0, 0]), bins=10)
    assert [(each.count, each.accuracy) for each in found] == [(2, 0.5), (1, 0.0), (2, 1.0)]
    assert [each.confidence for each in found] == pytest.approx([0.65, 0.85, 0.975])


def test_the_gaps_of_the_bins_make_the_expected_calibration_error():
    logits = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)).double() * 2
    labels = torch.arange(200) % 5
    bins = reliability(logits, labels, bins=15)
    expected = sum(abs(each.confidence - each.accuracy) * each.count for each in bins) / 200
    assert expected_calibration_error(logits, labels, bins=15) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_calibrating_temperature_in_closed_form(temperature):
    """Two classes, logits (T · log 3, 0), right three times of four: then softmax(z/T) = 3/4 is the best answer."""
    logits = torch.tensor([[temperature * math.log(3), 0.0]]).expand(8, 2)
    labels = torch.tensor([0, 0, 0, 1] * 2)
    assert calibrating_temperature(logits, labels) == pytest.approx(temperature, rel=1e-4)


def test_where_all_is_right_or_chance_the_temperature_is_at_its_end():
    logits = two_classes([0.9, 0.8])
    assert calibrating_temperature(logits, torch.tensor([0, 0])) == pytest.approx(0.05, rel=1e-3)
    assert calibrating_temperature(logits, torch.tensor([1, 1])) == pytest.approx(100, rel=1e-3)


def test_logits_that_still_have_a_graph_are_measured_without_it():
    logits, labels = two_classes([0.9, 0.8, 0.7]).requires_grad_(), torch.tensor([0, 1, 0])
    gap = confidence_gap(logits, labels)
    assert not gap.requires_grad
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PyTorch warns of a number taken out of a graph
        assert reliability(logits, labels) == reliability(logits.detach(), labels)
        assert calibrating_temperature(logits, labels) == calibrating_temperature(logits.detach(), labels)


@pytest.fixture(scope="module")
def digits():
    return load("digits", seed=0)


def test_diagnosis_of_many_students_on_their_own_images(digits):
    sets = [digits.train.subset(50, seed=seed) for seed in (3, 4)]
    runs = fit_many(small_mlp, hard_labels(), sets, Recipe(steps=60), seeds=[3, 4])
    torch.manual_seed(0)
    answers = teacher_logits(small_mlp(), digits.test)
    found = diagnose(runs, sets, digits.test, answers)
    logits = runs.logits(digits.test.inputs)
    assert torch.equal(found.test, accuracy(logits, digits.test.labels))
    assert torch.equal(found.agreement, agreement(logits, answers))
    assert torch.equal(found.confidence_gap, confidence_gap(logits, digits.test.labels))
    own = [float(accuracy(runs.logits(each.inputs)[place], each.labels)) for place, each in enumerate(sets)]
    assert found.train.tolist() == own
    assert own[0] != float(accuracy(runs.logits(sets[1].inputs)[0], sets[1].labels))  # not somebody else's
    one = diagnose(Run(runs.model(1), {}, 0.0, 4), sets[1], digits.test)
    assert one.train.tolist() == own[1:]
    assert one.agreement is None


class Means(nn.Module):
    """Logits by the squared distance to given images: the nearest neighbour as a network."""

    def __init__(self, examples):
        super().__init__()
        self.register_buffer("seen", examples.inputs.flatten(1))
        self.register_buffer("labels", examples.labels)

    def forward(self, x):
        nearest = torch.cdist(x.flatten(1), self.seen).argmin(dim=1)
        return torch.nn.functional.one_hot(self.labels[nearest], 10).float()


def test_the_nearest_neighbour_is_what_it_says(digits):
    few = digits.train.subset(50, seed=0)
    expected = accuracy(teacher_logits(Means(few), digits.test), digits.test.labels)
    assert trivial_baseline(few, digits.test, "nearest neighbour").tolist() == [float(expected)]


def test_logistic_regression_learns_each_set(digits):
    sets = [digits.train.subset(50, seed=seed) for seed in range(3)]
    found = trivial_baseline(sets, digits.test)
    inputs, labels = digits.test.inputs.flatten(1).numpy(), digits.test.labels.numpy()
    models = [
        LogisticRegression(max_iter=2000).fit(each.inputs.flatten(1).numpy(), each.labels) for each in sets
    ]
    expected = [float((model.predict(inputs) == labels).mean()) for model in models]
    assert found.dtype == torch.float64
    assert found.tolist() == expected
    assert len(set(expected)) > 1
    assert min(expected) > 0.75


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda d: trivial_baseline(d.train, d.test, "svm"),
            "kind must be one of logistic regression, nearest",
        ),
        (lambda d: trivial_baseline([], d.test), "seen must hold at least one set"),
        (
            lambda d: diagnose(small_mlp(), [d.train] * 2, d.test),
            "seen must be one set, or one per student (1)",
        ),
        (lambda d: diagnose("student", d.train, d.test), "students must be what fit or fit_many gave"),
        (lambda d: reliability(torch.zeros(2, 3), torch.tensor([0, 1]), bins=0), "bins must be an integer"),
        (lambda d: calibrating_temperature(torch.zeros(2, 3), torch.tensor([0])), "logits must have shape"),
    ],
)
def test_what_cannot_be_measured_is_refused(digits, call, words):
    with pytest.raises(CourseError) as caught:
        call(digits)
    assert str(caught.value).startswith(words)
