"""Judges a learner's answer in words, and never lets it raise: an empty or a broken answer is a normal thing here."""

import ast
import importlib
import importlib.util
import inspect
import re
import sysconfig
import textwrap
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import torch

from course_lib.errors import CourseError
from course_lib.exercises.guard import Surroundings, copied, random_numbers_kept
from course_lib.files import LIBRARY


@dataclass(frozen=True)
class WrongAnswer:
    """A mistake that people really make; the check must reject it with a message that contains ``words``."""

    answer: Any
    words: str


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    ``check`` takes an answer and returns None where it is right, else a message that says in words what is wrong.
    It compares with values computed independently of the answer. ``solution`` is a function, class or value.
    ``given`` is the function in which a bug is to be found: as long as it is unchanged, nothing is said about the bug.
    """

    id: str
    title: str
    check: Callable[[Any], str | None]
    hint: str
    solution: Any
    wrong_answers: Sequence[WrongAnswer]
    given: Callable | None = None


class State(Enum):
    RIGHT = "✔"
    WRONG = "✘"
    NOT_ANSWERED = "…"


@dataclass(frozen=True)
class Verdict:
    state: State
    message: str


class _NotAnswered(Exception):
    pass


class _Crashed(Exception):
    """The learner's function raised ``__cause__``."""


def check(exercise_id: str, answer: Any = None) -> None:
    """Print whether ``answer`` is right, and if not, why. Raises CourseError only for an unknown exercise."""
    exercise = find(exercise_id)
    verdict = judge(exercise, answer)
    print(f"{verdict.state.value} {exercise.id} {verdict.message}")


def hint(exercise_id: str) -> None:
    """Print a hint."""
    exercise = find(exercise_id)
    print(f"Hint for {exercise.id}, {exercise.title}: {exercise.hint}")


def solution(exercise_id: str) -> None:
    """Print the reference solution."""
    print(solution_text(find(exercise_id)))


def solution_text(exercise: Exercise) -> str:
    """The reference solution as Python code."""
    answer = exercise.solution
    code = inspect.isfunction(answer) or inspect.isclass(answer)
    return textwrap.dedent(inspect.getsource(answer)).rstrip() if code else repr(answer)


def judge(exercise: Exercise, answer: Any) -> Verdict:
    """The verdict on ``answer``; never raises, whatever the answer does, and leaves all else as it was."""
    if answer is None or answer is Ellipsis:
        return _not_answered(exercise)
    given = _code(exercise.given)
    if given is not None and _code(answer) == given:
        return _not_answered(exercise, "the code is still the given one")
    around = Surroundings()
    try:
        with random_numbers_kept():
            message = exercise.check(_guarded(answer, around))
    except _NotAnswered:
        return _not_answered(exercise)
    except _Crashed as crash:
        return Verdict(State.WRONG, f"Your answer stopped with {_describe(crash.__cause__)}")
    except (Exception, SystemExit) as error:
        return Verdict(State.WRONG, f"The check cannot use your answer: {_describe(error)}")
    finally:
        around.restore()
    return (
        Verdict(State.RIGHT, f"{exercise.title}: right.")
        if message is None
        else Verdict(State.WRONG, message)
    )


def _not_answered(exercise: Exercise, why: str = "not answered yet") -> Verdict:
    message = f'{exercise.title}: {why}. hint("{exercise.id}") helps; solution("{exercise.id}") tells.'
    return Verdict(State.NOT_ANSWERED, message)


def _code(function: Any) -> str | None:
    """Arguments and body of a function without comments, docstring and annotations; None where it has no source."""
    try:
        definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except Exception:  # no function, no source, or a source that cannot be read by itself
        return None
    if not isinstance(definition, ast.FunctionDef):
        return None
    for each in ast.walk(definition.args):
        if isinstance(each, ast.arg):
            each.annotation = None
    body = definition.body if ast.get_docstring(definition) is None else definition.body[1:]
    return "\n".join(map(ast.unparse, [definition.args, *body]))


def _guarded(answer: Any, around: Surroundings) -> Any:
    """What can be called cannot bend the check: it is given copies, and what it changes around it is put back."""
    if not callable(answer):
        return answer

    def guarded(*arguments: Any, **settings: Any) -> Any:
        try:
            result = answer(*copied(arguments), **copied(settings))
        except NotImplementedError as error:
            raise _NotAnswered from error
        except (Exception, SystemExit) as error:  # exit() is a way to crash too
            raise _Crashed from error
        finally:
            around.restore()
        if result is None or result is Ellipsis:
            raise _NotAnswered
        return result

    return guarded


def _describe(error: BaseException | None) -> str:
    frames = traceback.extract_tb(error.__traceback__) if error else []
    line = next((frame.line for frame in reversed(frames) if frame.line and _is_learners(frame.filename)), "")
    lines = str(error).splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return f"{text} (in the line: {line})" if line else text


def _is_learners(filename: str) -> bool:
    installed = "site-packages" in filename or filename.startswith(sysconfig.get_path("stdlib"))
    return not installed and not Path(filename).is_relative_to(LIBRARY)


def difference(got: Any, expected: torch.Tensor | float, *, tolerance: float = 1e-5) -> str | None:
    """None where ``got`` equals ``expected``, else what is different, in words, to be used in a check's message.

    ``tolerance`` is relative to the largest expected magnitude. The shape must be equal too, and no value NaN.
    """
    wanted = torch.as_tensor(expected, dtype=torch.float64)
    if not isinstance(got, torch.Tensor | float | int) or isinstance(got, bool):
        return f"it is a {type(got).__name__}, not a tensor"
    value = torch.as_tensor(got, dtype=torch.float64).detach()
    if value.shape != wanted.shape:
        return f"its shape is {tuple(value.shape)}, not {tuple(wanted.shape)}"
    if torch.isnan(value).any():
        return "it contains NaN"
    gap = (value - wanted).abs()
    if gap.numel() == 0 or gap.max() <= tolerance * max(1.0, wanted.abs().max().item()):
        return None
    if wanted.ndim == 0:
        return f"it is {value.item():.6g}, not {wanted.item():.6g}"
    place = tuple(int(i) for i in torch.unravel_index(gap.argmax(), gap.shape))
    return f"at {place} it is {value[place].item():.6g}, not {wanted[place].item():.6g}"


def named(
    got: Any, mistakes: dict[str, torch.Tensor | float], fallback: str, *, tolerance: float = 1e-5
) -> str:
    """The message of the first known mistake whose value was given, else the fallback."""
    matches = (m for m, value in mistakes.items() if difference(got, value, tolerance=tolerance) is None)
    return next(matches, fallback)


def rand(*shape: int, seed: int) -> torch.Tensor:
    """Normal random numbers in float64 for a check, the same ones every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def find(exercise_id: str) -> Exercise:
    """The exercise of this id, "02.1" for the first one of chapter 02; raises CourseError where there is none."""
    number = re.fullmatch(r"(\d\d)\.\d+", exercise_id) if isinstance(exercise_id, str) else None
    if number is None:
        raise CourseError(f'An exercise is named like "02.1", chapter and number, but got {exercise_id!r}.')
    exercises = chapter(number[1])
    for exercise in exercises:
        if exercise.id == exercise_id:
            return exercise
    known = ", ".join(exercise.id for exercise in exercises)
    raise CourseError(f"Chapter {number[1]} has no exercise {exercise_id!r}; it has {known or 'none'}.")


def chapter(number: str) -> Sequence[Exercise]:
    """The exercises of a chapter ("02"), read when first asked for; empty where the chapter has none."""
    name = f"course_lib.exercises.chapter_{number}"
    return importlib.import_module(name).EXERCISES if importlib.util.find_spec(name) else ()
