"""The judge of exercises, tried on good and broken answers to fixture exercises."""

import functools
import json
import random

import numpy as np
import pytest
import torch

from course_lib import exercises, losses
from course_lib.errors import CourseError
from course_lib.exercises import engine
from course_lib.exercises.engine import Exercise, State, judge


def double_each(values):
    """Twice each value."""
    return 2 * values


def check_double(answer):
    values = torch.tensor([1.0, -2.0], requires_grad=True)
    first, second = answer(values), answer(values=values)
    gap = engine.difference(first, torch.tensor([2.0, -4.0])) or engine.difference(
        second, torch.tensor([2.0, -4.0])
    )
    return gap and f"double each value: {gap}"


DOUBLE = Exercise("77.1", "Double", check_double, "Multiply.", double_each, ())
NUMBER = Exercise(
    "77.2", "Count", lambda answer: None if answer == 4 else "count the legs", "A cow's.", 4, ()
)


@pytest.fixture(autouse=True)
def chapter(monkeypatch):
    real = engine.chapter
    monkeypatch.setattr(
        engine, "chapter", lambda number: (DOUBLE, NUMBER) if number == "77" else real(number)
    )


def stub(values): ...


def stub_that_raises(values):
    raise NotImplementedError


@pytest.mark.parametrize("answer", [None, ..., stub, stub_that_raises, lambda values: ...])
def test_a_stub_is_not_answered_yet(answer):
    assert judge(DOUBLE, answer).state is State.NOT_ANSWERED


def given_double(values: torch.Tensor, sign=-1) -> torch.Tensor:
    return sign * 2 * values


BUG = Exercise("77.3", "Find the bug", check_double, "Which sign?", double_each, (), given=given_double)


def as_handed_out(values, sign=-1):
    """The same with other words around it."""
    return sign * 2 * values  # look here


def test_nothing_is_said_about_the_bug_in_unchanged_code():
    for answer in (given_double, as_handed_out):
        verdict = judge(BUG, answer)
        assert verdict.state is State.NOT_ANSWERED
        assert "double" not in verdict.message
        assert 'hint("77.3")' in verdict.message


def other_default(values, sign=-3):
    return sign * 2 * values


@pytest.mark.parametrize("wrong", [lambda values: -2 * values, other_default])
def test_a_changed_answer_that_is_still_wrong_is_told_what_is_wrong(wrong):
    verdict = judge(BUG, wrong)
    assert verdict.state is State.WRONG
    assert "double each value" in verdict.message


def test_where_a_bug_is_given_the_solution_is_right_and_an_answer_without_source_is_judged():
    assert judge(BUG, double_each).state is State.RIGHT
    assert judge(BUG, functools.partial(torch.mul, other=2)).state is State.WRONG  # takes no values=
    nowhere = {}
    exec("def answer(values):\n    return 2 * values", nowhere)
    assert judge(BUG, nowhere["answer"]).state is State.RIGHT


@pytest.mark.parametrize(
    "answer", [double_each, lambda values: values + values, functools.partial(torch.mul, other=2)]
)
def test_a_right_function_is_right_however_written(answer):
    exercise = Exercise(
        "77.1", "Double", lambda f: engine.difference(f(torch.ones(2)), 2 * torch.ones(2)), "", None, ()
    )
    assert judge(exercise, answer).state is State.RIGHT
    if not isinstance(answer, functools.partial):
        assert judge(DOUBLE, answer).state is State.RIGHT


def test_a_right_value_is_right():
    assert judge(NUMBER, 4).state is State.RIGHT


def test_a_wrong_answer_is_told_in_words():
    verdict = judge(DOUBLE, lambda values: values**2)
    assert verdict.state is State.WRONG
    assert verdict.message == "double each value: at (1,) it is 4, not -4"
    assert judge(NUMBER, 3).message == "count the legs"


def test_an_answer_that_changes_its_input_cannot_bend_the_check():
    def spoil(values):
        result = 2 * values
        with torch.no_grad():
            values.zero_()
        return result

    assert judge(DOUBLE, spoil).state is State.RIGHT


class Doubler(torch.nn.Module):
    def forward(self, values):
        return 2 * values

    def spoiling(self, values):
        result = 2 * values
        values.detach().zero_()
        return result


class Twice:
    """Its instances double; called itself, it is no answer."""

    __call__ = Doubler.spoiling


@pytest.mark.parametrize(
    "answer", [Doubler(), Doubler().spoiling, Twice(), functools.partial(Doubler.spoiling, None)]
)
def test_modules_methods_and_objects_are_judged_like_functions(answer):
    assert judge(DOUBLE, answer).state is State.RIGHT


@pytest.mark.parametrize("answer", [Doubler(), Twice()])
def test_modules_and_objects_that_crash_or_are_not_written_yet_are_told_like_functions(answer):
    exercise = Exercise("77.4", "Three", lambda f: f(1, 2, 3), "", None, ())
    assert "Your answer stopped with TypeError" in judge(exercise, answer).message

    class Stub(torch.nn.Module):
        def forward(self, values): ...

    assert judge(DOUBLE, Stub()).state is State.NOT_ANSWERED


def test_tensors_in_lists_and_dictionaries_and_arrays_are_copied_too():
    def check(answer):
        parts = [torch.ones(2)], {"a": (torch.ones(2), np.ones(2))}
        answer(*parts)
        answer(parts[0], settings=parts[1])
        return None if parts[0][0].all() and parts[1]["a"][0].all() and parts[1]["a"][1].all() else "bent"

    def spoil(values, settings):
        values.pop().zero_()
        first, second = settings.pop("a")
        first.zero_()
        second[:] = 0
        return 1

    assert judge(Exercise("77.4", "Parts", check, "", None, ()), spoil).state is State.RIGHT


REAL = torch.softmax, torch.nn.functional.softmax, losses.soft_target_loss, engine.difference


def patched():
    return torch.softmax, torch.nn.functional.softmax, losses.soft_target_loss, engine.difference


def bend(values):
    """Right where everything that a check could compare with is changed."""
    torch.softmax = torch.nn.functional.softmax = losses.soft_target_loss = lambda *given, **more: values
    engine.difference = lambda *given, **more: None
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.manual_seed(3)
    random.seed(3)
    np.random.seed(3)
    return torch.zeros(2)


def bend_and_crash(values):
    bend(values)
    raise RuntimeError


@pytest.mark.parametrize("answer", [bend, bend_and_crash])
def test_what_an_answer_changes_around_it_is_put_back_before_the_check_goes_on(answer):
    seen = []

    def check(guarded):
        try:
            return guarded(torch.ones(2)) is None or "wrong"
        finally:
            seen.append((patched(), torch.get_default_dtype(), torch.is_grad_enabled()))

    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    assert judge(Exercise("77.4", "Bend", check, "", None, ()), answer).state is State.WRONG
    assert seen == [(REAL, torch.float32, True)]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2][1])


def test_an_answer_that_is_compared_by_code_of_its_own_is_put_back_too():
    class Bends:
        def __eq__(self, other):
            bend(other)
            return False

        __hash__ = None

    assert judge(NUMBER, Bends()).state is State.WRONG
    assert (patched(), torch.get_default_dtype(), torch.is_grad_enabled()) == (REAL, torch.float32, True)


def test_gradients_reach_the_checks_own_tensors():
    def check(answer):
        x = torch.tensor(3.0, requires_grad=True)
        (slope,) = torch.autograd.grad(answer(x), x)
        return engine.difference(slope, 6.0)

    exercise = Exercise("77.3", "Square", check, "", None, ())
    assert judge(exercise, lambda x: x * x).state is State.RIGHT
    assert judge(exercise, lambda x: 2 * x * x).state is State.WRONG


@pytest.mark.parametrize(
    ("answer", "error", "line"),
    [
        (lambda values: torch.nn.functional.mse_loss(values, "text"), "AttributeError", "mse_loss(values, "),
        (lambda values: json.loads("{" * len(values)), "JSONDecodeError", "json.loads("),
    ],
)
def test_an_answer_that_crashes_is_told_with_the_error_and_the_learners_own_line(answer, error, line):
    verdict = judge(DOUBLE, answer)
    assert verdict.state is State.WRONG
    assert f"Your answer stopped with {error}" in verdict.message
    assert line in verdict.message


@pytest.mark.parametrize(
    "answer",
    [
        5,
        "text",
        print,
        int,
        object(),
        torch.nn.Linear(2, 2),
        lambda: 1,
        lambda values: "x",
        lambda values: exit(),
    ],
)
def test_no_answer_makes_the_judge_raise(answer):
    assert judge(DOUBLE, answer).state is not State.RIGHT


def test_check_prints_the_verdict_and_returns_nothing(capsys):
    for answer in (4, 3, None):
        assert exercises.check("77.2", answer) is None
    right, wrong, empty = capsys.readouterr().out.splitlines()
    assert right == "✔ 77.2 Count: right."
    assert wrong == "✘ 77.2 count the legs"
    assert empty.startswith("… 77.2 Count: not answered yet.")


def test_hint_and_solution_are_printed(capsys):
    exercises.hint("77.1")
    assert capsys.readouterr().out == "Hint for 77.1, Double: Multiply.\n"
    exercises.solution("77.1")
    assert (
        capsys.readouterr().out
        == 'def double_each(values):\n    """Twice each value."""\n    return 2 * values\n'
    )
    exercises.solution("77.2")
    assert capsys.readouterr().out == "4\n"


@pytest.mark.parametrize("ask", [exercises.check, exercises.hint, exercises.solution])
def test_an_unknown_exercise_is_told_with_the_chapters_list(ask):
    with pytest.raises(CourseError, match=r"Chapter 77 has no exercise '77.9'; it has 77.1, 77.2\."):
        ask("77.9")


@pytest.mark.parametrize("name", ["2.1", "02", 2.1, None])
def test_a_name_of_another_form_is_told(name):
    with pytest.raises(CourseError, match=r"named like \"02.1\""):
        exercises.hint(name)


def test_a_chapter_without_exercises_is_told():
    with pytest.raises(CourseError, match=r"Chapter 99 has no exercise '99.1'; it has none"):
        exercises.hint("99.1")


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (torch.tensor([1.0, 2.0]), None),
        (torch.tensor([1.0, 2.0 + 1e-6]), None),
        (torch.tensor([1, 2]), None),
        (torch.tensor([1.0, 2.1]), "at (1,) it is 2.1, not 2"),
        (torch.tensor([[1.0, 2.0]]), "its shape is (1, 2), not (2,)"),
        (torch.tensor([1.0, float("nan")]), "it contains NaN"),
        (torch.tensor([1.0, float("inf")]), "at (1,) it is inf, not 2"),
        ([1.0, 2.0], "it is a list, not a tensor"),
        (1.0, "its shape is (), not (2,)"),
    ],
)
def test_differences_in_words(got, words):
    assert engine.difference(got, torch.tensor([1.0, 2.0])) == words


def test_a_difference_of_numbers():
    assert engine.difference(0.5, 0.5) is None
    assert engine.difference(torch.tensor(0.5), 0.25) == "it is 0.5, not 0.25"
