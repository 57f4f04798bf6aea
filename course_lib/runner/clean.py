"""Brings executed notebooks into the form that is committed, so that two runs differ only where results do."""

import base64
from pathlib import Path
from typing import Any

import nbformat

from course_lib.files import write_atomically, write_text

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def normalise(notebook: Any) -> Any:
    """Remove what depends on the run: papermill's and Jupyter's records, widget state and views, the Python version.

    A live widget means nothing without its kernel, so an output that shows one goes too, unless it has a form as HTML,
    which stays. Cells are numbered 1..n in order. A cell of injected parameters stays, since the outputs below depend
    on it. Changes and returns ``notebook``.
    """
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata.get("language_info", {}).pop("version", None)
    number = 0
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
        if cell.cell_type == "code":
            executed = bool(cell.source.strip())
            number += executed
            _normalise_code(cell, number if executed else None)
    return notebook


def _normalise_code(cell: Any, number: int | None) -> None:
    cell.execution_count = number
    cell.outputs = [output for output in cell.outputs if not _shows_only_a_widget(output)]
    for output in cell.outputs:
        output.get("data", {}).pop(_WIDGET_VIEW, None)
        if output.output_type == "execute_result":
            output.execution_count = number


def _shows_only_a_widget(output: Any) -> bool:
    data = output.get("data", {})
    return _WIDGET_VIEW in data and "text/html" not in data


def store(executed: Path, source: Path, cover: Path) -> None:
    """Put the file ``executed`` in the place of ``source``, and the figure of its cell tagged "cover" at ``cover``."""
    notebook = nbformat.read(executed, as_version=4)
    write_notebook(normalise(notebook), source)
    for cell in notebook.cells:
        if "cover" in cell.metadata.get("tags", []):
            pictures = [
                output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})
            ]
            if pictures:
                picture = base64.b64decode(pictures[-1])
                write_atomically(cover, lambda file, picture=picture: file.write(picture))


def write_notebook(notebook: Any, path: Path) -> None:
    """Write the file, whole or not at all.

    Raises:
        CourseError: it cannot be written.
    """
    write_text(path, nbformat.writes(notebook).rstrip("\n") + "\n")
