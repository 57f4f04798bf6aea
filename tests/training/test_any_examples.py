"""Examples that are not images with one class: features with numbers, tokens with a mask, maps of classes."""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from stopping import stopped_after
from torch import nn

from course_lib.data import Examples
from course_lib.errors import CourseError
from course_lib.losses import NO_LABEL, hard_label_loss, soft_target_loss
from course_lib.measure import accuracy, evaluate
from course_lib.training import (
    Checkpoints,
    LiveTeacher,
    Objective,
    Recipe,
    Term,
    cache_teacher,
    extra,
    fit,
    fit_many,
    hard_labels,
    soft_targets,
    teacher_logits,
)

RECIPE = Recipe(steps=30, batch_size=8, lr=1e-2)


def squared_error(student_logits, labels):
    return (student_logits - labels).square().mean()


class Characters(nn.Module):
    """The next character, from the two before."""

    def __init__(self, width=12):
        super().__init__()
        self.embedding = nn.Embedding(9, width)
        self.mixed = nn.Linear(2 * width, width)
        self.logits = nn.Linear(width, 9)

    def forward(self, tokens):
        z = self.embedding(tokens)  # (N, L, width)
        before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], dim=1)
        return self.logits(self.mixed(torch.cat([z, before], dim=2)).relu())


def regression_net():
    return nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 2))


def map_net():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))


def regression():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=draw)
    return Examples(inputs=x, labels=torch.stack([x[:, 0] * x[:, 1], x[:, 2].sin()], dim=1))


def sequences():
    draw = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 9, (40, 6), generator=draw)
    following = (tokens + tokens.roll(1, dims=1)) % 9
    mask = torch.arange(6) < torch.randint(3, 7, (40, 1), generator=draw)
    return Examples(inputs=tokens, labels=following, extras={"mask": mask})


def maps():
    draw = torch.Generator().manual_seed(2)
    images = torch.randint(0, 256, (40, 3, 6, 6), generator=draw).to(torch.uint8)
    labels = images.float().mean(dim=1).div(64).long()
    labels[:, 0, 0] = NO_LABEL
    return Examples(images, labels)


@dataclass(frozen=True)
class Case:
    build: object
    examples: object
    objective: Objective
    taught: Objective | None = None


MASKED = Term("hard", hard_label_loss, mask=extra("mask"))
CASES = {
    "regression": Case(regression_net, regression, Objective([Term("error", squared_error)])),
    "sequences": Case(
        Characters,
        sequences,
        Objective([MASKED]),
        Objective([MASKED, Term("soft", soft_target_loss, temperature=2.0, mask=extra("mask"))]),
    ),
    "maps": Case(map_net, maps, hard_labels(), soft_targets(2.0, 0.5)),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def asked_teacher(case):
    with torch.random.fork_rng():
        torch.manual_seed(9)
        return case.build()


def taught(case):
    if case.taught is None:
        pytest.skip("no teacher in this case")
    return case.taught


def equal(first, second):
    return all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_a_student_learns(case):
    run = fit(case.build, case.objective, case.examples(), Recipe(steps=300, batch_size=20, lr=1e-2))
    assert run.history["total"][-20:].mean() < 0.7 * run.history["total"][:5].mean()


def test_students_at_once_are_those_alone(case):
    examples = case.examples()
    sets = [examples.subset(24, seed=seed) for seed in (0, 1)]
    runs = fit_many(case.build, case.objective, sets, RECIPE, seeds=[0, 1])
    for seed, own in enumerate(sets):
        alone = fit(case.build, case.objective, own, RECIPE, seed=seed).model
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(runs.model(seed).state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["sequences", "maps"])
def test_a_cached_teacher_is_the_teacher_that_is_asked_at_every_step(name):
    case = CASES[name]
    examples, teacher = case.examples(), asked_teacher(case)
    cached = fit(case.build, case.taught, examples, RECIPE, teacher=cache_teacher(teacher, examples))
    live = fit(case.build, case.taught, examples, RECIPE, teacher=LiveTeacher(teacher))
    for key, value in live.model.state_dict().items():
        torch.testing.assert_close(cached.model.state_dict()[key], value, rtol=1e-3, atol=1e-4)


def test_a_stopped_training_ends_with_the_same_bits(case, tmp_path):
    examples = case.examples()
    whole = fit(case.build, case.objective, examples, RECIPE)
    with stopped_after(10):
        fit(case.build, case.objective, examples, RECIPE, checkpoints=Checkpoints(tmp_path, every=10))
    rest = fit(case.build, case.objective, examples, RECIPE, checkpoints=Checkpoints(tmp_path, every=10))
    assert equal(whole.model, rest.model)
    changed = Examples(inputs=examples.images, labels=examples.labels.roll(1, dims=0), extras=examples.extras)
    with pytest.raises(CourseError, match="another set of examples"):
        fit(case.build, case.objective, changed, RECIPE, checkpoints=Checkpoints(tmp_path, every=10))


def test_masked_positions_do_not_teach():
    examples = sequences()
    spoilt = examples.labels.where(examples.extras["mask"], torch.tensor(0))
    other = Examples(inputs=examples.images, labels=spoilt, extras=examples.extras)
    first, second = (
        fit(Characters, CASES["sequences"].objective, each, RECIPE).model for each in (examples, other)
    )
    assert equal(first, second)


def test_examples_without_label_are_taught_by_the_teacher_alone():
    """Labels for some, answers for all: what a semi-supervised user would write."""
    case, examples = CASES["maps"], maps()
    few = examples.labels.clone()
    few[10:] = NO_LABEL
    teacher = cache_teacher(asked_teacher(case), examples)
    run = fit(case.build, case.taught, Examples(examples.images, few), RECIPE, teacher=teacher)
    assert run.history["total"][-1] < run.history["total"][0]


def test_a_checkpoint_with_another_mask_is_refused(tmp_path):
    examples, objective = sequences(), CASES["sequences"].objective
    fit(Characters, objective, examples, RECIPE, checkpoints=Checkpoints(tmp_path))
    changed = Examples(
        inputs=examples.images, labels=examples.labels, extras={"mask": ~examples.extras["mask"]}
    )
    with pytest.raises(CourseError, match="another set of examples"):
        fit(Characters, objective, changed, RECIPE, checkpoints=Checkpoints(tmp_path))


def test_features_that_differ_by_little_are_other_examples():
    examples = regression()
    cache = cache_teacher(asked_teacher(CASES["regression"]), examples)
    moved = Examples(inputs=examples.images + 1e-4, labels=examples.labels)
    with pytest.raises(CourseError, match="cached for another data set"):
        cache.lookup(moved)


def test_accuracy_counts_positions():
    logits = torch.eye(4)[torch.tensor([[0, 1, 2], [3, 3, 0]])]  # (2, 3, 4): what is answered
    labels = torch.tensor([[0, 1, 1], [3, NO_LABEL, 1]])
    assert float(accuracy(logits, labels)) == pytest.approx(3 / 5)
    mask = torch.tensor([[True, True, False], [True, True, False]])
    assert float(accuracy(logits, labels, mask)) == 1
    assert accuracy(torch.stack([logits, logits.roll(1, dims=2)]), labels).tolist() == pytest.approx(
        [0.6, 0.2]
    )
    maps_of = logits.permute(0, 2, 1).unsqueeze(3)  # (2, 4, 3, 1)
    assert float(accuracy(maps_of, labels.unsqueeze(2))) == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda e: Examples(inputs=e.images),
            "labels must be a tensor with a row for each example, got NoneType",
        ),
        (
            lambda e: Examples(inputs=e.images.tolist(), labels=e.labels),
            "inputs must be a tensor with a row for each example, got list",
        ),
        (lambda e: Examples(e.images, e.labels, inputs=e.images), "either images or inputs"),
        (
            lambda e: Examples(inputs=e.images, labels=e.labels[1:]),
            r"labels must have shape \(40,\) or \(40, ",
        ),
        (lambda e: Examples(inputs=e.images, labels=e.labels, extras={"mask": 1}), "mask must be a tensor"),
        (
            lambda e: Examples(inputs=e.images.to(torch.uint8), labels=e.labels),
            "class or token numbers are int64",
        ),
        (lambda e: e.subset(0, seed=0), r"n must be an integer from 1 to 40 \(all\), got 0"),
        (
            lambda e: fit(
                Characters, CASES["sequences"].objective, Examples(inputs=e.images, labels=e.labels), RECIPE
            ),
            r"must have the extra 'mask' for the term hard, got none",
        ),
        (
            lambda e: fit(Characters, hard_labels(), Examples(inputs=e.images, labels=e.labels + 1), RECIPE),
            "labels must be from 0 to below the model's 9 classes, got 9",
        ),
        (
            lambda e: accuracy(torch.zeros(40, 6, 9), torch.full((40, 6), NO_LABEL)),
            "at least one class that counts",
        ),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, message):
    with pytest.raises(CourseError, match=message) as caught:
        call(sequences())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("of", ["fit", "fit_many", "teacher_logits", "evaluate"])
def test_a_pair_of_tensors_is_not_examples(of):
    pair = torch.randn(20, 4), torch.zeros(20, dtype=torch.int64)
    asked = {
        "fit": lambda: fit(linear, hard_labels(), pair, RECIPE),
        "fit_many": lambda: fit_many(linear, hard_labels(), [pair, pair], RECIPE, seeds=[0, 1]),
        "teacher_logits": lambda: teacher_logits(linear(), pair),
        "evaluate": lambda: evaluate(linear(), pair),
    }
    with pytest.raises(CourseError, match=r"must be course_lib\.data\.Examples, got tuple"):
        asked[of]()


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [(torch.randn(20, 5), "mat1 and mat2"), (torch.randn(20, 4).double(), "RuntimeError")],
)
def test_a_network_that_does_not_take_the_inputs_is_named(inputs, reason):
    examples = Examples(inputs=inputs, labels=torch.zeros(20, dtype=torch.int64))
    for train in (fit, partial(fit_many, seeds=[0])):
        with pytest.raises(CourseError, match=f"network that takes the examples' inputs.*{reason}"):
            train(linear, hard_labels(), examples, RECIPE)


def linear():
    return nn.Linear(4, 3)
