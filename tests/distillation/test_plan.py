"""Plans: the article's defaults, and wrong values answered before anything is trained."""

import pytest

from course_lib.data import Views, load
from course_lib.distillation import Plan
from course_lib.errors import CourseError


def test_the_defaults_are_the_articles():
    plan = Plan()
    assert (plan.temperature, plan.batch_size, plan.epochs, plan.checkpoint_every) == (5.0, 128, 100, 10)
    assert plan.data == "cifar10"


def test_epochs_become_steps_of_whole_batches():
    plan = Plan(epochs=3, batch_size=128)
    assert plan.recipe(1000).steps == 3 * 7
    assert plan.recipe(50).steps == 3


def test_the_teacher_is_trained_like_the_student_unless_told_otherwise():
    plan = Plan(epochs=3, batch_size=128, lr=0.002)
    assert plan.teacher_recipe(1000) == plan.recipe(1000)
    other = Plan(
        epochs=3, batch_size=128, lr=0.002, teacher_epochs=5, teacher_optimizer="momentum", teacher_lr=0.1
    )
    assert other.recipe(1000) == plan.recipe(1000)
    taught = other.teacher_recipe(1000)
    assert (taught.steps, taught.optimizer, taught.lr) == (5 * 7, "momentum", 0.1)


def test_students_have_seeds_one_after_another():
    assert list(Plan(seeds=3, seed=7).student_seeds) == [7, 8, 9]


def test_photographs_are_augmented_and_digits_are_not():
    digits = load("digits")
    assert Plan(data="digits").views(digits) is None
    assert Plan(data="digits", augment="yes", shift=1).views(digits) == Views(1, 1, flip=False)
    assert Plan(data="digits", augment="no").views(digits) is None


def test_losses_are_summed_by_name_with_the_plans_settings():
    plan = Plan(losses=[("soft_target", 0.9), ("gradient_penalty", 0.5)], temperature=3.0, target_norm=2.0)
    first, second = plan.objective().terms
    assert (first.name, first.weight, first.settings) == ("soft_target", 0.9, {"temperature": 3.0})
    assert (second.weight, second.layers, second.settings) == (0.5, ("inputs",), {"target_norm": 2.0})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochs": 0}, "epochs must be an integer of at least 1, got 0"),
        ({"labels": -5}, "labels must be an integer of at least 1, got -5"),
        ({"seeds": 1.5}, "seeds must be an integer"),
        ({"answers": "sometimes"}, "answers must be one of auto, cached, live, got 'sometimes'"),
        ({"soft_matrix": "x"}, "soft_matrix must be one of cross_entropy, class"),
        ({"losses": [("kl", 1.0)]}, "losses must be named hard, .*got 'kl'"),
        ({"losses": [("hard", -1.0)]}, "the weight of hard must be a finite number of at least 0, got -1.0"),
        ({"losses": []}, "at least one Term"),
        ({"lr": 0.0}, "lr must be a finite number above 0"),
        ({"optimizer": "adagrad"}, "optimizer must be one of"),
        ({"shift": 4, "stride": 3}, "stride must divide pad"),
        ({"temperature": -1.0}, "temperature must be a finite number above 0, got -1.0"),
        ({"student_width": 0.0}, "student_width must be a finite number above 0, got 0.0"),
        (
            {"data": "imagenet"},
            "data must be one of digits, cifar10, or a folder of pictures, got 'imagenet'",
        ),
        ({"dropout": 1.5}, r"dropout must be a number in \[0, 1\), got 1.5"),
        ({"batch_size": True}, "batch_size must be an integer of at least 1, got True"),
        ({"losses": ("hard",)}, r"losses must be pairs of a name and a weight, .* got \('hard',\)"),
        ({"losses": [("hard", "much")]}, "losses must be pairs of a name and a weight"),
        ({"seed": -1}, r"seed must be an integer from 0 to 2\*\*32 - 1, got -1"),
        ({"seed": 2**32 - 1, "seeds": 2}, "seed must be an integer from 0"),
        ({"teacher_lr": 0.0}, "teacher_lr must be a finite number above 0, got 0.0"),
        ({"validation": 1.0}, "validation must be a number between 0 and 1, got 1.0"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"batch_size": "3"}, "batch_size must be an integer of at least 1, got '3'"),
        ({"lr": "x"}, "lr must be a finite number above 0, got 'x'"),
        ({"weight_decay": "a"}, "weight_decay must be a finite number of at least 0, got 'a'"),
        ({"dropout": None}, r"dropout must be a number in \[0, 1\), got None"),
        ({"seed": 1.0}, "seed must be an integer from 0 .* got 1.0"),
        ({"baseline": "no"}, "baseline must be True or False, got 'no'"),
        ({"teacher_optimizer": ""}, "optimizer must be one of .* got ''"),
        ({"target_norm": -1.0}, "target_norm must be a finite number of at least 0, got -1.0"),
        ({"smoothing": 1.0}, r"smoothing must be a number in \[0, 1\), got 1.0"),
    ],
)
def test_wrong_values_are_answered_in_a_sentence(settings, words):
    with pytest.raises(CourseError, match=words):
        Plan(**settings)


def test_shifts_that_leave_nothing_of_the_images_are_refused():
    with pytest.raises(
        CourseError, match=r"shift must be below the side of the images, 8 pixels of .* got 8"
    ):
        Plan(data="digits", augment="yes", shift=8).views(load("digits"))
