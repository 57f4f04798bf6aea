"""Teachers that are not networks: answers at hand, and dark knowledge destroyed with everything else kept."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import one_hot

from course_lib.data import Views, load
from course_lib.errors import CourseError
from course_lib.models import small_mlp
from course_lib.training import (
    Recipe,
    answers_from,
    cache_teacher,
    evened_dark_knowledge,
    exchanged_gradients,
    fit,
    permuted_dark_knowledge,
    soft_targets,
)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.take(torch.arange(60))


@pytest.fixture(scope="module")
def cache(train):
    torch.manual_seed(0)
    return cache_teacher(small_mlp(), train)


def test_answers_at_hand_are_found_by_their_example_in_any_order(train, cache):
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    shuffled = train.take(order)
    made = answers_from(cache.lookup(shuffled), shuffled)
    assert torch.equal(made.lookup(train), cache.lookup(train))
    recipe = Recipe(steps=5)
    first, second = (fit(small_mlp, soft_targets(), train, recipe, teacher=each) for each in (cache, made))
    assert first.history["total"].tolist() == second.history["total"].tolist()


def test_answers_at_hand_leave_their_graph_behind(train):
    made = answers_from(torch.randn(60, 10, dtype=torch.float64, requires_grad=True), train)
    assert not made.logits.requires_grad
    assert made.logits.dtype == torch.float32


@pytest.mark.parametrize("control", [evened_dark_knowledge, permuted_dark_knowledge])
def test_what_belonged_to_the_old_answers_is_left_out(train, control):
    full = cache_teacher(small_mlp(), train, soft_matrix=torch.eye(10), layers=["relu1"])
    made = control(full, 2)
    assert (made.soft_matrix, made.gradients, made.activations) == (None, None, {})
    assert made.key != full.key
    assert torch.equal(made.index, full.index)


@pytest.mark.parametrize("views", [None, Views(flip=True)])
def test_choice_confidence_and_entropy_stay_and_the_rest_changes_places(train, views):
    torch.manual_seed(1)
    cache = cache_teacher(small_mlp(), train, views=views)
    made = permuted_dark_knowledge(cache, seed=0)
    before, after = cache.logits, made.logits
    assert torch.equal(before.argmax(-1), after.argmax(-1))
    assert torch.equal(
        before.sort(-1).values, after.sort(-1).values
    )  # so every softmax keeps max and entropy
    moved = (before != after).float().mean()
    assert moved == pytest.approx(0.9 * 8 / 9, abs=0.05)  # of nine places one in nine stays, by chance
    assert not torch.equal(after, permuted_dark_knowledge(cache, seed=1).logits)
    assert torch.equal(after, permuted_dark_knowledge(cache, seed=0).logits)


def test_each_example_has_a_permutation_of_its_own(train):
    same = torch.arange(10.0).expand(60, 10)
    made = permuted_dark_knowledge(answers_from(same, train), seed=0).logits
    assert len({tuple(row) for row in made.tolist()}) > 50
    counts = torch.stack([(made[:, place] == 0).sum() for place in range(9)])  # where the smallest went
    assert counts.sum() == 60
    assert counts.max() < 20


@pytest.mark.parametrize("views", [None, Views(flip=True)])
def test_evened_answers_keep_choice_and_confidence_at_their_temperature_and_know_nothing_else(train, views):
    cache = cache_teacher(small_mlp(), train, views=views)
    made = evened_dark_knowledge(cache, temperature=4.0)
    before, after = (torch.softmax(each.logits.double() / 4, dim=-1) for each in (cache, made))
    close = {"rtol": 0, "atol": 1e-6 if views is None else 1e-3}  # views are kept in half precision
    assert torch.equal(before.argmax(-1), after.argmax(-1))
    torch.testing.assert_close(before.amax(-1), after.amax(-1), **close)
    wrong = after.sort(-1).values[..., :-1]
    torch.testing.assert_close(wrong, ((1 - before.amax(-1, keepdim=True)) / 9).expand_as(wrong), **close)
    assert made.key != cache.key


@pytest.mark.parametrize(
    ("shape", "views", "classes"),
    [
        ((8, 3, 4), None, 2),
        ((8, 3, 4, 4), None, 1),
        ((8, 2, 3, 4), Views(pad=0), 3),
        ((8, 2, 3, 4, 4), Views(pad=0), 2),
    ],
)
def test_controls_change_classes_and_no_positions(train, shape, views, classes):
    few = train.take(range(8))
    plain = answers_from(torch.randn(8, 10), few)
    cache = replace(plain, kept=torch.randn(shape), views=views)
    permuted, evened = permuted_dark_knowledge(cache, 0).logits, evened_dark_knowledge(cache, 2.0).logits
    for made in (permuted, evened):
        assert made.shape == cache.logits.shape
        assert torch.equal(made.amax(dim=classes), cache.logits.amax(dim=classes))
        assert torch.equal(made.argmax(dim=classes), cache.logits.argmax(dim=classes))
    assert torch.equal(permuted.sort(dim=classes).values, cache.logits.sort(dim=classes).values)
    before, after = ((each / 2).softmax(dim=classes).amax(dim=classes) for each in (cache.logits, evened))
    torch.testing.assert_close(before, after)


def test_what_a_control_makes_is_in_memory(train, tmp_path):
    cache = cache_teacher(small_mlp(), train, directory=tmp_path, mapped=True)
    assert not permuted_dark_knowledge(cache, 0).mapped


def test_the_temperature_of_evened_answers_is_checked(cache):
    with pytest.raises(CourseError, match="temperature must be"):
        evened_dark_knowledge(cache, temperature=0.0)


@pytest.mark.parametrize(
    ("logits", "words"),
    [
        (torch.zeros(59, 10), "logits must have one row for each of the 60 examples, got 59"),
        (torch.zeros(60), r"logits must be floating point of shape \(N, C\), got torch.float32 \(60,\)"),
        (torch.zeros(60, 10).long(), "logits must be floating point"),
        ([0.0] * 60, "source must be an array, a file, .* got list"),
        (torch.zeros(60, 10).log(), "logits must be finite numbers, got NaN or infinity"),
    ],
)
def test_answers_that_do_not_fit_are_refused(train, logits, words):
    with pytest.raises(CourseError, match=words):
        answers_from(logits, train)


def test_a_seed_is_checked(cache):
    with pytest.raises(CourseError, match="seed must be an integer"):
        permuted_dark_knowledge(cache, seed=-1)


def test_gradients_go_to_another_example_of_the_class_that_the_teacher_names(train):
    torch.manual_seed(2)
    cache = cache_teacher(small_mlp(), train, soft_matrix=torch.eye(10))
    made = exchanged_gradients(cache, seed=0)
    assert torch.equal(made.logits, cache.logits)
    rows, kept = cache.gradients.flatten(1), made.gradients.flatten(1)
    same = (kept[:, None] == rows).all(dim=2)  # (60, 60): whose gradients are they now?
    named = cache.logits.argmax(dim=1)
    assert (same & (named[:, None] == named)).any(dim=1).all()
    alone = named.bincount(minlength=10)[named] == 1
    assert torch.equal((same.diagonal() & (same.sum(dim=1) == 1)), alone)
    assert torch.equal(kept.sort(dim=0).values, rows.sort(dim=0).values)
    other = exchanged_gradients(cache, seed=1)
    assert not torch.equal(made.gradients, other.gradients)
    assert len({cache.key, made.key, other.key}) == 3


def test_gradients_of_another_class_are_given_to_everybody_and_each_once(train):
    cache = cache_teacher(small_mlp(), train, soft_matrix=torch.eye(10))
    named = torch.tensor([0, 1]).repeat(30)  # two classes of one size: the tightest case
    marked = torch.arange(60.0)[:, None, None, None, None].expand_as(cache.gradients)  # whose they are
    cache = replace(cache, kept=one_hot(named, 10).float(), gradients=marked.clone())
    made = exchanged_gradients(cache, seed=0, across_classes=True)
    assert torch.equal(made.logits, cache.logits)
    assert made.key != cache.key
    giver = made.gradients[:, 0, 0, 0, 0].long()
    assert torch.equal(made.gradients, cache.gradients[giver])
    assert (named[giver] != named).all()
    assert torch.equal(giver.sort().values, torch.arange(60))
    again, other = (exchanged_gradients(cache, seed=seed, across_classes=True) for seed in (0, 1))
    assert torch.equal(made.gradients, again.gradients)
    assert not torch.equal(made.gradients, other.gradients)


def test_a_class_of_more_than_half_leaves_too_few_others(train):
    cache = cache_teacher(small_mlp(), train, soft_matrix=torch.eye(10))
    named = torch.tensor([0, 1, 0]).repeat(20)
    with pytest.raises(CourseError, match="names one class 40 times in 60"):
        exchanged_gradients(replace(cache, kept=one_hot(named, 10).float()), seed=0, across_classes=True)


def test_gradients_that_cannot_be_exchanged_are_refused(train, cache):
    with pytest.raises(CourseError, match="gradients by one soft matrix"):
        exchanged_gradients(cache, seed=0)
    each = cache_teacher(small_mlp(), train, soft_matrix=torch.eye(10).expand(60, 10, 10))
    with pytest.raises(CourseError, match="got those of a soft matrix for each example"):
        exchanged_gradients(each, seed=0)
