"""The progress that a widget or a search listens to, and by which it stops a training."""

import pytest

from course_lib.data import load
from course_lib.models import small_mlp
from course_lib.progress import Stopped, progress_bar
from course_lib.training import Recipe, fit, fit_many, hard_labels


def test_a_function_is_told_what_is_done():
    told = []
    with progress_bar("Working", 5, lambda *state: told.append(state)) as advance:
        advance(2)
        advance()
    assert told == [(2, 5), (3, 5)]


@pytest.mark.parametrize("many", [False, True])
def test_a_training_tells_its_steps_and_stops_when_told(many):
    few = load("digits").train.subset(20, seed=0)
    told = []

    def train(progress):
        recipe = Recipe(steps=120)
        if many:
            return fit_many(small_mlp, hard_labels(), few, recipe, seeds=[0, 1], progress=progress)
        return fit(small_mlp, hard_labels(), few, recipe, progress=progress)

    train(lambda *state: told.append(state))
    assert told[-1] == (120, 120)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) > 2

    def stop(done, total):
        if done >= 50:
            raise Stopped

    with pytest.raises(Stopped):
        train(stop)
