"""Matrices as pictures: shades for their values, and a diagonal that does not drown the rest."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from course_lib.errors import CourseError


def heatmap(
    ax: Axes,
    matrix: Any,
    row_labels: Sequence[Any],
    column_labels: Sequence[Any],
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    fmt: str | None = None,
    center: float | None = None,
    mask_diagonal: bool = False,
) -> AxesImage:
    """Draw a matrix in shades of blue, dark for large; or around ``center`` from red over white to blue.

    Args:
        ax: where to draw.
        matrix: (R, C) numbers.
        row_labels: (R,) names, from the top.
        column_labels: (C,) names.
        vmin: value at one end of the scale, else the smallest number.
        vmax: value at the other end, else the largest number.
        fmt: writes each number into its cell, such as "{:.1f}". Without it a colour bar shows the values.
        center: the value that is white, 0 for signed values; the scale reaches equally far on both sides.
        mask_diagonal: hatch the diagonal of a square matrix and leave it out of the scale.

    Raises:
        CourseError: the labels do not fit the matrix, or its diagonal is to be masked and it is not square.
    """
    values = np.asarray(matrix, dtype=float)
    if values.ndim != 2 or values.shape != (len(row_labels), len(column_labels)):
        raise CourseError(
            f"matrix must have shape ({len(row_labels)}, {len(column_labels)}) as the labels say, "
            f"got {values.shape}"
        )
    if mask_diagonal:
        values = _without_diagonal(ax, values)
    norm = _norm(values, vmin, vmax, center)
    image = ax.imshow(values, cmap="Blues" if center is None else "RdBu", norm=norm)
    ax.set_xticks(range(len(column_labels)), [str(label) for label in column_labels])
    ax.set_yticks(range(len(row_labels)), [str(label) for label in row_labels])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    if fmt is None:
        ax.figure.colorbar(image, ax=ax, shrink=0.8).outline.set_visible(False)
    else:
        _write(ax, image, fmt)
    return image


def _without_diagonal(ax: Axes, values: np.ndarray) -> np.ndarray:
    if values.shape[0] != values.shape[1] or len(values) < 2:
        raise CourseError(
            f"matrix must be square and larger than 1 × 1 to mask its diagonal, got shape {values.shape}"
        )
    for place in range(len(values)):
        corner = (place - 0.5, place - 0.5)
        ax.add_patch(
            Rectangle(corner, 1, 1, facecolor="#f4f4f4", edgecolor="#c4c4c4", hatch="////", linewidth=0)
        )
    return np.ma.masked_where(np.eye(len(values), dtype=bool), values)


def _norm(values: np.ndarray, vmin: float | None, vmax: float | None, center: float | None) -> Normalize:
    low = float(values.min()) if vmin is None else vmin
    high = float(values.max()) if vmax is None else vmax
    if center is None:
        return Normalize(low, high)
    reach = max(abs(high - center), abs(low - center))
    return Normalize(center - reach, center + reach)


def _write(ax: Axes, image: AxesImage, fmt: str) -> None:
    values = image.get_array()
    mask = np.ma.getmaskarray(values)
    for (row, column), value in np.ndenumerate(np.ma.getdata(values)):
        if mask[row, column]:
            continue
        red, green, blue, _ = image.cmap(image.norm(value))
        ink = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "black"
        ax.text(column, row, fmt.format(value), ha="center", va="center", color=ink, fontsize=10)
