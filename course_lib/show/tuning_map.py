"""The picture of a grid over temperature and λ: the accuracy of each cell, the best one, and those hardly worse."""

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from course_lib.show.matrix import heatmap
from course_lib.show.style import VERMILION
from course_lib.tuning import Grid


def tuning_map(ax: Axes, grid: Grid, *, fmt: str | None = "{:.0f}") -> None:
    """Draw mean validation accuracy, a row per temperature and a column per λ.

    The best cell has a star; the cells within one standard error of it are framed.

    Args:
        ax: where to draw.
        grid: what was trained.
        fmt: writes each accuracy into its cell; None for a colour bar.
    """
    rows, columns = [f"{t:g}" for t in grid.temperatures], [f"{lam:g}" for lam in grid.lams]
    heatmap(ax, grid.means, rows, columns, fmt=fmt)
    near = grid.within_one_standard_error()
    for row, column in zip(*near.nonzero(), strict=True):
        frame = Rectangle(
            (column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=VERMILION, linewidth=1.8
        )
        ax.add_patch(frame)
    row, column = grid.place
    ax.plot(column + 0.3, row - 0.28, marker="*", color=VERMILION, markersize=9, linestyle="none")
    ax.set(xlabel="λ, weight of the soft targets", ylabel="temperature T")
