"""``python -m benchmarks``: run every benchmark, print the table, write ``build/bench.json``."""

import json
import os
import platform
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import gradient_losses, many_students, teacher_cache, threads
from benchmarks.timing import Ratio
from course_lib.files import write_json

OUTPUT = Path("build/bench.json")
COURSE_REPORT = Path("build/report.json")


def met(ratio: Ratio, target: str | None) -> bool | None:
    """Whether the median keeps the target, None where there is no target."""
    if target is None:
        return None
    relation, bound = target.split()
    return ratio.median <= float(bound) if relation == "≤" else ratio.median >= float(bound)


def course_seconds() -> dict | None:
    """What the whole course took, from the report of its last run, where there is one of more than one notebook."""
    if not COURSE_REPORT.exists():
        return None
    report = json.loads(COURSE_REPORT.read_text(encoding="utf-8"))
    if len(report["notebooks"]) < 2 or "ratio" not in report:  # a former version wrote it
        return None
    kept = {key: report[key] for key in ("seconds", "notebook_seconds", "ratio", "jobs")}
    return {**kept, "notebooks": len(report["notebooks"]), "targets": {"seconds": "≤ 300", "ratio": "≤ 0.6"}}


def told(course: dict | None) -> str:
    """``course_seconds`` in words."""
    if course is None:
        return "whole course: not measured, run `make course` first"
    how = f"{course['notebooks']} notebooks, {course['jobs']} at once"
    ratio = f"wall clock ÷ the notebooks' seconds {course['ratio']:.2f} (target ≤ 0.6)"
    return f"whole course, {how}: {course['seconds']:.0f} s (target ≤ 300 s), {ratio}"


def main() -> None:
    rows = [
        row for module in (threads, teacher_cache, many_students, gradient_losses) for row in module.measure()
    ]
    table = Table("what", "ratio", "quartiles", "target", "met", title="Benchmarks")
    for row in rows:
        ratio, kept = row["ratio"], met(row["ratio"], row["target"])
        row["met"] = kept
        answer = {True: "yes", False: "no", None: ""}[kept]
        table.add_row(
            row["what"],
            f"{ratio.median:.2f}",
            f"{ratio.low:.2f} – {ratio.high:.2f}",
            row["target"] or "",
            answer,
        )
    Console().print(table)
    course = course_seconds()
    print(told(course))
    result = {
        "rows": [{**row, "ratio": asdict(row["ratio"])} for row in rows],
        "course": course,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
    }
    write_json(OUTPUT, result)
    print(f"written to {OUTPUT}")


if __name__ == "__main__":
    main()
