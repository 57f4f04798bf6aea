"""A number added to one logit, to move by hand: what a class that was left out of the training gains by it."""

import altair as alt
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.measure import accuracy
from course_lib.show.style import BLACK, BLUE, GREY, VERMILION
from course_lib.show.web import WebChart, Words, told, web_chart

HIGHEST, STEP = 10.0, 0.25  # of b; these steps are exact numbers for a computer
_COLORS = (BLUE, VERMILION, BLACK)  # the class, all other classes, all images
_WIDTH, _HEIGHT = 330, 260  # pixels: with the numbers beside the marks it fits a phone


def bias_chart(logits: Tensor, labels: Tensor, class_index: int, name: str) -> WebChart:
    """A chart with a slider for b, added to the logit of one class: accuracy on it, on the others, on all images.

    It needs no kernel. Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, section 3.

    Args:
        logits: of one network or of several, ([S,] N, C); the chart shows the mean over networks.
        labels: (N,) class indices, with images of the class and of others.
        class_index: the class whose logit is raised.
        name: what to call its images, such as "eights".

    Raises:
        CourseError: there is no such class, or there are no images of it, or none of other classes.
    """
    classes = logits.shape[-1]
    if isinstance(class_index, bool) or not isinstance(class_index, int) or not 0 <= class_index < classes:
        raise CourseError(f"class_index must be an integer from 0 to {classes - 1}, got {class_index!r}")
    labels = labels.cpu()
    chosen = labels == class_index
    if chosen.all() or not chosen.any():
        raise CourseError(
            f"labels must hold images of class {class_index} and of others, got {int(chosen.sum())} of {len(labels)}"
        )
    groups = dict(
        zip((name, "all other images", "all images"), (chosen, ~chosen, chosen | True), strict=True)
    )
    rows = []
    for b in (step * STEP for step in range(round(HIGHEST / STEP) + 1)):
        raised = logits.detach().cpu().double().clone()
        raised[..., class_index] += b
        rows += [
            {"b": b, "group": group, "right": round(_right(raised, labels, part), 2)}
            for group, part in groups.items()
        ]
    text = (
        f"Accuracy on {name}, on all other images and on all images over the number b that is added to one logit, "
        "with a slider for b and the three accuracies at it."
    )
    slider = alt.binding_range(min=0, max=HIGHEST, step=STEP, name="added to the logit, b ")
    chart = (
        _drawn(rows, list(groups))
        .add_params(alt.param(name="b", value=0, bind=slider))
        .properties(width=_WIDTH, height=_HEIGHT, datasets={"accuracies": rows})
    )
    return web_chart(chart, text, Words("now", {"group": "images", "words": "right"}))


def _drawn(rows: list[dict], groups: list[str]) -> alt.LayerChart:
    scale = alt.Scale(domain=groups, range=list(_COLORS))
    x = alt.X("b:Q", scale=alt.Scale(domain=[0, HIGHEST], nice=False), axis=alt.Axis(title="b"))
    y = alt.Y("right:Q", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(title="recognised (%)"))
    legend = alt.Legend(title=None, orient="bottom", labelFontSize=13, columns=2, symbolType="stroke")
    base = alt.Chart(alt.NamedData("accuracies")).encode(
        x=x, y=y, color=alt.Color("group:N", scale=scale, legend=legend)
    )
    now = base.transform_filter("datum.b == b").transform_calculate(words="format(datum.right, '.1f') + ' %'")
    marked = told(now, "'b = ' + b + ': ' + datum.parts + '.'", part="datum.group + ' ' + datum.words")
    return alt.layer(
        base.mark_line(strokeWidth=2),
        now.mark_rule().encode(y=alt.value(0), y2=alt.value(_HEIGHT), color=alt.value(GREY)),
        marked.mark_point(filled=True, size=90, opacity=1).properties(name="now"),
        now.mark_text(align="left", dx=8, dy=-8, fontWeight="bold").encode(text="words:N"),
    )


def _right(logits: Tensor, labels: Tensor, part: Tensor) -> float:
    return 100 * float(accuracy(logits[..., part, :], labels[part]).mean())
