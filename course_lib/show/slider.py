"""The temperature to move by hand, in a running notebook: an image beside its softened answer, as HTML bars."""

import html
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
from torch import Tensor

from course_lib.cards import bar, bars, white
from course_lib.show.softened import HIGHEST, LOWEST, STEP, Answers, answers_of, softened
from course_lib.show.style import BLUE, GREY

# Of a white card: a picture, and beside it what is told about it.
SIDE_BY_SIDE = "display:flex;flex-wrap:wrap;gap:1.5em;align-items:center;line-height:1.5"

# Stands where a front end cannot show widgets: their plain text would be a list of Python objects.
NOT_SHOWN = (
    "Here should be controls to move. They need JupyterLab with a running kernel. Run this cell again; if this line "
    "stays, run `course check` in a terminal, do what it says, and open the notebook with `course lab`."
)


# For each control; the browser adds a margin of 2 pixels on each side.
WIDE = {
    "style": {"description_width": "9em"},
    "layout": {"width": "min(100% - 4px, 34em)"},
}


class Controls(widgets.VBox):
    """A box of controls that says in words what to do where it cannot be shown."""

    def _repr_mimebundle_(self, **settings: Any) -> dict[str, Any]:
        return super()._repr_mimebundle_(**settings) | {"text/plain": NOT_SHOWN}


def temperature_slider(
    logits: Tensor, images: Tensor, classes: Sequence[str], labels: Tensor
) -> widgets.Widget:
    """A widget with a slider for T and a choice of image, over softmax(z/T). It needs a running kernel.

    Args:
        logits: a network's answers to the images, (N, C).
        images: uint8, (N, C', H, W) with C' = 1 or 3.
        classes: (C,) names.
        labels: int64, (N,) true classes.

    Raises:
        CourseError: the arguments do not fit one another.
    """
    answers = answers_of(logits, images, classes, labels)
    temperature = widgets.FloatLogSlider(
        value=1.0,
        base=2,
        min=LOWEST,
        max=HIGHEST,
        step=STEP,
        description="temperature T",
        readout_format=".2f",
        **WIDE,
    )
    choices = [(answers.name(index), index) for index in range(len(answers.labels))]
    image = widgets.Dropdown(options=choices, description="image", **WIDE)
    card = widgets.HTML()

    def update(_change: object = None) -> None:
        card.value = in_words(lambda: card_html(answers, image.value, temperature.value))

    temperature.observe(update, "value")
    image.observe(update, "value")
    update()
    return Controls([temperature, image, card])


def in_words(draw: Callable[[], str]) -> str:
    """What ``draw`` returns, or its error as a sentence: a widget would lose a traceback or show it elsewhere."""
    try:
        return draw()
    except Exception as error:
        return f'<p role="alert">This could not be drawn: {html.escape(str(error))}</p>'


def card_html(answers: Answers, index: int, temperature: float) -> str:
    """One image beside the bars of its softened answer."""
    truth = answers.labels[index]
    name = html.escape(answers.classes[truth])
    rows = "".join(
        bar(
            each,
            probability,
            f"{100 * probability:.1f} %",
            *((BLUE, "bold") if place == truth else (GREY, "normal")),
        )
        for place, (each, probability) in enumerate(
            zip(answers.classes, softened(answers.logits[index], temperature).tolist(), strict=True)
        )
    )
    return white(
        '<figure style="margin:0;text-align:center">'
        f'<img src="{answers.pictures[index]}" alt="image, true class {name}" width="128">'
        f'<figcaption style="color:{BLUE};font-weight:bold">true class: {name}</figcaption></figure>'
        f'<div style="flex:1 1 16em"><div style="font-weight:bold">softmax(z/T) at T = {temperature:.2f}</div>'
        f"{bars(rows)}</div>",
        SIDE_BY_SIDE,
    )
