"""The report of a run, `report.json`: true at every moment, also of a run that was killed."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import course_lib
from course_lib.files import write_json
from course_lib.provenance import machine, versions
from course_lib.runner.execute import Result
from course_lib.runner.find import Plan
from course_lib.runner.kernel import MEMORY_METHOD, MemoryMeter


def now() -> str:
    """Date and time, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class Report:
    """The outcome of a run; ``results`` are in the order of the notebooks, whichever ended first.

    Attributes:
        path: of the file.
        plans: the notebooks of the run.
        jobs: how many run at once.
        meter: measures the memory of their kernels.
        state: "running" until the run has ended by itself, "finished", or was stopped, "interrupted".
        running: names of the notebooks that run now.
        seconds: from the start until the file was last written.
        started: date and time, UTC.
    """

    path: Path
    plans: Sequence[Plan]
    jobs: int
    meter: MemoryMeter
    state: Literal["running", "finished", "interrupted"] = "running"
    results: list[Result] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    seconds: float = 0.0
    started: str = field(default_factory=now)
    _start: float = field(default_factory=time.perf_counter)

    @property
    def peak_memory(self) -> int:
        """Of all kernels together, bytes."""
        return self.meter.peak

    @property
    def not_run(self) -> list[str]:
        """Names of the notebooks that have not run to their end."""
        done = {result.plan.name for result in self.results}
        return [plan.name for plan in self.plans if plan.name not in done]

    @property
    def notebook_seconds(self) -> float:
        """What the notebooks took, added up."""
        return sum(result.seconds for result in self.results)

    @property
    def ratio(self) -> float:
        """Wall clock ÷ the notebooks' seconds: near 1 one after another, near one half with two at once."""
        return self.seconds / self.notebook_seconds if self.results else 1.0

    @property
    def ok(self) -> bool:
        return not self.not_run and all(result.ok for result in self.results)

    @cached_property
    def _surroundings(self) -> dict[str, Any]:
        """Versions and machine, asked for once: the report is written often."""
        return {"versions": versions("papermill", "ipykernel"), "machine": machine()}

    def begin(self, plan: Plan) -> None:
        """Note that a notebook runs, and write the report."""
        self.running.append(plan.name)
        self.write()

    def add(self, result: Result) -> None:
        """Note how a notebook ended, and write the report."""
        self.running.remove(result.plan.name)
        self.results.append(result)
        self.results.sort(key=lambda result: self.plans.index(result.plan))
        self.write()

    def end(self, state: Literal["finished", "interrupted"]) -> None:
        """Note how the run ended, and write the report."""
        self.state, self.running = state, []
        self.write()

    def write(self) -> None:
        """Write the report; another process never sees half of it.

        Raises:
            CourseError: it cannot be written.
        """
        self.seconds = time.perf_counter() - self._start
        record = {
            "course": course_lib.__version__,
            "state": self.state,
            "process": os.getpid(),
            "started": self.started,
            "written": now(),
            "ok": self.ok,
            "running": self.running,
            "notebooks": [result.record() for result in self.results],
            "not_run": self.not_run,
            "jobs": self.jobs,
            "seconds": round(self.seconds, 2),
            "notebook_seconds": round(self.notebook_seconds, 2),
            "ratio": round(self.ratio, 3),
            "peak_memory_bytes": self.peak_memory,
            "memory_measured_as": MEMORY_METHOD,
            **self._surroundings,
        }
        write_json(self.path, record)


def killed(path: Path) -> str | None:
    """A sentence about the last run if its report still says "running", though the caller holds the folder."""
    try:
        last = json.loads(path.read_text(encoding="utf-8"))
        if last["state"] != "running":
            return None
        begun = f"The run of {last['started']} (process {last['process']})"
        ran = len(last["notebooks"])
        planned = ran + len(last["not_run"])
    except (OSError, ValueError, KeyError, TypeError):  # no report, or one of another version
        return None
    return f"{begun} was killed before its end; {ran} of {planned} notebooks had run."
