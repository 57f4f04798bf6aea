"""Temperature × λ on a grid, all at once; chosen on validation images, examined once on test images."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from course_lib.errors import CourseError
from course_lib.files import write_text
from course_lib.progress import Progress
from course_lib.training import Checkpoints
from course_lib.tuning.settings import DEFAULT, HARD, Setting, Task

# Up to where a row looks like the regression on the logits, which soft targets become as T grows.
TEMPERATURES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
_STEPS_BETWEEN = 200  # two checkpoints; of thousands of students, each takes a second
LAMS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, eq=False)
class Grid:
    """Validation accuracy of soft targets, in per cent.

    Attributes:
        temperatures, lams: the axes, in increasing order.
        seeds: of the students of each cell.
        validation: (temperatures, lams, seeds).
        hard: of students on hard labels, the same seeds, (seeds,).
    """

    temperatures: tuple[float, ...]
    lams: tuple[float, ...]
    seeds: tuple[int, ...]
    validation: np.ndarray
    hard: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """Mean over seeds, (temperatures, lams)."""
        return self.validation.mean(axis=2)

    @property
    def place(self) -> tuple[int, int]:
        """Row and column of the best mean; of equal ones the first."""
        row, column = np.unravel_index(self.means.argmax(), self.means.shape)
        return int(row), int(column)

    @property
    def best(self) -> Setting:
        """The setting with the best mean."""
        row, column = self.place
        return Setting("soft targets", self.temperatures[row], self.lams[column])

    def within_one_standard_error(self) -> np.ndarray:
        """Cells that are hardly worse than the best, (temperatures, lams) bool, the best among them.

        The one-standard-error rule (Breiman, Friedman, Olshen and Stone 1984) in its paired form: the mean gap to
        the best cell is at most one standard error of that gap over the seeds.
        """
        gaps = self.validation[self.place] - self.validation  # (temperatures, lams, seeds)
        error = gaps.std(axis=2, ddof=1) / np.sqrt(len(self.seeds))
        return gaps.mean(axis=2) <= error


@dataclass(frozen=True, eq=False)
class Exam:
    """Test accuracy of fresh students in per cent, read once: new seeds, so that nothing was chosen for its luck.

    Attributes:
        seeds: none of the grid's.
        best: the setting that validation chose, (seeds,).
        default: the setting that was never tuned, T = 4 and λ = 0.9, (seeds,).
        hard: hard labels, (seeds,).
    """

    seeds: tuple[int, ...]
    best: np.ndarray
    default: np.ndarray
    hard: np.ndarray


def train_grid(
    task: Task,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    lams: Sequence[float] = LAMS,
    seeds: Sequence[int],
    folder: str | Path | None = None,
    progress: bool | Progress = True,
) -> Grid:
    """The grid after all steps of the task's recipe; arguments and errors as for ``train_grids``."""
    axes: dict[str, Any] = {"temperatures": temperatures, "lams": lams, "seeds": seeds}
    return train_grids(task, **axes, folder=folder, progress=progress)[task.recipe.steps]


def train_grids(
    task: Task,
    *,
    temperatures: Sequence[float] = TEMPERATURES,
    lams: Sequence[float] = LAMS,
    seeds: Sequence[int],
    keep: Iterable[int] = (),
    folder: str | Path | None = None,
    progress: bool | Progress = True,
) -> dict[int, Grid]:
    """Train every cell with every seed, all students in one stack, and look at the validation images.

    Without soft targets (λ = 0) the temperature does not matter: these students, on hard labels alone, are trained once
    and shown in every row.

    Args:
        task: data, teacher, number of labels and budget.
        temperatures, lams: the axes, ascending; λ in [0, 1].
        seeds: at least two; 10 × 9 cells with 10 seeds are 810 students.
        keep: smaller budgets, in steps, for which to return grids as well; one training gives all.
        folder: for checkpoints, from which a stopped grid resumes; none are kept if None.
        progress: as in ``fit_many``.

    Returns:
        A grid by number of steps, ascending.

    Raises:
        CourseError: an axis is empty or does not ascend, a value is outside its range, fewer than two seeds; or the
            folder holds another training.
    """
    for name, axis in (("temperatures", temperatures), ("lams", lams)):
        if len(axis) == 0 or any(high <= low for low, high in pairwise(axis)):
            raise CourseError(f"{name} must hold at least one number in increasing order, got {list(axis)}")
    if len(set(seeds)) < max(2, len(seeds)):
        raise CourseError(f"seeds must be at least two and all different, got {list(seeds)}")
    taught = [lam for lam in lams if lam > 0]
    settings = [Setting("soft targets", temperatures[0], 0.0)]
    settings += [Setting("soft targets", t, lam) for t in temperatures for lam in taught]
    runs = task.train(settings, seeds, keep=keep, progress=progress, checkpoints=_checkpoints(folder))
    axes = tuple(map(float, temperatures)), tuple(map(float, lams)), tuple(seeds)
    return {
        steps: _grid(axes, accuracies.reshape(-1, len(seeds)))
        for steps, accuracies in runs.over(task.validation).items()
    }


def _grid(axes: tuple, rows: np.ndarray) -> Grid:
    """From accuracies of the hard labels and then of every cell with λ > 0, (1 + cells, seeds)."""
    temperatures, lams, seeds = axes
    hard, *rest = rows
    cells = np.array(rest).reshape(len(temperatures), -1, len(seeds))
    if lams[0] == 0:  # an ascending axis has its zero in front
        cells = np.concatenate([np.broadcast_to(hard, (len(temperatures), 1, len(seeds))), cells], axis=1)
    return Grid(temperatures, lams, seeds, cells, hard)


def _checkpoints(folder: str | Path | None) -> Checkpoints | None:
    return None if folder is None else Checkpoints(folder, every=_STEPS_BETWEEN, keep=1)


def examine(
    task: Task,
    best: Setting,
    seeds: Sequence[int],
    *,
    folder: str | Path | None = None,
    progress: bool | Progress = True,
) -> Exam:
    """Train students with fresh seeds on the chosen setting, the default and hard labels; read the test images once.

    Args:
        task: as for the search.
        best: what was chosen.
        seeds: fresh ones, which the search has not used.
        folder: for checkpoints, as for the grid.
        progress: as in ``fit_many``.
    """

    def accuracies(name: str, setting: Setting) -> np.ndarray:
        checkpoints = _checkpoints(folder and Path(folder) / name)
        return task.test(task.train([setting], seeds, progress=progress, checkpoints=checkpoints))

    students = {"best": best, "default": DEFAULT, "hard": HARD}
    return Exam(tuple(seeds), **{name: accuracies(name, setting) for name, setting in students.items()})


@dataclass(frozen=True, eq=False)
class GridRecord:
    """A grid and its exam as a small JSON file that a page or a notebook draws without training anything.

    Attributes:
        grid, exam: accuracies are rounded to 0.01 points.
        about: what was run, where and when: "data", "labels", "steps", "profile", "command", "date", "machine",
            "versions", "commit".
    """

    grid: Grid
    exam: Exam
    about: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        grid, exam, best = self.grid, self.exam, self.grid.best
        content = {
            "what": "validation accuracy (%) of students on soft targets, [temperature][lam][seed]; "
            "lam weighs the soft targets, 1 - lam the hard labels; test accuracy (%) of fresh students",
            **self.about,
            "temperatures": grid.temperatures,
            "lams": grid.lams,
            "seeds": grid.seeds,
            "validation": _rounded(grid.validation),
            "hard_validation": _rounded(grid.hard),
            "best": {
                "temperature": best.temperature,
                "lam": best.lam,
                "validation": round(float(grid.means.max()), 2),
                "test_seeds": exam.seeds,
                "test": _rounded(exam.best),
                "default_test": _rounded(exam.default),
                "hard_test": _rounded(exam.hard),
            },
        }
        lines = (
            f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items()
        )
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        write_text(Path(path), text)

    @classmethod
    def read(cls, path: str | Path) -> "GridRecord":
        """Read what ``write`` wrote.

        Raises:
            CourseError: no such file, or one of another kind.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            axes = [tuple(content.pop(name)) for name in ("temperatures", "lams", "seeds")]
            temperatures, lams, seeds = axes
            cells, hard = np.array(content.pop("validation")), np.array(content.pop("hard_validation"))
            best = content.pop("best")
            exam = (np.array(best[name]) for name in ("test", "default_test", "hard_test"))
            grid = Grid(temperatures, lams, seeds, cells, hard)
            record = cls(grid, Exam(tuple(best["test_seeds"]), *exam), content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CourseError(
                f"path must name a grid written by: course tune grid, got {path} ({type(error).__name__}: {error})"
            ) from error
        if record.grid.validation.shape != tuple(map(len, axes)):
            raise CourseError(
                f"path must name a grid with an accuracy for every cell and seed, got {path} with "
                f"{record.grid.validation.shape} for axes of {tuple(map(len, axes))}"
            )
        return record


def _rounded(values: np.ndarray) -> list:
    return values.round(2).tolist()
