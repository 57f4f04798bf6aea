"""Finds the course's notebooks and checks the parameters asked for, to report mistakes before anything runs."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.errors import CourseError
from course_lib.files import folder_around

# Copies that an editor leaves beside the original ("02_soft_targets-Copy1.ipynb") are not part of the course.
_NUMBERED = re.compile(r"\d\d_[a-z0-9_]+\.ipynb")


@dataclass(frozen=True)
class Plan:
    """One notebook to run: where it is, its parameters' values, and which of them differ from the defaults."""

    path: Path
    parameters: Mapping[str, Any]
    changed: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem


def course_root(start: Path | None = None) -> Path:
    """The folder of the course: the first one, from ``start`` upwards, that holds numbered notebooks in ``notebooks/``.

    Where none does, the folder that course_lib was installed from is tried. Raises CourseError if that fails too.
    """
    found = folder_around(lambda folder: list_notebooks(folder / "notebooks"), start)
    if found is None:
        raise CourseError(
            f"No notebooks/ folder of the course in {(start or Path.cwd()).resolve()} or above it: go to the course's "
            "folder first; pip installs only the library, without the notebooks."
        )
    return found


def list_notebooks(folder: Path) -> list[Path]:
    """The course's notebooks in ``folder``, in the order of their numbers."""
    return sorted(path for path in folder.glob("*.ipynb") if _NUMBERED.fullmatch(path.name))


def select(folder: Path, wanted: Sequence[str] = ()) -> list[Path]:
    """The notebooks named by number ("02" or "2"), name or path, in the course's order; all where none is named."""
    course = list_notebooks(folder)
    chosen = {_one(folder, course, name) for name in wanted} if wanted else set(course)
    if not chosen:
        raise CourseError(
            f"There is no notebook in {folder}; the course's notebooks are named like 02_name.ipynb."
        )
    return sorted(chosen, key=lambda path: path.name)


def _one(folder: Path, course: Sequence[Path], name: str) -> Path:
    for path in course:
        number = path.name[:2]
        if name in (path.stem, path.name, number) or (name.isdigit() and int(name) == int(number)):
            return path
    for path in (Path(name), folder / name):
        if path.suffix == ".ipynb" and path.is_file():
            return path.resolve()
    known = ", ".join(path.stem for path in course)
    raise CourseError(f"No notebook is called {name!r}; the course has {known}.")


def parse_parameters(assignments: Sequence[str]) -> dict[str, Any]:
    """Values of ``name=value`` words: JSON (8, 5e-3, true, "text"), Python (True, None), or else the text itself."""
    parameters = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip().isidentifier():
            raise CourseError(f"-p expects name=value, such as temperature=8, but got {assignment!r}.")
        parameters[name.strip()] = _value(text.strip())
    return parameters


def _value(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text


def default_parameters(path: Path) -> dict[str, Any]:
    """Names and values of the notebook's cell tagged "parameters"; raises CourseError where the file is no notebook."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        raise CourseError(f"{path} cannot be read as a notebook: {str(error).splitlines()[0]}.") from error
    defaults = {}
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            defaults |= _assigned(path, cell.source)
    return defaults


def _assigned(path: Path, source: str) -> dict[str, Any]:
    values = {}
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            try:
                values[name] = ast.literal_eval(statement.value)
            except ValueError as error:
                raise CourseError(f"{path.name}: the parameter {name} must be a plain value.") from error
    return values


def plan(path: Path, profile: str = "quick", parameters: Mapping[str, Any] | None = None) -> Plan:
    """What to run ``path`` with; raises CourseError where it has no such parameter or the value is of another kind."""
    defaults = default_parameters(path)
    asked = dict(parameters or {})
    if "profile" not in asked and (profile != "quick" or "profile" in defaults):
        asked["profile"] = profile
    for name, value in asked.items():
        if name not in defaults:
            known = ", ".join(defaults) or "none"
            raise CourseError(f"{path.stem} has no parameter {name!r}; its parameters are: {known}.")
        if _kind(value) != _kind(defaults[name]) and defaults[name] is not None:
            raise CourseError(
                f"{path.stem}: {name} must be a {_kind(defaults[name])} like {defaults[name]!r}, not {value!r}."
            )
    changed = {name: value for name, value in asked.items() if value != defaults[name]}
    return Plan(path, defaults | changed, changed)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth value"
    return (
        "number" if isinstance(value, int | float) else {str: "text"}.get(type(value), type(value).__name__)
    )
