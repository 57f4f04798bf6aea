"""Several teachers as one, and what a cache will cost."""

import pytest
import torch

from course_lib.data import Examples, Views, load
from course_lib.errors import CourseError
from course_lib.models import small_mlp
from course_lib.training import (
    Recipe,
    answers_from,
    cache_teacher,
    fit,
    forecast_cache,
    mean_answers,
    soft_targets,
)

TRAIN = load("digits", seed=0).train.take(torch.arange(50))


def teachers(number, **settings):
    found = []
    for seed in range(number):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            found.append(cache_teacher(small_mlp(), TRAIN, **settings))
    return found


def test_probabilities_are_averaged_to_their_mean():
    caches = teachers(3)
    expected = torch.stack([each.logits.double().softmax(dim=1) for each in caches]).mean(dim=0)
    found = mean_answers(caches)
    torch.testing.assert_close(found.logits.double().exp(), expected, rtol=1e-5, atol=1e-7)
    assert found.key not in {each.key for each in caches}


def test_logits_are_averaged_with_weights_of_any_sum():
    first, second = teachers(2)
    found = mean_answers([first, second], [3, 1], of="logits")
    torch.testing.assert_close(found.logits, 0.75 * first.logits + 0.25 * second.logits)


def test_weights_may_differ_between_examples_and_zero_leaves_a_teacher_out():
    first, second = teachers(2)
    weights = torch.zeros(2, len(TRAIN))
    weights[0, :20], weights[1, 20:] = 1, 5
    found = mean_answers([first, second], weights)
    torch.testing.assert_close(found.logits[:20].softmax(1), first.logits[:20].softmax(1))
    torch.testing.assert_close(found.logits[20:].softmax(1), second.logits[20:].softmax(1))


def test_views_and_maps_keep_their_classes_apart():
    views = Views(pad=1, flip=False)
    caches = teachers(2, views=views)
    found = mean_answers(caches)
    assert found.views == views
    assert found.logits.dtype == torch.float16
    torch.testing.assert_close(found.logits.float().exp().sum(dim=2), torch.ones(50, 9), rtol=5e-3, atol=0)
    pictures = Examples(torch.rand(4, 3, 5, 5), torch.zeros(4, 5, 5, dtype=torch.int64))
    maps = [answers_from(torch.randn(4, 6, 5, 5), pictures) for _ in range(2)]
    torch.testing.assert_close(mean_answers(maps).logits.exp().sum(dim=1), torch.ones(4, 5, 5))


def test_a_student_learns_from_the_mean():
    run = fit(small_mlp, soft_targets(), TRAIN, Recipe(5), teacher=mean_answers(teachers(2)), progress=False)
    assert len(run.history["soft"]) == 5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda a, b: mean_answers([a]), "at least two teachers, got 1"),
        (
            lambda a, b: mean_answers([a, b], of="medians"),
            "of must be one of probabilities, logits, got 'medians'",
        ),
        (
            lambda a, b: mean_answers([a, b], [1, 2, 3]),
            r"weights must have shape \(2,\) or \(2, 50\), got \(3,\)",
        ),
        (lambda a, b: mean_answers([a, b], [1, -1]), "weights must be finite and at least 0"),
        (lambda a, b: mean_answers([a, b], [0, 0]), "with one above 0 for every example"),
        (
            lambda a, b: mean_answers([a, a.answers(TRAIN.take(range(40)))]),
            "same examples, views and classes: number 1 differs",
        ),
        (lambda a, b: mean_answers([b, *teachers(1, views=Views(1, flip=False))]), "number 1 differs"),
    ],
)
def test_what_does_not_fit_is_answered_in_a_sentence(wrong, words):
    with pytest.raises(CourseError, match=words):
        wrong(*teachers(2))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"views": Views(pad=1, flip=False)},
        {"soft_matrix": torch.eye(10), "layers": ["relu1"]},
        {"soft_matrix": torch.randn(50, 10, 2)},
    ],
)
def test_the_forecast_is_the_size_of_the_cache(settings):
    model = small_mlp()
    found = forecast_cache(model, TRAIN, tried=10, **settings)
    cache = cache_teacher(model, TRAIN, **settings)
    kept = [cache.logits, cache.gradients, *cache.activations.values()]
    assert found.bytes == sum(each.numel() * each.element_size() for each in kept if each is not None)
    assert found.examples == 50
    assert found.seconds > 0
    assert ("views" in str(found)) == ("views" in settings)


def test_a_forecast_reads_like_a_sentence():
    found = forecast_cache(small_mlp(), TRAIN, views=Views(pad=1, flip=False))
    assert str(found).startswith("50 examples in 9 views: 9 kB, about ")
