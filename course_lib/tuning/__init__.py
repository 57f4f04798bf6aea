"""Tuning: temperature, λ and method, by grid and by search, chosen on validation data, examined once."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from course_lib.errors import CourseError
from course_lib.training import METHODS, Method
from course_lib.tuning.grid import (
    LAMS,
    TEMPERATURES,
    Exam,
    Grid,
    GridRecord,
    examine,
    train_grid,
    train_grids,
)
from course_lib.tuning.settings import (
    DEFAULT,
    HARD,
    Setting,
    Task,
    objective,
    prepare,
    train_teacher,
)

# These need Optuna, which the library alone does without.
if TYPE_CHECKING:
    from course_lib.tuning.search import (
        SEARCHED,
        best_setting,
        open_study,
        run_search,
        setting_of,
        students_trained,
        trials_done,
    )

__all__ = [
    "DEFAULT",
    "HARD",
    "LAMS",
    "METHODS",
    "SEARCHED",
    "TEMPERATURES",
    "Exam",
    "Grid",
    "GridRecord",
    "Method",
    "Setting",
    "Task",
    "best_setting",
    "examine",
    "objective",
    "open_study",
    "prepare",
    "run_search",
    "setting_of",
    "students_trained",
    "train_grid",
    "train_grids",
    "train_teacher",
    "trials_done",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module("course_lib.tuning.search"), name)
    except ModuleNotFoundError as error:
        raise CourseError(
            f"tuning.{name} needs the package {error.name}; install the extra, pip install 'small-from-big[tune]'"
        ) from error
