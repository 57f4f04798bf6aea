"""A reliability diagram: of the answers given with a confidence of 80 %, are 80 % right?"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from course_lib.errors import CourseError
from course_lib.measure import ConfidenceBin
from course_lib.show.style import BLUE, GREY, VERMILION

_LARGEST = 260  # area of the dot of the fullest bin, in square points


def reliability(ax: Axes, bins: Sequence[ConfidenceBin]) -> None:
    """Draw accuracy over confidence, a dot per bin as large as its count, with its distance from the diagonal.

    Red dots, below the diagonal, are overconfident, blue ones underconfident; beside each its number of examples.

    Args:
        ax: where to draw.
        bins: what ``measure.reliability`` returned.

    Raises:
        CourseError: there is no bin, or an entry is something else.
    """
    if not bins or not all(isinstance(each, ConfidenceBin) for each in bins):
        raise CourseError(f"bins must be what measure.reliability returned, at least one, got {bins!r}")
    most = max(each.count for each in bins)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.2)
    for each in bins:
        color = VERMILION if each.accuracy < each.confidence else BLUE
        ax.plot([each.confidence] * 2, [each.confidence, each.accuracy], color=color, linewidth=2, alpha=0.6)
        area = max(_LARGEST * each.count / most, 16)
        ax.scatter(each.confidence, each.accuracy, s=area, color=color, alpha=0.85, linewidths=0, zorder=3)
        beside = (area**0.5 / 2 + 3, -3)
        ax.annotate(
            f"{each.count:,}",
            (each.confidence, each.accuracy),
            beside,
            textcoords="offset points",
            fontsize=9,
        )
    ax.text(0.97, 0.06, "overconfident", color=VERMILION, ha="right", fontsize=10)
    ax.text(0.03, 0.92, "underconfident", color=BLUE, fontsize=10)
    ax.set(xlim=(0, 1.04), ylim=(0, 1.04), aspect="equal", xlabel="confidence", ylabel="accuracy")
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
