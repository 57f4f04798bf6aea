"""Showing: figures with intervals, tables, schematics, guesses beside outcomes, and charts to move by hand."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from course_lib.errors import CourseError
from course_lib.show.calibration import reliability
from course_lib.show.figures import bars, curves, image_grid, points
from course_lib.show.matrix import heatmap
from course_lib.show.paired import budget_curves, pairs, slopes
from course_lib.show.prediction import predict, predicted
from course_lib.show.schematic import Arrow, Axis, Box, schematic
from course_lib.show.style import METHODS, color, use_style
from course_lib.show.table import comparison_table, diagnosis_table, method_table
from course_lib.show.tuning_map import tuning_map

__all__ = [
    "METHODS",
    "Arrow",
    "Axis",
    "Box",
    "bars",
    "bias_chart",
    "budget_curves",
    "color",
    "comparison_table",
    "curves",
    "diagnosis_table",
    "explorer_chart",
    "heatmap",
    "image_grid",
    "method_table",
    "mix_chart",
    "pairs",
    "points",
    "predict",
    "predicted",
    "reliability",
    "schematic",
    "slopes",
    "split_chart",
    "split_slider",
    "temperature_chart",
    "temperature_slider",
    "tuning_map",
    "tuning_panel",
    "use_style",
]

# These need packages for notebooks, which the library alone does without.
_IN_NOTEBOOKS = {
    "bias_chart": "course_lib.show.bias",
    "explorer_chart": "course_lib.show.explorer",
    "mix_chart": "course_lib.show.mix",
    "split_chart": "course_lib.show.split",
    "split_slider": "course_lib.show.split",
    "temperature_chart": "course_lib.show.chart",
    "temperature_slider": "course_lib.show.slider",
    "tuning_panel": "course_lib.show.tuner",
}
# A notebook goes on without these: in their place stands what to do.
_WIDGETS = ("split_slider", "temperature_slider", "tuning_panel")


@dataclass(frozen=True)
class Missing:
    """What a notebook shows in place of a widget that cannot be made here."""

    sentence: str

    def __repr__(self) -> str:
        return self.sentence


def __getattr__(name: str) -> Any:
    if name not in _IN_NOTEBOOKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_IN_NOTEBOOKS[name]), name)
    except ModuleNotFoundError as error:
        install = "install the extra, pip install 'small-from-big[course]'"
        sentence = f"show.{name} needs the package {error.name}; {install}"
        if name in _WIDGETS and error.name == "ipywidgets":
            return lambda *_arguments, **_settings: Missing(sentence)
        raise CourseError(sentence) from error
