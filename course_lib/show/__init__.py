"""Showing: figures with intervals, tables of comparisons, and charts to move by hand."""

from importlib import import_module
from typing import Any

from course_lib.errors import CourseError
from course_lib.show.figures import bars, curves, heatmap, image_grid
from course_lib.show.style import METHODS, color, use_style
from course_lib.show.table import comparison_table

__all__ = [
    "METHODS",
    "bars",
    "color",
    "comparison_table",
    "curves",
    "explorer_chart",
    "heatmap",
    "image_grid",
    "mix_chart",
    "split_chart",
    "split_slider",
    "temperature_chart",
    "temperature_slider",
    "use_style",
]

# These need packages for notebooks, which the library alone does without.
_IN_NOTEBOOKS = {
    "explorer_chart": "course_lib.show.explorer",
    "mix_chart": "course_lib.show.mix",
    "split_chart": "course_lib.show.split",
    "split_slider": "course_lib.show.split",
    "temperature_chart": "course_lib.show.chart",
    "temperature_slider": "course_lib.show.slider",
}


def __getattr__(name: str) -> Any:
    if name not in _IN_NOTEBOOKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_IN_NOTEBOOKS[name]), name)
    except ModuleNotFoundError as error:
        raise CourseError(
            f"show.{name} needs the package {error.name}; install the extra, pip install 'small-from-big[course]'"
        ) from error
