"""Scores of answers against counts made by hand."""

import math

import pytest
import torch
from torch import nn

from course_lib.data import Examples
from course_lib.errors import CourseError
from course_lib.measure import accuracy, agreement, confusion, evaluate, expected_calibration_error

# Four examples, three classes; the answers are 0, 1, 2, 1.
LOGITS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [-5.0, -4.0, -3.0], [0.0, 0.5, 0.4]])
LABELS = torch.tensor([0, 1, 1, 2])


def with_confidence(confidence, answer=0, classes=2):
    """Logits of one example that give this confidence to the answer and share out the rest."""
    row = [math.log((1 - confidence) / (classes - 1))] * classes
    row[answer] = math.log(confidence)
    return row


def test_accuracy_is_the_share_of_right_answers():
    assert accuracy(LOGITS, LABELS).item() == 2 / 4
    assert accuracy(LOGITS, LABELS).shape == ()


def test_accuracy_of_many_students_is_theirs_one_by_one():
    stacked = torch.stack([LOGITS, -LOGITS, LOGITS.roll(1, dims=1)])  # answers 0121, 2000, 1202
    assert accuracy(stacked, LABELS).tolist() == [2 / 4, 0 / 4, 1 / 4]
    grid = stacked[:, None].expand(3, 2, 4, 3)
    assert accuracy(grid, LABELS).tolist() == [[2 / 4] * 2, [0.0] * 2, [1 / 4] * 2]


def test_accuracy_of_many_examples_is_not_rounded_away():
    labels = torch.zeros(3, dtype=torch.int64)
    assert accuracy(torch.eye(3), labels).item() == 1 / 3  # float32 would be off by 1e-8


def test_agreement_asks_for_the_same_class_right_or_wrong():
    teacher = torch.tensor([[9.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0], [0.0, 9.0, 0.0]])  # 0, 0, 2, 1
    assert agreement(LOGITS, teacher).item() == 3 / 4
    assert agreement(torch.stack([LOGITS, teacher, -LOGITS]), teacher).tolist() == [3 / 4, 1.0, 1 / 4]


def test_confusion_has_a_row_per_true_class():
    counts = confusion(LOGITS, torch.tensor([0, 1, 1, 0]))
    assert counts.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert counts.dtype == torch.int64


def test_confusion_keeps_classes_that_do_not_occur():
    assert confusion(torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([0])).tolist() == [
        [1, 0, 0],
        [0, 0, 0],
        [0, 0, 0],
    ]


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        # .52 right and .58 wrong fall in (.5, .6]: mean confidence .55, accuracy .5; .72 right; .95 right, .97 wrong.
        (10, (2 * abs(0.55 - 0.5) + abs(0.72 - 1) + 2 * abs(0.96 - 0.5)) / 5),
        # Halves: nothing in the lower one.
        (2, abs((0.52 + 0.58 + 0.72 + 0.95 + 0.97) / 5 - 3 / 5)),
        # (.5, .75] and (.75, 1].
        (4, (3 * abs((0.52 + 0.58 + 0.72) / 3 - 2 / 3) + 2 * abs(0.96 - 0.5)) / 5),
    ],
)
def test_calibration_error_weighs_the_gaps_of_the_bins(bins, expected):
    confidences, right = [0.52, 0.58, 0.72, 0.95, 0.97], [True, False, True, True, False]
    logits = torch.tensor([with_confidence(confidence) for confidence in confidences])
    labels = torch.tensor([0 if answer else 1 for answer in right])
    assert expected_calibration_error(logits, labels, bins=bins) == pytest.approx(expected, abs=1e-6)


def test_calibration_error_has_15_bins_unless_told():
    logits = torch.tensor([with_confidence(0.59), with_confidence(0.61)])  # on both sides of 9/15
    labels = torch.tensor([0, 1])
    apart, together = (abs(0.59 - 1) + abs(0.61 - 0)) / 2, abs(0.6 - 0.5)
    assert expected_calibration_error(logits, labels) == pytest.approx(apart, abs=1e-6)
    for bins in (14, 16):  # (8/14, 9/14], (9/16, 10/16]
        assert expected_calibration_error(logits, labels, bins=bins) == pytest.approx(together, abs=1e-6)


def test_who_is_right_as_often_as_sure_has_no_calibration_error():
    logits = torch.tensor([with_confidence(0.75, 1, 4)] * 4 + [with_confidence(0.6, 2, 4)] * 5)
    labels = torch.tensor([1, 1, 1, 0, 2, 2, 2, 3, 0])  # 3 of 4, 3 of 5
    assert expected_calibration_error(logits, labels) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shift", [-300.0, 0.0, 300.0])
def test_calibration_error_takes_logits_whatever_their_range(shift):
    # In [0, 1] these logits look like probabilities, far below zero like log-probabilities.
    logits = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64) + shift
    sure = [
        1 / (1 + math.exp(-0.8)),
        1 / (1 + math.exp(-0.6)),
    ]  # .69 and .65: bins (.667, .733] and (.6, .667]
    expected = (abs(sure[0] - 1) + abs(sure[1] - 0)) / 2
    assert expected_calibration_error(logits, torch.tensor([0, 0])) == pytest.approx(expected, abs=1e-6)


def test_complete_certainty_belongs_to_the_last_bin():
    logits = torch.tensor([with_confidence(0.95), [20_000.0, -20_000.0]])  # one right, one wrong
    expected = abs((0.95 + 1) / 2 - 1 / 2)
    assert expected_calibration_error(logits, torch.tensor([0, 1])) == pytest.approx(expected, abs=1e-6)
    assert expected_calibration_error(logits[1:], torch.tensor([1])) == pytest.approx(1, abs=1e-6)
    assert expected_calibration_error(logits[1:], torch.tensor([0])) == pytest.approx(0, abs=1e-6)


@pytest.fixture
def examples():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (7, 2, 3, 3), generator=generator, dtype=torch.uint8)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    return Examples(images, labels, torch.arange(7), torch.tensor([0.4, 0.5]), torch.tensor([0.2, 0.3]))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.BatchNorm1d(18), nn.Linear(18, 3)).train()


def test_evaluate_is_its_parts_in_eval_mode(model, examples):
    mean, std = examples.mean.view(2, 1, 1), examples.std.view(2, 1, 1)
    inputs = ((examples.images / 255 - mean) / std).flatten(1)
    logits = model[3](
        inputs / math.sqrt(1 + 1e-5)
    ).detach()  # a fresh norm divides by its unit variance + 1e-5
    teacher = logits.roll(1, dims=0)
    log_probabilities = logits.double() - logits.double().exp().sum(dim=1, keepdim=True).log()
    expected = -sum(float(log_probabilities[row, label]) for row, label in enumerate(examples.labels)) / 7

    scores = evaluate(model, examples, teacher)
    assert scores.loss == pytest.approx(expected, rel=1e-5)
    answers = [max(range(3), key=row.__getitem__) for row in logits.tolist()]
    assert scores.accuracy == sum(map(int.__eq__, answers, examples.labels.tolist())) / 7
    assert scores.agreement == sum(map(int.__eq__, answers, [answers[-1], *answers[:-1]])) / 7
    assert scores.calibration_error == pytest.approx(
        expected_calibration_error(logits, examples.labels), abs=1e-5
    )
    assert torch.equal(scores.confusion, confusion(logits, examples.labels))
    assert all(isinstance(value, float) for value in (scores.loss, scores.accuracy, scores.agreement))


def test_evaluate_leaves_the_network_as_it_was(model, examples):
    model[3].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    scores = evaluate(model, examples)
    assert scores.agreement is None
    assert [module.training for module in (model, *model)] == [True, True, True, True, False]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    ("call", "came"),
    [
        (lambda: accuracy(LOGITS, LABELS[:3]), "(4, 3) and (3,)"),
        (lambda: accuracy(LOGITS[:0], LABELS[:0]), "(0, 3) and (0,)"),
        (lambda: accuracy(LOGITS[0], LABELS[:1]), "(3,) and (1,)"),
        (lambda: accuracy(LOGITS, LABELS[:, None]), "(4, 3) and (4, 1)"),
        (lambda: confusion(LOGITS, LABELS[:3]), "(4, 3) and (3,)"),
        (lambda: confusion(LOGITS[None], LABELS), "(1, 4, 3) and (4,)"),
        (lambda: expected_calibration_error(LOGITS, LABELS[:1]), "(4, 3) and (1,)"),
        (lambda: expected_calibration_error(LOGITS[:0], LABELS[:0]), "(0, 3) and (0,)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_with_what_came(call, came):
    with pytest.raises(CourseError) as caught:
        call()
    message = str(caught.value)
    assert message.startswith("logits must have shape (")
    assert message.endswith(f"N, C) and labels (N,) with N ≥ 1, got {came}")
    assert message.count("\n") == 0


@pytest.mark.parametrize("bins", [0, -1, 2.5])
def test_bins_are_whole_and_at_least_one(bins):
    with pytest.raises(CourseError, match=f"bins must be an integer of at least 1, got {bins}"):
        expected_calibration_error(LOGITS, LABELS, bins=bins)
