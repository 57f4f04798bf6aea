"""One look for every figure: a method has the same colour and marker in every chapter, distinguishable for any eye."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes

from course_lib.errors import check_choice
from course_lib.training import LOSSES

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # of newer versions only

# Okabe and Ito, "Color Universal Design", 2008, without the yellow, which is too faint on white.
BLACK, ORANGE, SKY, GREEN = "#000000", "#e69f00", "#56b4e9", "#009e73"
BLUE, VERMILION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("s", "o", "^", "v", "D", "P", "X")
GREY = "#8a8a8a"


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    color: str
    marker: str


# By names of losses; a loss without a line gets a free colour in each figure.
_OF_LOSSES = {
    "hard": Look(VERMILION, "o"),
    "soft_target": Look(BLUE, "s"),
    "logit": Look(GREEN, "^"),
    "gradient": Look(PURPLE, "v"),
    "gradient_matching": Look(ORANGE, "P"),
    "gradient_penalty": Look(SKY, "X"),
}
# Big and small are sizes and never share a figure with logits and gradient.
METHODS = {LOSSES[name].title: look for name, look in _OF_LOSSES.items()} | {
    "teacher": Look(BLACK, "D"),
    "big": Look(GREEN, "^"),
    "small": Look(PURPLE, "v"),
}

STYLE: "dict[RcKeyType, Any]" = {
    # An opaque white card with a margin reads the same on a light and on a dark page.
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.pad_inches": 0.15,
    "figure.figsize": (6.5, 3.8),
    "figure.dpi": 120,
    "figure.constrained_layout.use": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.facecolor": "white",
    "axes.edgecolor": "#555555",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 12,
    "axes.titlepad": 10,
    "axes.labelpad": 6,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "font.size": 11,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "lines.markersize": 6,
    "image.cmap": "Blues",
}


def use_style() -> None:
    """Give all figures drawn from now on the look of the course."""
    mpl.rcParams.update(STYLE)


def color(method: str) -> str:
    """The colour that a method has in every chapter, as "#rrggbb".

    Raises:
        CourseError: the method has no colour of its own.
    """
    check_choice(METHODS, method=method)
    return METHODS[method].color


def look_of(label: str | None, ax: Axes) -> Look:
    """The look of a known method, and for any other label one that no line in ``ax`` has yet."""
    if label in METHODS:
        return METHODS[label]
    taken = {line.get_color() for line in ax.lines}
    free = [Look(*pair) for pair in zip(PALETTE, MARKERS, strict=True) if pair[0] not in taken]
    return free[0] if free else Look(GREY, "*")
