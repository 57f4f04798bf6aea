"""Runs several notebooks, as many at once as there are cores, and keeps a report that is true at every moment."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import course_lib
from course_lib.errors import CourseError
from course_lib.files import write_json
from course_lib.provenance import machine, versions
from course_lib.runner.execute import Result, run_notebook
from course_lib.runner.find import Plan
from course_lib.runner.kernel import MEMORY_METHOD, MemoryMeter
from course_lib.runner.order import count_cells, longest_first
from course_lib.runner.progress import Bars, Lines


@dataclass
class Report:
    """The outcome of a run; ``results`` are in the order of the notebooks, whichever ended first."""

    path: Path
    plans: Sequence[Plan]
    jobs: int
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0
    peak_memory: int = 0  # bytes
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def not_run(self) -> list[str]:
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

    def add(self, result: Result) -> None:
        self.results.append(result)
        self.results.sort(key=lambda result: self.plans.index(result.plan))

    def write(self) -> None:
        """Write the report; another process never sees half of it."""
        record = {
            "course": course_lib.__version__,
            "started": self.started,
            "ok": self.ok,
            "notebooks": [result.record() for result in self.results],
            "not_run": self.not_run,
            "jobs": self.jobs,
            "seconds": round(self.seconds, 2),
            "notebook_seconds": round(self.notebook_seconds, 2),
            "ratio": round(self.ratio, 3),
            "peak_memory_bytes": self.peak_memory,
            "memory_measured_as": MEMORY_METHOD,
            "versions": versions("papermill", "ipykernel"),
            "machine": machine(),
        }
        write_json(self.path, record)


def run_course(plans: Sequence[Plan], build: Path, shown: Bars | Lines, *, jobs: int | None = None) -> Report:
    """Run ``plans`` into ``build/notebooks`` and write ``build/report.json`` after each.

    After an error no further notebook begins; those already running are finished. A false claim is not an error:
    all notebooks run, and the report is not ok.

    Args:
        plans: at least one notebook.
        build: folder of the results; the times in its last report decide which notebooks begin first.
        shown: told of what goes on.
        jobs: notebooks that run at once and share the cores, longest first; one for each core if None. One at a time
            runs in the order of ``plans`` and has all threads.

    Raises:
        CourseError: jobs is below 1, or the results would overwrite the notebooks.
    """
    cores = os.cpu_count() or 1
    if jobs is not None and jobs < 1:
        raise CourseError(f"jobs must be at least 1, but is {jobs}.")
    folder = (build / "notebooks").resolve()
    if any(plan.path.parent == folder for plan in plans):
        raise CourseError(f"The output folder {folder} holds the notebooks to run; choose another one.")
    jobs = min(jobs or cores, len(plans))
    threads = max(1, cores // jobs) if jobs > 1 else None
    report = Report(build / "report.json", plans, jobs)
    order = longest_first(plans, report.path) if jobs > 1 else plans
    start = time.perf_counter()

    def run(plan: Plan) -> Result:
        name, cells = plan.name, count_cells(plan.path)
        shown.begin(name, cells)
        result = run_notebook(
            plan,
            folder / plan.path.name,
            on_cell=lambda done: shown.cell(name, done),
            threads=threads,
            meter=meter,
        )
        shown.end(name, cells, result.ok, result.seconds)
        return result

    with MemoryMeter() as meter, shown:
        try:
            # Worker threads even for one job: then an interrupt reaches this thread, and not nbclient's event loop.
            for result in _run_all(order, jobs, run, meter):
                report.add(result)
                report.seconds, report.peak_memory = time.perf_counter() - start, meter.peak
                report.write()
        finally:
            report.seconds, report.peak_memory = time.perf_counter() - start, meter.peak
            report.write()
    return report


def _run_all(plans: Sequence[Plan], jobs: int, run: Any, meter: MemoryMeter) -> Any:
    waiting, running, failed = list(plans), set[Future[Result]](), False
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while running or (waiting and not failed):
                while waiting and not failed and len(running) < jobs:
                    running.add(pool.submit(run, waiting.pop(0)))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    failed = failed or result.failure is not None
                    yield result
        except BaseException:
            while running:  # again and again: a kernel may just be starting
                meter.kill()
                _, running = wait(running, timeout=0.2)
            raise
