"""Runs one notebook with papermill and reads the outcome: its claims, and where and why it failed."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from course_lib.mime import CLAIM
from course_lib.runner.clean import normalise, write_notebook
from course_lib.runner.find import Plan
from course_lib.runner.kernel import MemoryMeter, kernel_manager, stop

_WIDGETS = "application/vnd.jupyter.widget-state+json"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Failure:
    """Why a notebook stopped. ``cell`` counts all cells of the source from 1; 0 where no cell can be named."""

    cell: int
    source: str
    error: str
    traceback: str = ""

    def __str__(self) -> str:
        where = f"cell {self.cell}, {self.source!r}: " if self.cell else ""
        return where + self.error


@dataclass
class Result:
    """The outcome of one notebook."""

    plan: Plan
    output: Path
    seconds: float = 0.0
    cells: int = 0
    peak_memory: int = 0  # bytes
    claims: list[dict[str, Any]] = field(default_factory=list)
    lost_claims: list[str] = field(default_factory=list)
    failure: Failure | None = None

    @property
    def false_claims(self) -> list[dict[str, Any]]:
        return [claim for claim in self.claims if not claim["holds"]]

    @property
    def ok(self) -> bool:
        """It ran and made every claim, and all hold; false claims count only with the default parameters."""
        made = self.failure is None and not self.lost_claims
        return made and (bool(self.plan.changed) or not self.false_claims)

    def record(self) -> dict[str, Any]:
        """The report's entry."""
        return {
            "name": self.plan.name,
            "ok": self.ok,
            "profile": self.plan.parameters.get("profile"),
            "parameters": dict(self.plan.parameters),
            "changed_parameters": dict(self.plan.changed),
            "seconds": round(self.seconds, 2),
            "cells": self.cells,
            "peak_memory_bytes": self.peak_memory,
            "claims": self.claims,
            "lost_claims": self.lost_claims,
            "failure": None if self.failure is None else asdict(self.failure),
            "output": str(self.output),
        }


def run_notebook(
    plan: Plan,
    output: Path,
    *,
    on_cell: Callable[[int], None] = lambda done: None,
    threads: int | None = None,
    meter: MemoryMeter | None = None,
    start_timeout: int = 120,
) -> Result:
    """Execute ``plan`` into the file ``output``; an error inside the notebook is reported, not raised.

    ``on_cell`` is called with the number of cells begun. The notebook's own folder is its working folder. While it
    runs there is no file ``output``, but a hidden one beside it, to which papermill writes after every cell.
    """
    source = nbformat.read(plan.path, as_version=4)
    result = Result(plan, output, cells=len(source.cells))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    unfinished = unfinished_path(output)
    manager = kernel_manager(threads)
    begun = {"index": 0}

    def cell_begins(cell: Any, cell_index: int) -> None:
        begun["index"] = cell_index
        on_cell(cell_index)

    if meter:
        meter.add(plan.name, manager)
    start = time.perf_counter()
    try:
        papermill.execute_notebook(
            source,
            str(unfinished).replace("{", "{{").replace("}", "}}"),  # papermill formats the path
            dict(plan.changed) or None,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            start_timeout=start_timeout,
            km=manager,
            resources={"metadata": {"path": str(plan.path.parent)}},
            on_cell_start=cell_begins,
            coalesce_streams=True,
        )
    except PapermillExecutionError as error:
        result.failure = _cell_failure(error, _in_source(error.cell_index, plan, source))
    except DeadKernelError:
        result.failure = _dead_kernel(begun["index"], _in_source(begun["index"], plan, source), unfinished)
    except OSError as error:
        result.failure = Failure(0, "", f"its outputs cannot be written: {error.strerror or error}")
    except RuntimeError as error:  # the kernel did not start
        result.failure = Failure(0, "", str(error))
    finally:
        stop(manager)
        result.seconds = time.perf_counter() - start
        result.peak_memory = meter.remove(plan.name) if meter else 0
    _read_outcome(result, unfinished, source)
    return result


def unfinished_path(output: Path) -> Path:
    """Where a notebook is while it runs; papermill insists on the suffix .ipynb."""
    return output.with_name(f".{output.name}")


def _in_source(index: int, plan: Plan, source: Any) -> int:
    """Number, from 1, of the source's cell that is executed as number ``index``, from 0."""
    position = index + 1
    parameters = next(
        (i for i, cell in enumerate(source.cells, 1) if "parameters" in cell.metadata.get("tags", [])), 0
    )
    return position - 1 if plan.changed and position > parameters else position  # one cell was injected


def _cell_failure(error: PapermillExecutionError, position: int) -> Failure:
    return Failure(
        position, first_line(error.source), f"{error.ename}: {error.evalue}", plain(error.traceback)
    )


def _dead_kernel(index: int, position: int, output: Path) -> Failure:
    cell = nbformat.read(output, as_version=4).cells[index]
    reason = "The kernel died while it ran this cell; the most frequent cause is too little memory."
    return Failure(position, first_line(cell.source), reason)


def _read_outcome(result: Result, unfinished: Path, source: Any) -> None:
    """Judge what was executed, and put it in its place."""
    try:
        notebook = nbformat.read(unfinished, as_version=4)
    except (OSError, nbformat.reader.NotJSONError):
        return  # nothing was written, or not all of it, and a failure says so
    result.claims = list(claims(notebook))
    if result.failure is None:
        result.failure = exit_failure(notebook, result.plan, source) or widget_failure(notebook)
    if result.failure is None:
        result.lost_claims = list(lost_claims(source, notebook))
        normalise(notebook)
    write_notebook(notebook, result.output)
    unfinished.unlink()


def claims(notebook: Any) -> Iterator[dict[str, Any]]:
    """The claims shown in a notebook's outputs, each with the number of its cell in the source, counted from 1."""
    source = [cell for cell in notebook.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(source, 1):
        for output in cell.get("outputs", []):
            if CLAIM in output.get("data", {}):
                yield {"cell": number, **output["data"][CLAIM]}


def lost_claims(source: Any, executed: Any) -> Iterator[str]:
    """A sentence for each cell that made more claims when its outputs were stored in ``source`` than when executed."""
    stored = Counter(claim["cell"] for claim in claims(source))
    for number, missing in sorted((stored - Counter(claim["cell"] for claim in claims(executed))).items()):
        made = stored[number] - missing
        yield (
            f"cell {number}, {first_line(source.cells[number - 1].source)!r}: claims are missing, {made} of the "
            f"{stored[number]} stored with the notebook; if that is meant, clear the cell's outputs"
        )


def exit_failure(notebook: Any, plan: Plan, source: Any) -> Failure | None:
    """The cell that called ``sys.exit()``, if one did: papermill leaves out the cells below and sees no error."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                error = f"{output.ename}: the cell ended the notebook, and no cell below it ran"
                return Failure(_in_source(index, plan, source), first_line(cell.source), error)
    return None


def widget_failure(notebook: Any) -> Failure | None:
    """The error that a widget's callback raised, if one did: papermill leaves it in the widgets' state, unseen."""
    widgets = notebook.metadata.get("widgets", {}).get(_WIDGETS, {}).get("state", {})
    for model in widgets.values():
        for output in model.get("state", {}).get("outputs", ()):
            if output.get("output_type") == "error":
                error = f"a widget's callback raised {output['ename']}: {output['evalue']}"
                return Failure(0, "", error, plain(output.get("traceback", [])))
    return None


def first_line(source: str) -> str:
    return next((line for line in source.splitlines() if line.strip()), "")


def plain(traceback: list[str]) -> str:
    """A traceback without colour codes."""
    return _COLOUR.sub("", "\n".join(traceback))
