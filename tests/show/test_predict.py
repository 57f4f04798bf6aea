"""A guess is kept from the question to the card beside the outcome, in a notebook and without one."""

import json
import re

import pytest

from course_lib import show
from course_lib.errors import CourseError
from course_lib.runner import plan
from course_lib.runner.clean import normalise
from course_lib.runner.execute import run_notebook
from course_lib.show.prediction import outcome_bundle

CHOICES = ["it helps", "<no> difference", "it harms"]
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch):
    monkeypatch.setattr("course_lib.show.prediction._ASKED", {})


def asked(**settings):
    return show.predict("Does a teacher help?", CHOICES, **{"key": "teacher"} | settings)


def said(capsys, outcome, words=""):
    show.predicted("teacher", outcome, words)
    return capsys.readouterr().out.strip()


def test_nothing_is_chosen_at_first(capsys):
    assert asked().buttons().children[1].value is None
    assert said(capsys, "it helps") == "the outcome: You did not guess; the runs say “it helps”."


@pytest.mark.parametrize(
    ("guess", "sentence"),
    [
        ("it helps", "✔ right: You guessed “it helps”, and so say the runs. Twice."),
        ("it harms", "✘ wrong: You guessed “it harms”; the runs say “it helps”. Twice."),
    ],
)
def test_a_button_is_kept_and_compared_with_the_outcome(capsys, guess, sentence):
    _, radio, note = asked().buttons().children
    radio.value = guess
    assert f"<strong>{guess}</strong>" in note.value
    assert said(capsys, "it helps", "Twice.") == sentence


def test_a_guess_can_be_given_where_nobody_presses_buttons(capsys):
    assert asked(guess="it harms").buttons().children[1].value == "it harms"
    assert said(capsys, "it harms").startswith("✔ right")


def test_a_cell_that_is_run_again_keeps_the_guess_but_not_for_other_choices():
    asked().choose("it helps")
    assert asked().guess == "it helps"
    assert show.predict("Does it?", ["it helps", "it harms"], key="teacher").guess is None


def test_question_and_choices_can_be_read_without_a_kernel():
    bundle = asked()._repr_mimebundle_()
    assert bundle["text/plain"].splitlines() == [
        "Predict first: Does a teacher help?",
        "  ○ it helps",
        "  ○ <no> difference",
        "  ○ it harms",
    ]
    assert re.findall("<li>(.*?)</li>", bundle["text/html"]) == [
        "it helps",
        "&lt;no&gt; difference",
        "it harms",
    ]
    assert VIEW in bundle


def test_the_card_carries_what_it_would_say_to_each_choice():
    import html

    page = outcome_bundle(asked(), "it harms", "A <b>.")["text/html"]
    each = json.loads(html.unescape(re.search('data-said="(.*?)"', page)[1]))
    assert list(each) == CHOICES
    assert "✔ right" in each["it harms"]
    for wrong in CHOICES[:2]:
        assert "✘ wrong" in each[wrong]
        assert html.escape(f"You guessed “{wrong}”; the runs say “it harms”. A <b>.") in each[wrong]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"guess": "maybe"}, "guess must be one of 'it helps'.*got 'maybe'"),
        ({"key": ""}, "key must be"),
        ({"choices": ["one"]}, "choices must be 2 to 5"),
        ({"choices": list("abcdef")}, "choices must be 2 to 5"),
        ({"choices": ["a", "a"]}, "choices must be 2 to 5 different"),
        ({"choices": "ab"}, "choices must be"),
        ({"choices": [1, 2]}, "choices must be"),
        ({"question": None}, "question must be"),
    ],
)
def test_refuses_other_questions(wrong, message):
    with pytest.raises(CourseError, match=message):
        show.predict(**{"question": "Is it?", "choices": CHOICES, "key": "k"} | wrong)


def test_refuses_what_was_not_asked_and_other_outcomes():
    with pytest.raises(CourseError, match=r"key must be .*none yet.*got 'teacher'"):
        show.predicted("teacher", "it helps")
    asked()
    with pytest.raises(CourseError, match=r"key must be .*'teacher'.*got 'techer'"):
        show.predicted("techer", "it helps")
    with pytest.raises(CourseError, match=r"outcome must be one of 'it helps'.*got 'BEATS'"):
        show.predicted("teacher", "BEATS")


def test_an_executed_notebook_keeps_the_text_and_no_widget_and_the_card_follows_a_late_guess(
    make_notebook, tmp_path
):
    path = make_notebook(
        "00_n",
        "from course_lib import show\nquestion = show.predict('Is it?', ['yes', 'no'], key='it')\nquestion",
        "show.predicted('it', 'yes')",
        "question.choose('yes')",
    )
    done = run_notebook(plan(path), tmp_path / "done.ipynb", threads=1)
    assert done.failure is None
    import nbformat

    notebook = normalise(nbformat.read(tmp_path / "done.ipynb", as_version=4))
    question, card, late = notebook.cells[-3:]
    (output,) = question.outputs
    assert set(output.data) == {"text/plain", "text/html"}
    assert "widgets" not in notebook.metadata
    (output,) = card.outputs
    assert "You guessed “yes”, and so say the runs." in output.data["text/plain"]
    assert late.outputs == []
