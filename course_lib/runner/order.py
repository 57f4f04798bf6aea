"""In which order notebooks begin when several run at once: the longest first, so that none is left over at the end."""

import json
from collections.abc import Sequence
from pathlib import Path

from course_lib.runner.find import Plan


def longest_first(plans: Sequence[Plan], report: Path) -> list[Plan]:
    """The plans by the seconds they took when ``report`` was written, longest first.

    A notebook whose time is not known, or only with another profile, begins before all others, because it may be the
    longest; of several, the one with the most cells first.
    """
    known = _seconds(report)

    def rank(plan: Plan) -> tuple[bool, float]:
        seconds = known.get((plan.name, plan.parameters.get("profile")))
        return (False, -count_cells(plan.path)) if seconds is None else (True, -seconds)

    return sorted(plans, key=rank)


def count_cells(path: Path) -> int:
    """Number of cells of the notebook in the file."""
    return len(json.loads(path.read_text(encoding="utf-8"))["cells"])


def _seconds(report: Path) -> dict[tuple[str, str | None], float]:
    """Seconds by name and profile, of the notebooks that ran to their end; none where there is no such file."""
    try:
        entries = json.loads(report.read_text(encoding="utf-8"))["notebooks"]
        return {(each["name"], each["profile"]): each["seconds"] for each in entries if not each["failure"]}
    except (OSError, ValueError, KeyError, TypeError):  # no report, or one of another version
        return {}
