"""Writes the page of the measured grids of temperature and λ: its chart, what was chosen, and where it is from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from course_lib.measure import compare
from course_lib.site.notebook import chart_html

_FILES = "tuning_grid_digits_*.json"
_ABSENT = "The measured grids are not in this copy of the course. See `course tune grid --help`.\n"
_VERDICTS = {"BEATS": "better", "WORSE": "worse", "NO DIFFERENCE": "no difference", "UNDECIDED": "undecided"}


def explorer(results: Path) -> tuple[str, str]:
    """The generated parts of the page: the chart of the grids below ``results``, and two tables about them."""
    grids = [json.loads(path.read_text(encoding="utf-8")) for path in results.glob(_FILES)]
    if not grids:
        return _ABSENT, ""
    from course_lib.show.explorer import explorer_chart  # needs Altair; without grids nothing does

    grids.sort(key=lambda grid: grid["labels"])
    chart = explorer_chart(grids)
    return (
        f"{_stored(grids)}\n{chart_html(chart.spec, chart.text)}\n",
        f"{_examined(grids)}\n{_origin(grids)}",
    )


def _stored(grids: Sequence[Mapping[str, Any]]) -> str:
    dates = " and ".join(dict.fromkeys(grid["date"] for grid in grids))
    students = sum(len(grid["hard_validation"]) * (1 + _taught(grid)) for grid in grids)
    return (
        f":::{{note}}\n**Computed beforehand.** These {students:,} students were trained on {dates}, and their "
        "accuracies stored with the course. Moving a slider looks a result up; it trains nothing. "
        "[How it was made](#how-it-was-made) names the machine and the commands.\n:::\n"
    )


def _taught(grid: Mapping[str, Any]) -> int:
    """Cells with students of their own: without soft targets (λ = 0) the temperature counts for nothing."""
    return len(grid["temperatures"]) * sum(lam > 0 for lam in grid["lams"])


def _examined(grids: Sequence[Mapping[str, Any]]) -> str:
    """What validation chose, and how fresh students with it did on the test images."""
    rows = [
        "| labels | chosen by validation | test accuracy | T = 4, λ = 0.9 | hard labels | chosen − hard labels |"
    ]
    rows.append("| ---: | --- | ---: | ---: | ---: | --- |")
    for grid in grids:
        best = grid["best"]
        gap = compare(best["test"], best["hard_test"])
        chosen = ", ".join(map(_unbroken, (f"T = {best['temperature']:g}", f"λ = {best['lam']:g}")))
        means = " | ".join(f"{_mean(best[key]):.1f} %" for key in ("test", "default_test", "hard_test"))
        compared = f"{gap.difference:+.1f} [{gap.low:+.1f}, {gap.high:+.1f}], {gap.pairs} pairs"
        rows.append(f"| {grid['labels']:,} | {chosen} | {means} | {compared}: {_VERDICTS[gap.verdict]} |")
    return (
        "## The best cell, examined\n\nThe cell with the highest mean is partly the luckiest. So its setting was "
        "trained again with fresh seeds, once, and only these students saw the test images. Means over seeds, and the "
        "mean paired difference with its 95 % interval, in points:\n\n" + "\n".join(rows) + "\n"
    )


def _unbroken(text: str) -> str:
    """``text`` that stays on one line of a narrow column."""
    return text.replace(" ", "\N{NO-BREAK SPACE}").replace("-", "\N{NON-BREAKING HYPHEN}")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _origin(grids: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        "| labels | date | machine | PyTorch | commit | seeds | steps |",
        "| ---: | --- | --- | --- | --- | ---: | ---: |",
        *(
            f"| {grid['labels']:,} | {_unbroken(grid['date'])} | {grid['machine']} | {grid['versions']['torch']} "
            f"| `{grid['commit']}` | {len(grid['seeds'])} | {grid['steps']} |"
            for grid in grids
        ),
    ]
    commands = "\n".join(grid["command"].replace(" --out", " \\\n    --out") for grid in grids)
    return (
        "## How it was made\n\nThe results lie in `data/results/`. In the course's folder these commands make them "
        f"again:\n\n```console\n{commands}\n```\n\n" + "\n".join(rows) + "\n"
    )
