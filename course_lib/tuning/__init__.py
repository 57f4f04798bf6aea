"""Tuning: temperature, λ and method, by grid and by search, chosen on validation data, examined once."""

from course_lib.tuning.grid import LAMS, TEMPERATURES, Exam, Grid, GridRecord, examine, train_grid
from course_lib.tuning.settings import DEFAULT, HARD, METHODS, Method, Setting, Task, objective, prepare

__all__ = [
    "DEFAULT",
    "HARD",
    "LAMS",
    "METHODS",
    "TEMPERATURES",
    "Exam",
    "Grid",
    "GridRecord",
    "Method",
    "Setting",
    "Task",
    "examine",
    "objective",
    "prepare",
    "train_grid",
]
