"""The squared distance of two vectors in its two parts, to move by hand: in a running notebook and on the website."""

import math

import altair as alt
import ipywidgets as widgets
import torch

from course_lib.cards import bar, bars, white
from course_lib.errors import CourseError
from course_lib.losses.hypersphere import hypersphere_split
from course_lib.show.slider import SIDE_BY_SIDE, WIDE, Controls, in_words
from course_lib.show.style import BLACK, BLUE, GREY, PURPLE, VERMILION
from course_lib.show.web import WebChart, Words, told, web_chart

LARGEST = 3.0  # radius
_SIDE = 215  # of the plane, in pixels; with the names of the bars it fits a phone
_START = (1.4, 110)  # radius and angle of the student
_COLORS = {"radius part": BLUE, "angle part": VERMILION, "squared distance": GREY}
_PLANE = 4.4  # the axes reach beyond the largest circle, to leave room for names
_BEYOND = 0.8  # the tip of its vector, a name
_CIRCLE = [{"turn": math.radians(degrees)} for degrees in range(0, 361, 4)]


def split_slider(teacher_radius: float = 2.0, teacher_angle: float = 30.0) -> widgets.Widget:
    """A widget with sliders for the student's radius and angle; it needs a running kernel.

    Args:
        teacher_radius: length of the teacher's vector, above 0 and at most 3.
        teacher_angle: its direction in degrees, from the x axis.

    Raises:
        CourseError: a number is outside its range.
    """
    _check(teacher_radius, teacher_angle)
    radius = widgets.FloatSlider(
        value=_START[0], min=0, max=LARGEST, step=0.05, description="student's radius", **WIDE
    )
    angle = widgets.IntSlider(
        value=_START[1], min=-180, max=180, step=5, description="student's angle (°)", **WIDE
    )
    card = widgets.HTML()

    def update(_change: object = None) -> None:
        card.value = in_words(lambda: card_html(radius.value, angle.value, teacher_radius, teacher_angle))

    radius.observe(update, "value")
    angle.observe(update, "value")
    update()
    return Controls([radius, angle, card])


def parts_of(
    student_radius: float, student_angle: float, teacher_radius: float, teacher_angle: float
) -> dict[str, float]:
    """Radius part, angle part and squared distance of two vectors in the plane, angles in degrees."""
    student, teacher = (
        torch.tensor([[radius * f(math.radians(angle)) for f in (math.cos, math.sin)]], dtype=torch.float64)
        for radius, angle in ((student_radius, student_angle), (teacher_radius, teacher_angle))
    )
    radius, angle = (float(part) for part in hypersphere_split(student, teacher))
    return dict(zip(_COLORS, (radius, angle, float((student - teacher).square().sum())), strict=True))


def card_html(
    student_radius: float, student_angle: float, teacher_radius: float, teacher_angle: float
) -> str:
    """Both vectors with their circles beside the bars of the parts, a white card."""
    parts = parts_of(student_radius, student_angle, teacher_radius, teacher_angle)
    scale = _SIDE / (2 * _PLANE)

    def drawn(name: str, color: str, radius: float, degrees: float) -> tuple[str, float, float]:
        x, y = (radius * f(math.radians(degrees)) * scale for f in (math.cos, math.sin))
        u, v = ((radius + _BEYOND) * f(math.radians(degrees)) * scale for f in (math.cos, math.sin))
        ends = 'x1="0" y1="0"' + f' x2="{x:.2f}" y2="{-y:.2f}"'
        shapes = (
            f'<circle r="{radius * scale:.2f}" fill="none" stroke="{color}" stroke-opacity=".4"/>'
            f'<line {ends} stroke="{color}" stroke-width="3"/><circle cx="{x:.2f}" cy="{-y:.2f}" r="5" fill="{color}"/>'
            f'<text x="{u:.2f}" y="{-v + 5:.2f}" text-anchor="middle" fill="{color}" font-size="14">{name}</text>'
        )
        return shapes, x, y

    teacher, x_t, y_t = drawn("teacher", BLACK, teacher_radius, teacher_angle)
    student, x_s, y_s = drawn("student", PURPLE, student_radius, student_angle)
    between = (
        f'<line x1="{x_s:.2f}" y1="{-y_s:.2f}" x2="{x_t:.2f}" y2="{-y_t:.2f}" '
        f'stroke="{GREY}" stroke-width="2" stroke-dasharray="5 4"/>'
    )
    words = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
    half = _SIDE / 2
    plane = (
        f'<svg role="img" aria-label="two vectors; {words}" width="{_SIDE}" height="{_SIDE}" '
        f'viewBox="{-half} {-half} {_SIDE} {_SIDE}">{teacher}{between}{student}</svg>'
    )
    largest = (LARGEST + teacher_radius) ** 2
    rows = "".join(bar(name, value / largest, f"{value:.2f}", _COLORS[name]) for name, value in parts.items())
    return white(f'{plane}<div style="flex:1 1 16em">{bars(rows)}</div>', SIDE_BY_SIDE)


def split_chart(teacher_radius: float = 2.0, teacher_angle: float = 30.0) -> WebChart:
    """The same as a chart with sliders that computes the parts in the page itself. It needs no kernel.

    Args:
        teacher_radius, teacher_angle: as in ``split_slider``.

    Raises:
        CourseError: a number is outside its range.
    """
    _check(teacher_radius, teacher_angle)
    text = (
        "The vectors of student and teacher in the plane with a circle each, above bars of radius part, angle part "
        "and squared distance, with sliders for the student's radius and angle."
    )
    parameters = [
        alt.param(
            name="r_s",
            value=_START[0],
            bind=alt.binding_range(min=0, max=LARGEST, step=0.05, name="student's radius "),
        ),
        alt.param(
            name="degrees",
            value=_START[1],
            bind=alt.binding_range(min=-180, max=180, step=5, name="student's angle (°) "),
        ),
        alt.param(name="r_t", value=teacher_radius),
        alt.param(name="a_t", value=math.radians(teacher_angle)),
        alt.param(name="a_s", expr="degrees * PI / 180"),
    ]
    chart = alt.vconcat(_plane(), _bars(teacher_radius)).add_params(*parameters)
    return web_chart(chart, text, Words("parts", {"name": "part", "words": "squared length"}))


def _plane() -> alt.LayerChart:
    x, y = (
        alt.Axis(title=name, values=[-4, -2, 0, 2, 4], domain=False, ticks=False)
        for name in ("first coordinate", "second coordinate")
    )
    scale = alt.Scale(domain=[-_PLANE, _PLANE], nice=False)

    def at(name: str, color: str, radius: str, angle: str) -> alt.LayerChart:
        def placed(rows: list[dict], turn: str) -> alt.Chart:
            return (
                alt.Chart(alt.Data(values=rows))
                .transform_calculate(x=f"{radius} * cos({turn})", y=f"{radius} * sin({turn})", zero="0")
                .encode(x=alt.X("x:Q", scale=scale, axis=x), y=alt.Y("y:Q", scale=scale, axis=y))
            )

        circle = placed(_CIRCLE, "datum.turn").mark_line(color=color, opacity=0.4, strokeWidth=1)
        tip = placed([{}], angle)
        name_of = (
            alt.Chart(alt.Data(values=[{}]))
            .transform_calculate(
                x=f"({radius} + {_BEYOND}) * cos({angle})", y=f"({radius} + {_BEYOND}) * sin({angle})"
            )
            .encode(x="x:Q", y="y:Q")
        )
        return alt.layer(
            circle.encode(order="turn:Q"),
            tip.mark_rule(color=color, strokeWidth=3).encode(x2="zero:Q", y2="zero:Q"),
            tip.mark_point(color=color, filled=True, size=80, opacity=1),
            name_of.mark_text(color=color, text=name),
        )

    between = (
        alt.Chart(alt.Data(values=[{}]))
        .transform_calculate(
            x="r_s * cos(a_s)", y="r_s * sin(a_s)", x_t="r_t * cos(a_t)", y_t="r_t * sin(a_t)"
        )
        .mark_rule(color=GREY, strokeWidth=2, strokeDash=[5, 4])
        .encode(x="x:Q", y="y:Q", x2="x_t:Q", y2="y_t:Q")
    )
    teacher, student = at("teacher", BLACK, "r_t", "a_t"), at("student", PURPLE, "r_s", "a_s")
    return alt.layer(teacher, between, student).properties(width=_SIDE, height=_SIDE)


def _bars(teacher_radius: float) -> alt.LayerChart:
    """Bars of data that hold ``name`` and ``value``."""
    formulas = (
        "pow(r_s - r_t, 2)",
        "2 * r_s * r_t * (1 - cos(a_s - a_t))",
        # Not as the sum of the parts: from the coordinates.
        "pow(r_s * cos(a_s) - r_t * cos(a_t), 2) + pow(r_s * sin(a_s) - r_t * sin(a_t), 2)",
    )
    rows = [
        {"name": name, "place": place, "color": color} for place, (name, color) in enumerate(_COLORS.items())
    ]
    base = (
        alt.Chart(alt.Data(values=rows))
        .transform_calculate(
            value=f"datum.place == 0 ? {formulas[0]} : datum.place == 1 ? {formulas[1]} : {formulas[2]}"
        )
        .transform_calculate(words="format(datum.value, '.2f')")
        .encode(
            y=alt.Y("name:N", sort=None, axis=alt.Axis(title=None, domain=False, ticks=False)),
            x=alt.X(
                "value:Q",
                scale=alt.Scale(domain=[0, (LARGEST + teacher_radius) ** 2], nice=False),
                axis=alt.Axis(title="squared length", tickCount=5),
            ),
        )
    )
    named = told(
        base,
        "'Radius ' + format(r_s, '.2f') + ', angle ' + degrees + '°: ' + datum.parts + '.'",
        part="datum.name + ' ' + datum.words",
    )
    bars = named.mark_bar().encode(color=alt.Color("color:N", scale=None)).properties(name="parts")
    return alt.layer(bars, base.mark_text(align="left", dx=5).encode(text="words:N")).properties(
        width=_SIDE - 45, height=90
    )


def _check(teacher_radius: float, teacher_angle: float) -> None:
    for name, value, low, high in (
        ("teacher_radius", teacher_radius, 1e-9, LARGEST),
        ("teacher_angle", teacher_angle, -360, 360),
    ):
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise CourseError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}")
