"""Runs several notebooks, one after another or a few at once, and keeps a report that is true at every moment."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

import course_lib
from course_lib.errors import CourseError
from course_lib.provenance import processor
from course_lib.runner.execute import Result, run_notebook
from course_lib.runner.find import Plan
from course_lib.runner.kernel import MEMORY_METHOD, MemoryMeter
from course_lib.runner.progress import Bars, Lines

_PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "scikit-learn", "papermill", "ipykernel")


@dataclass
class Report:
    """What came of a run; ``results`` are in the order of the notebooks, whatever ended first."""

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
            "peak_memory_bytes": self.peak_memory,
            "memory_measured_as": MEMORY_METHOD,
            "versions": _versions(),
            "machine": _machine(),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.new")
        beside.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(self.path)


def run_course(plans: Sequence[Plan], build: Path, shown: Bars | Lines, *, jobs: int = 1) -> Report:
    """Run ``plans`` into ``build/notebooks`` and write ``build/report.json`` after each.

    After an error no further notebook begins; those that run at that time are finished. A false claim is no error:
    all notebooks run, and the report is not ok. With ``jobs`` above 1 the processor's cores are shared out.
    """
    if jobs < 1:
        raise CourseError(f"jobs must be at least 1, but is {jobs}.")
    folder = (build / "notebooks").resolve()
    if any(plan.path.parent == folder for plan in plans):
        raise CourseError(f"The output folder {folder} holds the notebooks to run; choose another one.")
    jobs = min(jobs, len(plans))
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None
    report = Report(build / "report.json", plans, jobs)
    start = time.perf_counter()

    def run(plan: Plan) -> Result:
        name, cells = plan.name, _count_cells(plan.path)
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
            for result in _run_all(plans, jobs, run, meter):
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


def _count_cells(path: Path) -> int:
    return len(json.loads(path.read_text(encoding="utf-8"))["cells"])


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        versions[package] = importlib.metadata.version(package)
    return versions


def _machine() -> dict[str, Any]:
    machine = {
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }
    if query := shutil.which("nvidia-smi"):
        command = [query, "--query-gpu=name", "--format=csv,noheader"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        machine["gpus"] = answer.stdout.splitlines() if answer.returncode == 0 else []
    return machine
