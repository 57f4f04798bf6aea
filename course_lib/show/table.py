"""Comparisons and diagnoses as tables, for the page and as plain text."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.cards import badge
from course_lib.errors import CourseError
from course_lib.measure import Comparison, Diagnosis, Interval, interval
from course_lib.training import LOSSES

VERDICTS = ("BEATS", "WORSE", "NO DIFFERENCE", "UNDECIDED")
_BADGES = {
    "BEATS": ("good", "✔ BEATS"),
    "WORSE": ("bad", "✘ WORSE"),
    "NO DIFFERENCE": ("open", "= NO DIFFERENCE"),
    "UNDECIDED": ("open", "? UNDECIDED"),
}


@dataclass(frozen=True)
class Table:
    """Shown by notebooks as HTML and elsewhere as text. The first column names its row; verdicts get a badge.

    Attributes:
        head: (C,) headings.
        rows: C cells each.
        words: headings of further columns that hold words, not numbers.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.head))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if self._is_text(column) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        body = "".join(f"<tr>{self._cells(row, 'td')}</tr>" for row in self.rows)
        return (
            '<table class="course-table" style="font-size:.9em">'
            f"<thead><tr>{self._cells(self.head, 'th')}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _cells(self, row: Sequence[str], tag: str) -> str:
        # Only names and headings may take two lines: then all columns fit beside a website's menu.
        return "".join(
            f'<{tag} style="text-align:{"left" if self._is_text(column) else "right"};padding:.25em .5em;'
            f'{"min-width:9em" if column == 0 else "" if self._may_break(column, tag) else "white-space:nowrap"}">'
            f"{_content(cell)}</{tag}>"
            for column, cell in enumerate(row)
        )

    def _may_break(self, column: int, tag: str) -> bool:
        return tag == "th" or self.head[column] in self.words

    def _is_text(self, column: int) -> bool:
        return column == 0 or self.rows[0][column] in VERDICTS or self.head[column] in self.words


def _content(cell: str) -> str:
    return badge(*_BADGES[cell]) if cell in _BADGES else html.escape(cell)


def comparison_table(comparisons: Mapping[str, Comparison]) -> Table:
    """A table of paired comparisons: mean difference, interval, margin where one is stated, pairs, verdict.

    Args:
        comparisons: results of ``measure.compare`` by name, in the order of the rows.

    Raises:
        CourseError: it is empty, or an entry is not a ``Comparison``.
    """
    check_entries("comparisons", comparisons, Comparison, "measure.compare")
    stated = any(each.margin is not None for each in comparisons.values())
    head = ("", "mean difference", "interval", *["margin"] * stated, "pairs", "verdict")
    rows = []
    for label, c in comparisons.items():
        margin = "" if c.margin is None else f"±{c.margin:g}"
        numbers = (f"{c.difference:+.3g}", f"[{c.low:+.3g}, {c.high:+.3g}]", *[margin] * stated)
        rows.append((str(label), *numbers, str(c.pairs), c.verdict))
    return Table(head, tuple(rows))


def diagnosis_table(diagnoses: Mapping[str, Diagnosis]) -> Table:
    """A table of the four numbers that tell under-training, overfitting, failed imitation and bad calibration apart.

    All in per cent or points, the mean over students with its 95 % t interval.

    Args:
        diagnoses: results of ``measure.diagnose`` by the name of the method, in the order of the rows.

    Raises:
        CourseError: it is empty, or an entry is not a ``Diagnosis``.
    """
    check_entries("diagnoses", diagnoses, Diagnosis, "measure.diagnose")
    head = (
        "",
        "right on its own training images, %",
        "right on test images, %",
        "agrees with the teacher, %",
        "confidence − accuracy, points",
    )
    rows = [
        (
            str(label),
            _percent(each.train),
            _percent(each.test),
            "–" if each.agreement is None else _percent(each.agreement),
            _percent(each.confidence_gap, "+"),
        )
        for label, each in diagnoses.items()
    ]
    return Table(head, tuple(rows))


def method_table() -> Table:
    """Every loss that has a name: as ``course distill --loss`` and plans call it, and as searches and figures do."""
    head = ("name", "in words", "compares", "in a search", "settings", "from")
    rows = (
        (each.name, each.title, each.compares, each.formula, ", ".join(each.options), each.paper)
        for each in LOSSES.values()
    )
    return Table(head, tuple(rows), words=head)


def _percent(shares: Any, sign: str = "") -> str:
    """ "97.1 [96.8, 97.4]" for shares of several students, "97.1" for that of one."""
    values = [100 * float(share) for share in shares]
    each = interval(values) if len(values) > 1 else Interval(values[0], values[0], values[0])
    mean, low, high = (f"{value:{sign}.1f}" for value in (each.mean, each.low, each.high))
    return f"{mean} [{low}, {high}]" if len(values) > 1 else mean


def check_entries(name: str, entries: Any, kind: type, source: str) -> None:
    """Refuse what is not a mapping with at least one entry, all of ``kind``, which ``source`` returns."""
    if not isinstance(entries, Mapping) or not entries:
        raise CourseError(f"{name} must be a mapping with at least one entry, got {entries!r}")
    for label, each in entries.items():
        if not isinstance(each, kind):
            raise CourseError(
                f"{name} must hold results of {source}, got {type(each).__name__} for {label!r}"
            )
