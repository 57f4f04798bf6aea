"""The temperature to move by hand on the website: a Vega-Lite chart that computes softmax(z/T) in the page itself."""

from collections.abc import Sequence

import altair as alt
from torch import Tensor

from course_lib.show.softened import HIGHEST, LOWEST, STEP, Answers, answers_of
from course_lib.show.style import BLUE, GREY
from course_lib.show.web import WebChart, Words, told, web_chart

_SIDE = 96  # of the picture, in pixels
_HEAD = _SIDE + 16  # the picture and its text, above the bars
_ROW = 24  # height of one bar with its gap
_BARS_END = "width - 64"  # leaves room for the percentage
_TRACK = "#eeeeee"


def temperature_chart(logits: Tensor, images: Tensor, classes: Sequence[str], labels: Tensor) -> WebChart:
    """A chart with a slider for T and a choice of image, over softmax(z/T). It needs no kernel.

    Args:
        logits: a network's answers to the images, (N, C).
        images: uint8, (N, C', H, W) with C' = 1 or 3.
        classes: (C,) names.
        labels: int64, (N,) true classes.

    Raises:
        CourseError: the arguments do not fit one another.
    """
    answers = answers_of(logits, images, classes, labels)
    text = (
        f"Bars of softmax(z/T) over {len(answers.classes)} classes beside the image, "
        "with a slider for the temperature T and a choice of image."
    )
    chart = (
        alt.layer(_bars(answers), _head(answers))
        .add_params(*_parameters(answers))
        .properties(width=480, height=_HEAD + _ROW * len(answers.classes))
    )
    words = Words("softened", {"class": "class", "percent": "softmax(z/T)"}, values={"log2_T": "T_in_words"})
    return web_chart(
        chart,
        text,
        words,
        grid=False,
        domain=False,
        ticks=False,
        labelFontSize=14,
        labelPadding=6,
        title=None,
    )


def _parameters(answers: Answers) -> list[alt.Parameter]:
    indices = list(range(len(answers.labels)))
    names = [answers.name(index) for index in indices]
    return [
        alt.param(
            name="log2_T",
            value=0,
            bind=alt.binding_range(min=LOWEST, max=HIGHEST, step=STEP, name="temperature, log₂ T "),
        ),
        alt.param(
            name="image", value=0, bind=alt.binding_select(options=indices, labels=names, name="image ")
        ),
        alt.param(name="T", expr="pow(2, log2_T)"),
        alt.param(name="T_in_words", expr="'T = ' + format(T, '.2f')"),
    ]


def _bars(answers: Answers) -> alt.LayerChart:
    """The bars and their percentages, of data that hold ``class``, ``true`` and ``probability`` per class."""
    rows = [
        {
            "image": image,
            "class": name,
            "logit": logit,
            "true": place == answers.labels[image],
            "truth": answers.classes[answers.labels[image]],
        }
        for image, answer in enumerate(answers.logits.tolist())
        for place, (name, logit) in enumerate(zip(answers.classes, answer, strict=True))
    ]
    base = (
        alt.Chart(alt.Data(values=rows))
        .transform_filter("datum.image == image")
        # The largest logit is taken off first: exp() of a large number is infinite.
        .transform_joinaggregate(top="max(logit)")
        .transform_calculate(weight="exp((datum.logit - datum.top) / T)")
        .transform_joinaggregate(total="sum(weight)")
        .transform_calculate(probability="datum.weight / datum.total")
        .transform_calculate(percent="format(100 * datum.probability, '.1f') + ' %'")
        .encode(
            y=alt.Y("class:N", sort=None, scale=alt.Scale(padding=0.15, range=[_HEAD, alt.expr("height")]))
        )
    )
    scale = alt.Scale(domain=[0, 1], range=[0, alt.expr(_BARS_END)])
    x = alt.X("probability:Q", axis=None, scale=scale)
    color = alt.condition("datum.true", alt.value(BLUE), alt.value(GREY))
    named = told(
        base,
        "T_in_words + ', true class ' + datum.truth + '. Classes with at least 1 %:' + substring(datum.parts, 1) + '.'",
        part="datum.probability < 0.01 ? '' : ', ' + datum.class + ' (' + datum.percent + ')'",
        joint="",
    )
    return alt.layer(
        base.mark_bar(color=_TRACK).encode(x=alt.value(0), x2=alt.value(alt.expr(_BARS_END))),
        named.mark_bar().encode(x=x, color=color).properties(name="softened"),
        base.mark_text(align="right").encode(x=alt.value(alt.expr("width")), text="percent:N"),
    )


def _head(answers: Answers) -> alt.LayerChart:
    """The picture with T and the name of the true class to its right."""
    rows = [
        {"image": image, "url": picture, "truth": f"true class: {answers.classes[label]}"}
        for image, (picture, label) in enumerate(zip(answers.pictures, answers.labels, strict=True))
    ]
    base = alt.Chart(alt.Data(values=rows)).transform_filter("datum.image == image")
    words = {"align": "left", "baseline": "top", "fontWeight": "bold"}
    beside = base.encode(x=alt.value(_SIDE + 16))
    return alt.layer(
        base.mark_image(width=_SIDE, height=_SIDE, align="left", baseline="top").encode(
            x=alt.value(0), y=alt.value(0), url="url:N"
        ),
        beside.mark_text(fontSize=20, text=alt.expr("T_in_words"), **words).encode(y=alt.value(8)),
        beside.mark_text(text="softmax(z/T)", align="left", baseline="top").encode(y=alt.value(38)),
        beside.mark_text(color=BLUE, **words).encode(y=alt.value(66), text="truth:N"),
    )
