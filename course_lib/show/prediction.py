"""Predict first: the reader chooses an answer before the runs give theirs, and sees both side by side."""

import html
import json
from collections.abc import Callable, Sequence
from typing import Any

from course_lib.cards import badge, card, in_ipython
from course_lib.errors import CourseError

_FEWEST, _MOST = 2, 5
_KINDS = {"right": "good", "wrong": "bad", "none": "open"}
_BADGES = {"right": "✔ right", "wrong": "✘ wrong", "none": "the outcome"}


class Prediction:
    """A question with its choices, and the one that the reader made.

    A notebook shows buttons to choose with; where there is no kernel, question and choices are plain text, which the
    website turns into its own buttons.

    Attributes:
        question: what is asked.
        choices: the possible answers.
        key: names the question in this notebook.
        guess: the reader's choice; None until there is one.
    """

    def __init__(self, question: str, choices: Sequence[str], key: str, guess: str | None) -> None:
        self.question, self.choices, self.key, self.guess = question, tuple(choices), key, guess
        self._follow: Callable[[], None] | None = None

    def choose(self, choice: str | None) -> None:
        """Keep ``choice`` in place of any earlier one, and tell the card that shows it."""
        self.guess = choice
        if self._follow:
            self._follow()

    def __repr__(self) -> str:
        return "\n".join([f"Predict first: {self.question}", *(f"  ○ {choice}" for choice in self.choices)])

    def _repr_mimebundle_(self, **settings: Any) -> dict[str, Any]:
        items = "".join(f"<li>{html.escape(choice)}</li>" for choice in self.choices)
        page = card("open", "predict", f"{self._asked()}<ul>{items}</ul>", key=self.key)
        try:
            live = self.buttons()._repr_mimebundle_(**settings)
        except ModuleNotFoundError:
            live = {}  # without ipywidgets the text must do
        return live | {"text/plain": repr(self), "text/html": page}

    def buttons(self) -> Any:
        """The widget of a live notebook: the question, a button for each choice, and what was chosen."""
        import ipywidgets as widgets

        layout = widgets.Layout(width="auto")
        radio = widgets.RadioButtons(options=self.choices, value=self.guess, layout=layout)
        said = widgets.HTML(self._said())

        def keep(change: dict[str, Any]) -> None:
            self.choose(change["new"])
            said.value = self._said()

        radio.observe(keep, "value")
        return widgets.VBox([widgets.HTML(self._asked()), radio, said])

    def _asked(self) -> str:
        return f"<p><strong>Predict first:</strong> {html.escape(self.question)}</p>"

    def _said(self) -> str:
        if self.guess is None:
            return "Choose one. The answer comes further down."
        return f"You guessed <strong>{html.escape(self.guess)}</strong>. The answer comes further down."


_ASKED: dict[str, Prediction] = {}  # by key, the questions of this notebook


def predict(question: str, choices: Sequence[str], *, key: str, guess: str | None = None) -> Prediction:
    """Ask the reader for a guess before the result; ``predicted`` shows it beside the outcome.

    A notebook shows buttons, with nothing chosen. On the website the guess is kept in the browser. A cell that is run
    again keeps the guess as long as the choices stay the same.

    Args:
        question: one sentence.
        choices: 2 to 5 short answers, all different.
        key: names the question within the notebook.
        guess: chooses beforehand, where nobody is there to press a button.

    Raises:
        CourseError: other choices, an empty question or key, or a guess that is not one of the choices.
    """
    for name, text in (("question", question), ("key", key)):
        if not isinstance(text, str) or not text.strip():
            raise CourseError(f"{name} must be a text that is not empty, got {text!r}")
    _check_choices(choices)
    if guess is not None and guess not in choices:
        raise CourseError(f"guess must be one of {_listed(choices)}, got {guess!r}")
    before = _ASKED.get(key)
    if guess is None and before and before.choices == tuple(choices):
        guess = before.guess
    _ASKED[key] = Prediction(question, choices, key, guess)
    return _ASKED[key]


def predicted(key: str, outcome: str, words: str = "") -> None:
    """Show what the reader guessed beside what the runs say: right, wrong, or no guess.

    Args:
        key: of the question, asked by ``predict`` in an earlier cell.
        outcome: the choice that is true, computed from the runs.
        words: a sentence that is shown in either case.

    Raises:
        CourseError: nothing was asked under this key, or the outcome is not one of its choices.
    """
    if key not in _ASKED:
        raise CourseError(
            f"key must be one that show.predict was given ({_listed(_ASKED) or 'none yet'}), got {key!r}"
        )
    asked = _ASKED[key]
    if outcome not in asked.choices:
        raise CourseError(f"outcome must be one of {_listed(asked.choices)}, got {outcome!r}")
    if not in_ipython():
        print(outcome_bundle(asked, outcome, words)["text/plain"])
        return
    from IPython.display import display

    shown = display(outcome_bundle(asked, outcome, words), raw=True, display_id=True)
    # Who runs all cells at once guesses afterwards: the card follows.
    asked._follow = lambda: shown.update(outcome_bundle(asked, outcome, words), raw=True)


def outcome_bundle(asked: Prediction, outcome: str, words: str = "") -> dict[str, str]:
    """The card of ``predicted`` as a notebook stores it.

    Its HTML carries what it would say to each choice, for the website's script.
    """
    fared, sentence = _verdict(asked.guess, outcome)
    said = json.dumps({each: _content(each, outcome, words) for each in asked.choices}, ensure_ascii=False)
    content = _content(asked.guess, outcome, words)
    return {
        "text/plain": f"{_BADGES[fared]}: {sentence} {words}".strip(),
        "text/html": card(_KINDS[fared], "predicted", content, key=asked.key, said=said),
    }


def _verdict(guess: str | None, outcome: str) -> tuple[str, str]:
    """How the guess fared, and the sentence that says so."""
    if guess is None:
        return "none", f"You did not guess; the runs say “{outcome}”."
    if guess == outcome:
        return "right", f"You guessed “{guess}”, and so say the runs."
    return "wrong", f"You guessed “{guess}”; the runs say “{outcome}”."


def _content(guess: str | None, outcome: str, words: str) -> str:
    fared, sentence = _verdict(guess, outcome)
    return f"{badge(_KINDS[fared], _BADGES[fared])} &nbsp;{html.escape(f'{sentence} {words}'.strip())}"


def _check_choices(choices: Sequence[str]) -> None:
    fits = not isinstance(choices, str) and all(isinstance(each, str) and each.strip() for each in choices)
    if not fits or not _FEWEST <= len(choices) <= _MOST or len(set(choices)) < len(choices):
        raise CourseError(f"choices must be {_FEWEST} to {_MOST} different short texts, got {choices!r}")


def _listed(texts: Any) -> str:
    return ", ".join(map(repr, texts))
