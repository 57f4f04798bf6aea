"""Measured grids of temperature and λ to walk through on the website: nothing is trained, every number was stored."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from course_lib.errors import CourseError
from course_lib.measure import Comparison, Interval, compare, interval
from course_lib.show.style import BLACK, BLUE, GREY, PURPLE, VERMILION
from course_lib.show.web import WebChart, Words, web_chart

_AXES = ("temperatures", "lams", "seeds")
_START = (4.0, 0.9)  # T and λ, where the grid has them
_CELL = (29, 24)  # width and height of a cell in pixels; nine of them fit a phone
_SIDE = 220  # width of the panels beside the map
_CELLS = alt.NamedData("cells")
_HERE, _HARD = "this cell", "hard labels"
_VERDICTS = {
    "BEATS": "better than hard labels",
    "WORSE": "worse than hard labels",
    "NO DIFFERENCE": "no difference to hard labels",
    "UNDECIDED": "undecided",
}


def explorer_chart(grids: Sequence[Mapping[str, Any]]) -> WebChart:
    """A heat map of validation accuracy with sliders for T and λ, and the seeds of the chosen cell. It needs no kernel.

    Args:
        grids: what ``course tune grid`` wrote, one for each number of labels, all with the same axes: "labels",
            "temperatures" (R,), "lams" (L,), "seeds" (S,), "validation" (R, L, S) and "hard_validation" (S,), both
            in per cent.

    Raises:
        CourseError: there is no grid, one lacks something, or they do not fit one another.
    """
    _check(grids)
    text = (
        "A heat map of mean validation accuracy over temperature and λ, measured beforehand, with sliders for both and "
        "a choice of the number of labels; beside it the accuracies of every seed in the chosen cell and with hard "
        "labels, and their paired differences, with means and 95 % intervals."
    )
    # Each panel has its own colours and its own heights for the seeds.
    apart = {"color": "independent", "yOffset": "independent"}
    panels = alt.vconcat(_accuracies(grids), _differences(grids), spacing=24).resolve_scale(**apart)
    chart = (
        alt.hconcat(_map(grids), panels, spacing=26).add_params(*_parameters(grids)).resolve_scale(**apart)
    )
    columns = {"seed": "seed", "here_words": _HERE, "hard_words": _HARD, "gap_words": "difference"}
    words = Words(
        "differences",
        columns,
        values={"row": "T_in_words", "column": "lam_in_words"},
        clicks={"row": "at_row", "column": "at_column"},
    )
    return web_chart(
        chart.properties(datasets={"cells": cells_of(grids)}),
        text,
        words,
        grid=False,
        domain=False,
        ticks=False,
        labelPadding=5,
    )


def cells_of(grids: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per cell of every grid: its place, runs, means with intervals, paired difference, and a sentence."""
    return [
        _cell(grid, size, row, column)
        for size, grid in enumerate(grids)
        for row in range(len(grid["temperatures"]))
        for column in range(len(grid["lams"]))
    ]


def _cell(grid: Mapping[str, Any], size: int, row: int, column: int) -> dict[str, Any]:
    runs, hard = grid["validation"][row][column], grid["hard_validation"]
    mean, alone, gap = interval(runs), interval(hard), compare(runs, hard)
    temperature, lam = grid["temperatures"][row], grid["lams"][column]
    return {
        "size": size,
        "at_row": row,
        "at_column": column,
        "mean": f"{mean.mean:.1f}",
        "seeds": list(grid["seeds"]),
        "runs": list(runs),
        "hard_runs": list(hard),
        "here": _rounded(mean.mean, mean.low, mean.high),
        "hard": _rounded(alone.mean, alone.low, alone.high),
        "gap": _rounded(gap.difference, gap.low, gap.high),
        "sentence": _sentence(grid["labels"], temperature, lam, mean, gap),
    }


def _sentence(labels: int, temperature: float, lam: float, mean: Interval, gap: Comparison) -> str:
    accuracy = f"{mean.mean:.1f} % [{mean.low:.1f}, {mean.high:.1f}]"
    if lam == 0:
        return f"{labels:,} labels, λ = 0: hard labels alone, whatever T is: {accuracy}, {gap.pairs} seeds."
    return (
        f"{labels:,} labels, T = {temperature:g}, λ = {lam:g}: {accuracy}; minus hard labels "
        f"{gap.difference:+.2f} points [{gap.low:+.2f}, {gap.high:+.2f}], {gap.pairs} pairs: {_VERDICTS[gap.verdict]}."
    )


def _rounded(*numbers: float) -> list[float]:
    return [round(number, 5) for number in numbers]


def _check(grids: Sequence[Mapping[str, Any]]) -> None:
    if not grids:
        raise CourseError("grids must hold at least one measured grid, got none")
    for grid in grids:
        needed = ("labels", *_AXES, "validation", "hard_validation")
        if absent := [key for key in needed if key not in grid]:
            raise CourseError(f"each of grids must hold {', '.join(needed)}; one lacks {', '.join(absent)}")
        if any(grid[axis] != grids[0][axis] for axis in _AXES):
            raise CourseError("grids must share their temperatures, lams and seeds, got different ones")
        wanted, came = tuple(len(grid[axis]) for axis in _AXES), np.shape(grid["validation"])
        if came != wanted or np.shape(grid["hard_validation"]) != wanted[2:]:
            raise CourseError(
                f"validation must have shape {wanted}, as the axes say, and hard_validation {wanted[2:]}, "
                f"got {came} and {np.shape(grid['hard_validation'])}"
            )


def _parameters(grids: Sequence[Mapping[str, Any]]) -> list[alt.Parameter]:
    axes = [grids[0][axis] for axis in ("temperatures", "lams")]
    starts = [axis.index(start) if start in axis else 0 for axis, start in zip(axes, _START, strict=True)]
    sizes = [f"{grid['labels']:,}" for grid in grids]
    return [
        alt.param(
            name="size",
            value=0,
            bind=alt.binding_select(options=list(range(len(sizes))), labels=sizes, name="number of labels "),
        ),
        *(
            alt.param(
                name=name,
                value=start,
                bind=alt.binding_range(min=0, max=len(axis) - 1, step=1, name=f"{title} "),
            )
            for name, title, axis, start in zip(
                ("row", "column"), ("temperature T", "weight λ"), axes, starts, strict=True
            )
        ),
        *(
            alt.param(name=name, expr=f"'{sign} = ' + {_texts(axis)}[{place}]")
            for name, sign, axis, place in zip(
                ("T_in_words", "lam_in_words"), ("T", "λ"), axes, ("row", "column"), strict=True
            )
        ),
    ]


def _texts(axis: Sequence[float]) -> str:
    """The numbers of an axis as a list of words in an expression of the page."""
    return "[" + ", ".join(f"'{value:g}'" for value in axis) + "]"


def _map(grids: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """The means of all cells for the chosen number of labels; the chosen cell is framed."""
    rows, columns = grids[0]["temperatures"], grids[0]["lams"]
    means = [np.mean(grid["validation"], axis=2) for grid in grids]
    cells = alt.Chart(_CELLS).transform_filter("datum.size == size")
    lightest, darkest = (
        [float(end) for end in ends] for ends in zip(*((m.min(), m.max()) for m in means), strict=True)
    )
    axis = {"labelAngle": 0, "labelOverlap": False}
    across, down = (
        alt.Scale(domain=list(range(len(axis))), paddingInner=0.04, paddingOuter=0)
        for axis in (columns, rows)
    )
    base = cells.encode(
        x=alt.X(
            "at_column:O",
            scale=across,
            axis=alt.Axis(
                title="λ, weight of the soft targets",
                labelFontSize=12,
                labelExpr=f"{_texts(columns)}[datum.value]",
                **axis,
            ),
        ),
        y=alt.Y(
            "at_row:O",
            scale=down,
            axis=alt.Axis(title="temperature T", labelExpr=f"{_texts(rows)}[datum.value]", **axis),
        ),
    )
    share = f"(datum.here[0] - {lightest}[size]) / ({darkest}[size] - {lightest}[size] || 1)"
    shaded = base.transform_calculate(share=share)
    color = alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], scheme="blues"), legend=None)
    ink = alt.condition("datum.share > 0.72", alt.value("white"), alt.value("black"))
    chosen = "datum.at_row == row && datum.at_column == column"
    return alt.layer(
        shaded.mark_rect(cursor="pointer").encode(color=color).properties(name="map"),
        shaded.mark_text(fontSize=11, cursor="pointer").encode(text="mean:N", color=ink),
        base.transform_filter(chosen).mark_rect(
            filled=False, stroke=VERMILION, strokeWidth=3, cursor="pointer"
        ),
    ).properties(
        width=_CELL[0] * len(columns),
        height=_CELL[1] * len(rows),
        title=_title("mean validation accuracy (%)"),
    )


def _accuracies(grids: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """A point for every seed, in the chosen cell and with hard labels, and both means with their intervals."""
    values = [np.append(np.ravel(grid["validation"]), grid["hard_validation"]) for grid in grids]
    x = _x("accuracy:Q", "validation accuracy (%)", values)
    y = alt.Y("who:N", scale=alt.Scale(domain=[_HERE, _HARD]), axis=alt.Axis(title=None, labelFontSize=13))
    points = (
        _seeds()
        .transform_calculate(**{_HERE: "datum.runs", _HARD: "datum.hard_runs"})
        .transform_fold([_HERE, _HARD], as_=["who", "accuracy"])
    )
    color = alt.Color("who:N", scale=alt.Scale(domain=[_HERE, _HARD], range=[BLUE, VERMILION]), legend=None)
    return alt.layer(
        _dots(points, x, y).encode(color=color).properties(name="accuracies"),
        *_mean(_HERE, "here", x, y),
        *_mean(_HARD, "hard", x, y),
    ).properties(width=_SIDE, height=104, title=_title("each seed; mean with 95 % interval"))


def _differences(grids: Sequence[Mapping[str, Any]]) -> alt.LayerChart:
    """A point for every pair of the same seed, and their mean with its interval."""
    gaps = [np.subtract(grid["validation"], grid["hard_validation"]) for grid in grids]
    x = _x("gap_of_seed:Q", "points of accuracy, above 0: better", [np.append(gap, 0) for gap in gaps])
    y = alt.Y("who:N", scale=alt.Scale(domain=["difference"]), axis=alt.Axis(title=None, labelFontSize=13))
    points = _seeds().transform_calculate(
        who="'difference'",
        gap_of_seed="datum.runs - datum.hard_runs",
        seed="datum.seeds",
        here_words="format(datum.runs, '.1f') + ' %'",
        hard_words="format(datum.hard_runs, '.1f') + ' %'",
        gap_words="format(datum.runs - datum.hard_runs, '+.1f')",
    )
    zero = alt.Chart(alt.Data(values=[{}])).mark_rule(color=GREY).encode(x=alt.datum(0, type="quantitative"))
    return alt.layer(
        zero,
        _dots(points, x, y).encode(color=alt.value(PURPLE)).properties(name="differences"),
        *_mean("difference", "gap", x, y),
    ).properties(width=_SIDE, height=56, title=_title("this cell minus hard labels, paired"))


def _title(text: str) -> alt.Title:
    return alt.Title(text, fontSize=13, fontWeight="normal", anchor="start", frame="group")


def _x(field: str, title: str, values: Sequence[np.ndarray]) -> alt.X:
    """An axis that stays while T and λ move and fits all cells of the chosen number of labels."""
    low, high = (
        [float(end) for end in ends] for ends in zip(*((v.min(), v.max()) for v in values), strict=True)
    )
    scale = alt.Scale(
        domainMin=alt.expr(f"{low}[size]"), domainMax=alt.expr(f"{high}[size]"), zero=False, nice=True
    )
    return alt.X(field, scale=scale, axis=alt.Axis(title=title, grid=True, tickCount=5))


def _chosen() -> alt.Chart:
    """The one row of ``cells_of`` that the controls choose."""
    return alt.Chart(_CELLS).transform_filter(
        "datum.size == size && datum.at_row == row && datum.at_column == column"
    )


def _seeds() -> alt.Chart:
    """One row per seed of the chosen cell."""
    return _chosen().transform_flatten(["seeds", "runs", "hard_runs"])


def _dots(points: alt.Chart, x: alt.X, y: alt.Y) -> alt.Chart:
    # Accuracies of 200 images are often equal: every seed has its own height.
    return points.mark_circle(size=46, opacity=0.85).encode(x=x, y=y, yOffset=alt.YOffset("seeds:N"))


def _mean(who: str, numbers: str, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """The mean with its interval, from ``[mean, low, high]`` in the field ``numbers``."""
    row = _chosen().transform_calculate(
        who=f"'{who}'", mean=f"datum.{numbers}[0]", low=f"datum.{numbers}[1]", high=f"datum.{numbers}[2]"
    )
    return [
        row.mark_rule(color=BLACK, strokeWidth=2).encode(x="low:Q", x2="high:Q", y=y),
        row.mark_tick(color=BLACK, thickness=3, size=24).encode(x="mean:Q", y=y),
    ]
