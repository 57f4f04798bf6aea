"""Runs several notebooks, as many at once as there are cores, and keeps a report that is true at every moment."""

import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from course_lib.errors import CourseError
from course_lib.runner.execute import Result, run_notebook
from course_lib.runner.find import Plan
from course_lib.runner.kernel import MemoryMeter
from course_lib.runner.order import count_cells, longest_first
from course_lib.runner.progress import Bars, Lines
from course_lib.runner.report import Report


def run_course(plans: Sequence[Plan], build: Path, shown: Bars | Lines, *, jobs: int | None = None) -> Report:
    """Run ``plans`` into ``build/notebooks`` and keep ``build/report.json`` up to date.

    After an error no further notebook begins; those already running are finished. A false claim is not an error:
    all notebooks run, and the report is not ok.

    Args:
        plans: at least one notebook.
        build: folder of the results, which the caller keeps for this run (``occupied``); the times in its last report
            decide which notebooks begin first.
        shown: told of what goes on.
        jobs: notebooks that run at once and share the cores, longest first; one for each core if None. One at a time
            runs in the order of ``plans`` and has all threads.

    Raises:
        CourseError: jobs is below 1, the results would overwrite the notebooks, or the report cannot be written.
    """
    cores = os.cpu_count() or 1
    if jobs is not None and jobs < 1:
        raise CourseError(f"jobs must be at least 1, but is {jobs}.")
    folder = (build / "notebooks").resolve()
    if any(plan.path.parent == folder for plan in plans):
        raise CourseError(f"The output folder {folder} holds the notebooks to run; choose another one.")
    jobs = min(jobs or cores, len(plans))
    threads = max(1, cores // jobs) if jobs > 1 else None
    meter = MemoryMeter()
    report = Report(build / "report.json", plans, jobs, meter)
    order = longest_first(plans, report.path) if jobs > 1 else plans

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

    # Worker threads even for one job: then an interrupt reaches this thread, and not nbclient's event loop.
    results = _run_all(order, jobs, run, report.begin, meter)
    with meter, shown, _reporting(report), closing(results):
        for result in results:
            report.add(result)
    return report


@contextmanager
def leaving_on_sigterm() -> Iterator[None]:
    """Inside, SIGTERM leaves the program in order, as ``sys.exit`` does; for programs, in their main thread."""

    def leave(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not cut the end short
        raise SystemExit(128 + number)  # as a shell reports a process that the signal ended

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _reporting(report: Report) -> Iterator[None]:
    """Say in the report that a run has begun, and how it has ended."""
    report.write()
    try:
        yield
    except BaseException:
        report.end("interrupted")
        raise
    report.end("finished")


def _run_all(
    plans: Sequence[Plan],
    jobs: int,
    run: Callable[[Plan], Result],
    begin: Callable[[Plan], None],
    meter: MemoryMeter,
) -> Generator[Result, None, None]:
    """The results as they come; closed or interrupted, it ends the kernels first."""
    waiting, running, failed = list(plans), set[Future[Result]](), False
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while running or (waiting and not failed):
                while waiting and not failed and len(running) < jobs:
                    begin(waiting[0])
                    running.add(pool.submit(run, waiting.pop(0)))
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    failed = failed or result.failure is not None
                    yield result
        except BaseException:
            while running:  # again and again: a kernel may just be starting
                meter.end()
                _, running = wait(running, timeout=0.2)
            raise
