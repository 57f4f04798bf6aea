"""Every exercise of every chapter: its solution passes, and each known mistake is rejected in the expected words."""

import ast
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

import course_lib.exercises
from course_lib.exercises import engine
from course_lib.exercises.engine import State, judge
from course_lib.runner import list_notebooks

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted(path.stem[-2:] for path in Path(course_lib.exercises.__file__).parent.glob("chapter_*.py"))
EXERCISES = [exercise for chapter in CHAPTERS for exercise in engine.chapter(chapter)]
MISTAKES = [(exercise, wrong) for exercise in EXERCISES for wrong in exercise.wrong_answers]
NOTEBOOKS = list_notebooks(ROOT / "notebooks")


def used(path, function):
    """The exercise names that a notebook gives to ``function``."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(TransformerManager().transform_cell(cell.source))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == function:
                    yield node.args[0].value


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_the_solution_passes_its_check(exercise):
    verdict = judge(exercise, exercise.solution)
    assert verdict.state is State.RIGHT, verdict.message


@pytest.mark.parametrize(
    ("exercise", "wrong"), MISTAKES, ids=[f"{exercise.id}-{wrong.words}" for exercise, wrong in MISTAKES]
)
def test_each_known_mistake_is_rejected_in_words(exercise, wrong):
    verdict = judge(exercise, wrong.answer)
    assert verdict.state is State.WRONG
    assert wrong.words in verdict.message


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.id)
def test_an_exercise_is_complete(exercise):
    assert exercise.title
    assert exercise.hint
    assert exercise.wrong_answers
    assert engine.solution_text(exercise)
    assert judge(exercise, None).state is State.NOT_ANSWERED


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_has_three_exercises_and_a_bug_to_find(chapter):
    exercises = engine.chapter(chapter)
    assert len(exercises) >= 3
    assert any("find the bug" in exercise.title.lower() for exercise in exercises)
    assert [exercise.id for exercise in exercises] == [f"{chapter}.{i}" for i in range(1, len(exercises) + 1)]


GIVEN = [exercise for exercise in EXERCISES if exercise.given is not None]


@pytest.mark.parametrize("exercise", GIVEN, ids=lambda exercise: exercise.id)
def test_given_code_has_a_bug(exercise):
    assert exercise.check(exercise.given) is not None


@pytest.mark.parametrize("exercise", GIVEN, ids=lambda exercise: exercise.id)
def test_a_notebook_hands_out_the_given_code_and_keeps_its_bug_secret(exercise, tmp_path):
    (path,) = (path for path in NOTEBOOKS if path.stem.startswith(exercise.id[:2]))
    notebook = nbformat.read(path, as_version=4)
    (cell,) = (cell for cell in notebook.cells if f'check("{exercise.id}", ' in cell.source)
    file = tmp_path / "cell.py"  # a function's source is read from its file
    file.write_text(cell.source, encoding="utf-8")
    judged = []
    exec(
        compile(cell.source, file, "exec"),
        {"check": lambda _, answer: judged.append(judge(exercise, answer))},
    )
    assert judged[0].state is State.NOT_ANSWERED
    assert [output.text for output in cell.outputs] == [f"… {exercise.id} {judged[0].message}\n"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_checks_exactly_its_chapters_exercises(path):
    here = [exercise.id for exercise in engine.chapter(path.stem[:2])]
    assert len(here) >= 3
    assert sorted(set(used(path, "check"))) == here
    for function in ("hint", "solution"):
        assert set(used(path, function)) <= set(here)


def test_every_chapter_has_a_notebook():
    assert set(CHAPTERS) <= {path.stem[:2] for path in NOTEBOOKS}
