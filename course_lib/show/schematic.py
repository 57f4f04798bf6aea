"""A chapter's idea in boxes and arrows, drawn by a few lines of code, legible on a phone and in print."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from course_lib.errors import CourseError

# All lengths are points, so that letters keep their size whatever is drawn.
_INK, _LINE = "#1f2933", "#5b6770"
_NAME, _DETAIL, _WORDS = 11, 9, 9  # sizes of letters
_PAD, _GAP, _FLOOR, _EDGE = 11, 26, 38, 12  # inside a box, between boxes, between rows, around all
_SHEET = 3  # of a pile, seen behind the first
_WIDEST = 470
_REACH = 0.37  # of a box's width, to both sides of its middle: where arrows may touch it


@dataclass(frozen=True)
class Look:
    """How a kind of box is drawn."""

    face: str
    edge: str
    height: float  # without the lines of its detail
    rounding: float
    sheets: int = 1  # drawn behind one another


KINDS = {
    "big": Look("#d9f0e8", "#00795a", 50, 9),  # a big network
    "small": Look("#f6e4ee", "#a2497c", 30, 7),  # a small network
    "data": Look("#e4f0f8", "#3a7ca5", 28, 3, sheets=3),  # images, answers, matrices: one for each example
    "loss": Look("#fdebdd", "#b85200", 28, 14),
    "plain": Look("#f2f4f6", "#7b8794", 28, 6),
}


@dataclass(frozen=True)
class Box:
    """A thing in a schematic.

    Attributes:
        name: in bold; arrows name it.
        kind: one of ``KINDS``.
        detail: small words under the name, also on several lines.
    """

    name: str
    kind: str = "plain"
    detail: str = ""


@dataclass(frozen=True)
class Axis:
    """A row of its own: a line with ticks, such as a budget.

    Attributes:
        name: at its end.
        ticks: words from left to right.
    """

    name: str
    ticks: tuple[str, ...]


class Arrow(NamedTuple):
    """From one box or axis to another, both by name; dashed for what flows back, such as a gradient."""

    start: str
    end: str
    words: str = ""
    dashed: bool = False


class _Place(NamedTuple):
    x: float
    y: float  # of the middle
    width: float
    height: float
    row: int


def schematic(rows: Sequence[Sequence[Box | None] | Axis], arrows: Sequence[tuple] = ()) -> None:
    """Draw rows of boxes and arrows between them, in a figure of their own.

    Args:
        rows: from the top; each a list of boxes from the left, spread evenly (None leaves a place empty), or an
            ``Axis``. At most three boxes stay legible on a phone.
        arrows: from one box or axis to another: ``Arrow``s, or tuples of the same, such as ("images", "teacher") or
            ("loss", "student", "learns", True).

    Raises:
        CourseError: a row without a box, an unknown kind, a name used twice, an arrow to or from something that is
            not there, or a row that is too wide.
    """
    boxes = _boxes(rows)
    wanted = [Arrow(*arrow) for arrow in arrows]
    places, width, height = _layout(rows, wanted)
    for arrow in wanted:
        for end in (arrow.start, arrow.end):
            if end not in places:
                raise CourseError(f"arrows must join two of {', '.join(places)}, got {end!r}")
    figure = plt.figure(figsize=(width / 72, height / 72), layout="none", facecolor="white")
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    for arrow in wanted:
        _draw_arrow(ax, arrow, places, wanted)
    for name, box in boxes.items():
        _draw_box(ax, box, places[name])
    for row in rows:
        if isinstance(row, Axis):
            _draw_axis(ax, row, places[row.name])


def _boxes(rows: Sequence[Sequence[Box | None] | Axis]) -> dict[str, Box]:
    """All boxes by name."""
    found: list[Box] = []
    for row in rows:
        if isinstance(row, Axis):
            continue
        boxes = [each for each in row if each is not None] if isinstance(row, list | tuple) else []
        if not boxes or not all(isinstance(each, Box) for each in boxes):
            raise CourseError(f"rows must be an Axis, or a list with at least one Box, got {row!r}")
        found += boxes
    names = [each.name for each in (*found, *(row for row in rows if isinstance(row, Axis)))]
    if not found:
        raise CourseError("rows must hold at least one Box, got none")
    for each in found:
        if each.kind not in KINDS:
            raise CourseError(f"kind must be one of {', '.join(KINDS)}, got {each.kind!r} for {each.name!r}")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise CourseError(f"rows must have different names, got {twice!r} twice")
    return {box.name: box for box in found}


def _layout(
    rows: Sequence[Sequence[Box | None] | Axis], arrows: Sequence[Arrow]
) -> tuple[dict[str, _Place], float, float]:
    """The place of every box and axis, and the size of the drawing."""
    steps: dict[int, float] = {}  # by the length of a row, from box to box: rows of one length make columns
    slots: dict[int, float] = {}
    for row in rows:
        if not isinstance(row, Axis):
            slot = max(_size(box)[0] for box in row if box)
            steps[len(row)] = max(steps.get(len(row), 0), slot + _gap(row, arrows))
            slots[len(row)] = max(slots.get(len(row), 0), slot)
    inner = max((length - 1) * step + slots[length] for length, step in steps.items())
    width, heights = inner + 2 * _EDGE, [_row_height(row) for row in rows]
    if width > _WIDEST:
        raise CourseError(
            f"rows must be at most {_WIDEST} points wide, got {width:.0f}; use fewer boxes or shorter words"
        )
    height = sum(heights) + _FLOOR * (len(rows) - 1) + 2 * _EDGE
    places, top = {}, height - _EDGE
    for number, (row, tall) in enumerate(zip(rows, heights, strict=True)):
        middle = top - tall / 2
        if isinstance(row, Axis):
            places[row.name] = _Place(width / 2, middle, inner, tall, number)
        else:
            for column, box in enumerate(row):
                if box:
                    x = width / 2 + (column - (len(row) - 1) / 2) * steps[len(row)]
                    places[box.name] = _Place(x, middle, *_size(box), number)
        top -= tall + _FLOOR
    return places, width, height


def _gap(row: Sequence[Box | None] | Axis, arrows: Sequence[Arrow]) -> float:
    """Between the boxes of a row: room for the words of the arrows between them."""
    names = set() if isinstance(row, Axis) else {box.name for box in row if box}
    words = [each.words for each in arrows if each.start in names and each.end in names]
    return _GAP + max((_text_width(each, _WORDS) for each in words if each), default=0)


def _row_height(row: Sequence[Box | None] | Axis) -> float:
    return 34 if isinstance(row, Axis) else max(_size(box)[1] for box in row if box)


def _size(box: Box) -> tuple[float, float]:
    look = KINDS[box.kind]
    lines = box.detail.splitlines()
    sheets = _SHEET * (look.sheets - 1)
    wide = max(_text_width(box.name, _NAME, bold=True), *(_text_width(line, _DETAIL) for line in lines), 40)
    return wide + 2 * _PAD + sheets, look.height + 12 * len(lines) + sheets


def _text_width(text: str, size: float, bold: bool = False) -> float:
    """Of the longest line, in points."""
    font = FontProperties(family="sans-serif", weight="bold" if bold else "normal")
    lines = [line or " " for line in text.split("\n")]
    return max(TextPath((0, 0), line, size=size, prop=font).get_extents().width for line in lines)


def _draw_box(ax: Axes, box: Box, place: _Place) -> None:
    look = KINDS[box.kind]
    behind = _SHEET * (look.sheets - 1)
    width, height = place.width - behind, place.height - behind
    left, bottom = place.x - place.width / 2, place.y - place.height / 2
    for sheet in reversed(range(look.sheets)):
        corner = (left + _SHEET * sheet, bottom + _SHEET * sheet)
        style = f"round,pad=0,rounding_size={look.rounding}"
        ax.add_patch(FancyBboxPatch(corner, width, height, style, fc=look.face, ec=look.edge, linewidth=1.3))
    x, y, lines = left + width / 2, bottom + height / 2, len(box.detail.splitlines())
    centered = {"ha": "center", "va": "center", "color": _INK}
    ax.text(x, y + 6 * lines, box.name, fontsize=_NAME, weight="bold", **centered)
    if box.detail:
        ax.text(x, y - 7, box.detail, fontsize=_DETAIL, linespacing=1.2, **centered)


def _draw_axis(ax: Axes, axis: Axis, place: _Place) -> None:
    left, right, y = place.x - place.width / 2, place.x + place.width / 2, place.y + 10
    ax.annotate("", (right, y), (left, y), arrowprops={"arrowstyle": "-|>", "color": _LINE, "linewidth": 1.4})
    ax.text(right, y - 15, axis.name, ha="right", va="center", color=_INK, fontsize=_NAME, weight="bold")
    room = right - left - _text_width(axis.name, _NAME, bold=True) - 16
    for number, tick in enumerate(axis.ticks):
        x = left + room * (number + 0.5) / len(axis.ticks)
        ax.plot([x, x], [y - 4, y + 4], color=_LINE, linewidth=1.4)
        ax.text(x, y - 15, tick, ha="center", va="center", color=_INK, fontsize=_DETAIL)


def _draw_arrow(ax: Axes, arrow: Arrow, places: dict[str, _Place], others: Sequence[Arrow]) -> None:
    start, end = places[arrow.start], places[arrow.end]
    both = any((each.start, each.end) == (arrow.end, arrow.start) for each in others)
    path, middle, beside = _route(start, end, 9 if both else 0)
    ax.add_patch(
        FancyArrowPatch(
            path=path,
            arrowstyle="-|>,head_length=5,head_width=2.6",
            color=_LINE,
            linewidth=1.4,
            linestyle=(0, (4, 2.5)) if arrow.dashed else "-",
            joinstyle="round",
            shrinkA=0,
            shrinkB=0,
            zorder=0.5,
        )
    )
    if arrow.words:
        ax.text(
            *middle,
            arrow.words,
            ha=beside[0],
            va=beside[1],
            color=_INK,
            fontsize=_WORDS,
            linespacing=1.15,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.9},
        )


def _route(start: _Place, end: _Place, aside: float) -> tuple[Path, tuple[float, float], tuple[str, str]]:
    """The path of an arrow, where its words go, and how these are aligned.

    ``aside`` moves an arrow that has a counterpart in the other direction to its own side.
    """
    if start.row == end.row:
        way = math.copysign(1, end.x - start.x)
        y = start.y + way * aside
        ends = [(start.x + way * (start.width / 2 + 2), y), (end.x - way * (end.width / 2 + 2), y)]
        return Path(ends), ((ends[0][0] + ends[1][0]) / 2, y + 3), ("center", "bottom")
    way = math.copysign(1, end.y - start.y)
    first, last = (x - way * aside for x in _nearest(start, end))
    top, bottom = start.y + way * (start.height / 2 + 2), end.y - way * (end.height / 2 + 2)
    half = (top + bottom) / 2
    path = Path(
        [(first, top), (first, half), (last, half), (last, bottom)],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )
    side = "right" if way > 0 and aside else "left"
    middle = ((first + last) / 2 + (-5 if side == "right" else 5), half)
    return path, middle, (side, "center")


def _nearest(start: _Place, end: _Place) -> tuple[float, float]:
    """Where an arrow leaves one box and reaches another: straight below where they overlap, else side to side."""
    (left, right), (low, high) = ((x - _REACH * w, x + _REACH * w) for x, _, w, *_ in (start, end))
    if max(left, low) > min(right, high):
        return (right, low) if end.x > start.x else (left, high)
    within = [x for x in (start.x, end.x) if max(left, low) <= x <= min(right, high)]
    straight = within[0] if within else (max(left, low) + min(right, high)) / 2
    return straight, straight
