"""The figures of the chapters: means never without their interval, classes and images never without their names."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from course_lib.errors import CourseError
from course_lib.measure import Interval, interval
from course_lib.show.style import BLUE, GREY, METHODS, look_of

_FEW = 25  # up to this many points each gets a marker


def curves(ax: Axes, x: Any, runs: Any, *, label: str | None = None) -> None:
    """Draw the mean of several runs over ``x`` with a band, its 95 % t interval.

    Args:
        ax: where to draw.
        x: numbers, (P,).
        runs: a row per seed, (S, P). A single run is a line without a band.
        label: name for the legend. A method of ``METHODS`` gets its own colour and marker.

    Raises:
        CourseError: the shapes do not fit, or a number is not finite.
    """
    points = np.asarray(x, dtype=float)
    values = np.asarray(runs, dtype=float)
    if points.ndim != 1 or values.ndim != 2 or values.shape[1:] != points.shape or 0 in values.shape:
        raise CourseError(
            f"runs must have shape (S, {len(points) if points.ndim else 0}), a row per seed and a column per x, "
            f"got {values.shape} with x of shape {points.shape}"
        )
    intervals = [_interval("runs", column) for column in values.T]
    look = look_of(label, ax)
    ax.plot(
        points,
        [each.mean for each in intervals],
        color=look.color,
        marker=look.marker,
        markevery=math.ceil(len(points) / _FEW),
        label=label,
    )
    if len(values) > 1:
        low, high = [each.low for each in intervals], [each.high for each in intervals]
        ax.fill_between(points, low, high, color=look.color, alpha=0.2, linewidth=0)


def bars(ax: Axes, labels: Sequence[str], values: Sequence[Any]) -> None:
    """Draw a bar per label: the mean over seeds, with its 95 % t interval as a whisker.

    Args:
        ax: where to draw.
        labels: (B,) names below the bars, also on several lines. A method of ``METHODS`` gets its own colour.
        values: (B,) entries: one number, or one number per seed.

    Raises:
        CourseError: not as many values as labels, none at all, or a number that is not finite.
    """
    intervals = _intervals(labels, values)
    places = np.arange(len(labels))
    ax.bar(places, [each.mean for each in intervals], width=0.6, color=colors_of(labels))
    whiskers = [each for each in zip(places, intervals, strict=True) if each[1].high > each[1].low]
    if whiskers:
        middle = np.array([each.mean for _, each in whiskers])
        ends = np.array([(each.low, each.high) for _, each in whiskers]).T
        ax.errorbar(
            [place for place, _ in whiskers],
            middle,
            yerr=np.abs(ends - middle),
            fmt="none",
            ecolor="#222222",
            elinewidth=1.5,
            capsize=5,
        )
    ax.set_xticks(places, [str(label) for label in labels])
    ax.grid(False, axis="x")


def points(ax: Axes, labels: Sequence[str], values: Sequence[Any]) -> None:
    """Draw a point per label, from the top: the mean over seeds, on its 95 % t interval as a line.

    For values that lie close together: unlike bars, points need no axis from zero, and long labels fit beside them.

    Args:
        ax: where to draw; the values run along its x axis.
        labels: (B,) names at the side, also on several lines. A method of ``METHODS`` gets its own colour and marker.
        values: (B,) entries: one number, or one number per seed.

    Raises:
        CourseError: not as many values as labels, none at all, or a number that is not finite.
    """
    intervals = _intervals(labels, values)
    for place, (label, each, color) in enumerate(zip(labels, intervals, colors_of(labels), strict=True)):
        known = METHODS.get(_name(label))
        ax.errorbar(
            each.mean,
            place,
            xerr=[[each.mean - each.low], [each.high - each.mean]] if each.high > each.low else None,
            fmt=known.marker if known else "o",
            color=color,
            elinewidth=2,
            capsize=6,
        )
    ax.set_yticks(range(len(labels)), [str(label) for label in labels])
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(False, axis="y")


def image_grid(images: Tensor, *, titles: Sequence[Any] | None = None, columns: int = 10) -> None:
    """Draw images in rows, in a figure of their own.

    Args:
        images: uint8, (N, C, H, W) with 1 ≤ N ≤ 100. One channel is drawn as ink on paper, three as RGB.
        titles: (N,) short names above the images.
        columns: images in a row at most, from 1 to 10.

    Raises:
        CourseError: ``images`` is something else, the titles are not as many, or there is no such row.
    """
    pictures = as_pictures(images)
    if len(pictures) > 100:
        raise CourseError(f"images must be at most 100, got {len(pictures)}")
    if titles is not None and len(titles) != len(pictures):
        raise CourseError(f"titles must be as many as the {len(pictures)} images, got {len(titles)}")
    if columns not in range(1, 11):
        raise CourseError(f"columns must be a number from 1 to 10, got {columns!r}")
    columns = min(len(pictures), columns)
    rows = math.ceil(len(pictures) / columns)
    height = 1.0 if titles is None else 1.25
    _, axes = plt.subplots(
        rows, columns, figsize=(columns, height * rows), squeeze=False, layout="constrained"
    )
    for ax in axes.flat:
        ax.axis("off")
    for index, (ax, picture) in enumerate(zip(axes.flat, pictures, strict=False)):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
        if titles is not None:
            ax.set_title(str(titles[index]), fontsize=10, pad=4)


def as_pictures(images: Any) -> list[np.ndarray]:
    """uint8 (N, C, H, W) → N arrays to look at: (H, W) with dark ink on white for C = 1, (H, W, 3) for C = 3."""
    if not isinstance(images, Tensor) or str(images.dtype) != "torch.uint8":
        came = f"{images.dtype} tensor" if isinstance(images, Tensor) else type(images).__name__
        raise CourseError(f"images must be a uint8 tensor of shape (N, C, H, W), got {came}")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise CourseError(
            f"images must have shape (N, C, H, W) with N ≥ 1 and C = 1 or 3, got {tuple(images.shape)}"
        )
    stack = images.cpu().numpy()
    return [255 - each[0] if len(each) == 1 else each.transpose(1, 2, 0) for each in stack]


def _intervals(labels: Sequence[str], values: Sequence[Any]) -> list[Interval]:
    """Of each entry over its seeds."""
    if len(labels) != len(values) or len(labels) == 0:
        raise CourseError(
            f"values must hold an entry for each label and at least one, "
            f"got {len(values)} for {len(labels)} labels"
        )
    return [_interval("values", np.atleast_1d(np.asarray(each, dtype=float))) for each in values]


def _name(label: str) -> str:
    """A label on one line."""
    return " ".join(str(label).split())


def colors_of(labels: Sequence[str]) -> list[str]:
    """Methods have their own colours. All other labels share one, because their place tells them apart."""
    names = [_name(label) for label in labels]
    taken = {METHODS[name].color for name in names if name in METHODS}
    other = GREY if BLUE in taken else BLUE
    return [METHODS[name].color if name in METHODS else other for name in names]


def _interval(name: str, runs: np.ndarray) -> Interval:
    if runs.ndim != 1 or len(runs) == 0 or not np.isfinite(runs).all():
        raise CourseError(f"{name} must hold finite numbers, one per seed, got {runs.tolist()}")
    return interval(runs) if len(runs) > 1 else Interval(runs[0], runs[0], runs[0])
