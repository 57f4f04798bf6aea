"""Pairing made visible: the difference of every pair, and how a comparison changes with the budget."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from course_lib.errors import CourseError
from course_lib.measure import BudgetCurve, Comparison
from course_lib.show.figures import colors_of
from course_lib.show.style import BLACK, BLUE, GREY, VERMILION, look_of
from course_lib.show.table import check_entries

_BAND = "#e3e8ec"  # of the margin
_GOLDEN = (5**0.5 - 1) / 2  # multiples of it, modulo 1, keep neighbours apart
# Shape and filling of a verdict, in the colour of its curve.
_VERDICTS = {
    "BEATS": ("^", True),
    "WORSE": ("v", True),
    "NO DIFFERENCE": ("s", False),
    "UNDECIDED": ("o", False),
}


def pairs(ax: Axes, comparisons: Mapping[str, Comparison]) -> None:
    """Draw the difference of every pair, a row per comparison from the top.

    A faint dot per pair (its height within the row means nothing), the mean on its interval, a line at zero, the
    verdict at the right, and a light band for the margin where one is stated.

    Args:
        ax: where to draw; differences run along its x axis.
        comparisons: results of ``measure.compare`` by name. A method of ``METHODS`` gets its own colour.

    Raises:
        CourseError: it is empty, or an entry is not a ``Comparison``.
    """
    check_entries("comparisons", comparisons, Comparison, "measure.compare")
    labels = list(comparisons)
    for place, (each, color) in enumerate(zip(comparisons.values(), colors_of(labels), strict=True)):
        if each.margin is not None:
            ax.barh(place, 2 * each.margin, left=-each.margin, height=1, color=_BAND, zorder=0)
        lift = (np.arange(len(each.gaps)) * _GOLDEN % 1 - 0.5) * 0.5
        ax.scatter(each.gaps, place + lift, s=22, color=color, alpha=0.45, linewidths=0)
        ax.errorbar(
            each.difference,
            place,
            xerr=[[each.difference - each.low], [each.high - each.difference]],
            fmt="o",
            color=BLACK,
            elinewidth=2.5,
            capsize=6,
        )
        ax.text(1.02, place, each.verdict, transform=ax.get_yaxis_transform(), va="center", fontsize=10)
    ax.axvline(0, color="#555555", linewidth=1.2, zorder=1)
    ax.set_yticks(range(len(labels)), [str(label) for label in labels])
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(False, axis="y")


def slopes(ax: Axes, left: Any, right: Any, labels: Sequence[str]) -> None:
    """Draw a line per pair from one method's value to the other's, and their means as a thick one.

    Rising lines are blue, falling ones red; the legend counts them.

    Args:
        ax: where to draw; values run along its y axis.
        left: (P,) one value per seed.
        right: (P,) the other method's, seeds in the same order.
        labels: names of the two methods.

    Raises:
        CourseError: the values are not paired or not finite, or there are not two labels.
    """
    ends = [np.asarray(each, dtype=float) for each in (left, right)]
    if ends[0].ndim != 1 or ends[0].shape != ends[1].shape or len(ends[0]) == 0:
        raise CourseError(
            f"left and right must be one value per seed, got shapes {ends[0].shape} and {ends[1].shape}"
        )
    if not np.isfinite(ends).all():
        raise CourseError("left and right must hold finite numbers, got NaN or infinity")
    if isinstance(labels, str) or len(labels) != 2:
        raise CourseError(f"labels must name the two methods, got {labels!r}")
    rise = np.sign(ends[1] - ends[0])
    for sign, color, word in ((1, BLUE, "rise"), (-1, VERMILION, "fall"), (0, GREY, "stay")):
        chosen = np.stack(ends)[:, rise == sign]  # (2, chosen)
        if chosen.size:
            lines = ax.plot([0, 1], chosen, color=color, alpha=0.5, linewidth=1.3, marker="o", markersize=4)
            lines[0].set_label(f"{chosen.shape[1]} {word}")
    ax.plot([0, 1], np.mean(ends, axis=1), color=BLACK, linewidth=3.5, marker="o", markersize=8, label="mean")
    ax.set_xticks([0, 1], [str(label) for label in labels])
    ax.set_xlim(-0.25, 1.25)
    ax.grid(False, axis="x")
    ax.legend()


def budget_curves(ax: Axes, curves: Mapping[str, BudgetCurve]) -> None:
    """Draw mean paired differences over the number of steps, with their intervals as bands and verdicts as marks.

    Each curve has its name at its end. Where the sign of its verdict changes, a bracket at the bottom spans the two
    budgets between which it does.

    Args:
        ax: where to draw; steps run along its x axis, on a log scale.
        curves: results of ``measure.budget_curve`` by name. A method of ``METHODS`` gets its own colour.

    Raises:
        CourseError: it is empty, or an entry is not a ``BudgetCurve``.
    """
    check_entries("curves", curves, BudgetCurve, "measure.budget_curve")
    ax.set_xscale("log")
    ax.axhline(0, color="#555555", linewidth=1.2, zorder=1)
    colors = {}
    for label, curve in curves.items():
        look = look_of(label, ax)
        colors[label] = look.color
        _curve(ax, curve, look.color)
    _turns(ax, curves, colors)
    _names(ax, curves, colors)
    _verdict_legend(ax, curves)
    steps = sorted({each for curve in curves.values() for each in curve.steps})
    ax.set_xticks(steps, [f"{each:,}" for each in steps])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("steps")


def _curve(ax: Axes, curve: BudgetCurve, color: str) -> None:
    means = [each.difference for each in curve.comparisons]
    low, high = [each.low for each in curve.comparisons], [each.high for each in curve.comparisons]
    ax.fill_between(curve.steps, low, high, color=color, alpha=0.15, linewidth=0)
    ax.plot(curve.steps, means, color=color)
    for steps, each in zip(curve.steps, curve.comparisons, strict=True):
        shape, filled = _VERDICTS[each.verdict]
        face = color if filled else "white"
        ax.plot(steps, each.difference, shape, color=color, markerfacecolor=face, markersize=8)


def _turns(ax: Axes, curves: Mapping[str, BudgetCurve], colors: Mapping[str, str]) -> None:
    turning = [label for label, curve in curves.items() if curve.turn]
    low, high = ax.get_ylim()
    line = 0.11 * (high - low)
    for place, label in enumerate(turning, 1):
        first, last = curves[label].turn
        height = low - place * line
        ax.plot([first, last], [height, height], "|-", color=colors[label], linewidth=1.5, markersize=9)
        words = "changes sign" if len(curves) == 1 else f"{label} changes sign"
        middle, above = (math.sqrt(first * last), height), (0, 4)
        style = {"color": colors[label], "ha": "center", "va": "bottom", "fontsize": 10}
        ax.annotate(words, middle, above, textcoords="offset points", **style)
    ax.set_ylim(low - (len(turning) + 0.4) * line if turning else low, high)


def _names(ax: Axes, curves: Mapping[str, BudgetCurve], colors: Mapping[str, str]) -> None:
    """Write each name at the right end of its curve, as high as it ends but not over another name."""
    if len(curves) == 1:
        return  # the axis says what is drawn
    ends = sorted((curve.comparisons[-1].difference, label) for label, curve in curves.items())
    low, high = ax.get_ylim()
    heights: list[float] = []
    for end, _ in ends:
        heights.append(max(end, heights[-1] + 0.08 * (high - low)) if heights else end)
    lift = sum(height - end for height, (end, _) in zip(heights, ends, strict=True)) / len(ends)
    for height, (_, label) in zip(heights, ends, strict=True):
        at = (1.02, height - lift)
        ax.text(*at, str(label), transform=ax.get_yaxis_transform(), color=colors[label], va="center")


def _verdict_legend(ax: Axes, curves: Mapping[str, BudgetCurve]) -> None:
    found = {each.verdict for curve in curves.values() for each in curve.comparisons}
    marks = [
        Line2D(
            [],
            [],
            color=GREY,
            marker=shape,
            markerfacecolor=GREY if filled else "white",
            ls="",
            label=verdict,
        )
        for verdict, (shape, filled) in _VERDICTS.items()
        if verdict in found
    ]
    ax.legend(handles=marks, fontsize=9)
