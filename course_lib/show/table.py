"""Comparisons as a table for the page and as plain text."""

import html
from collections.abc import Mapping
from dataclasses import dataclass

from course_lib.errors import CourseError
from course_lib.measure import Comparison

_HEAD = ("", "mean difference", "interval", "pairs", "verdict")
_MARKS = {"BEATS": ("✔", "#009e73"), "WORSE": ("✘", "#d55e00"), "NO DIFFERENCE": ("○", "#8a8a8a")}


@dataclass(frozen=True)
class ComparisonTable:
    """Shown by notebooks as HTML and elsewhere as text, a row per comparison."""

    comparisons: Mapping[str, Comparison]

    def __repr__(self) -> str:
        rows = [_HEAD, *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if column in (0, 4) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        def cells(row: tuple[str, ...], tag: str) -> str:
            # Only the names may take two lines: then all columns fit beside a website's menu.
            styles = ("text-align:left;min-width:9em", *["text-align:right;white-space:nowrap"] * 3)
            return "".join(
                f'<{tag} style="{style};padding:.25em .5em">{content}</{tag}>'
                for content, style in zip(row, (*styles, "text-align:left;white-space:nowrap"), strict=True)
            )

        body = ""
        for row in self._rows():
            mark, color = _MARKS[row[4]]
            verdict = f'<span style="color:{color}">{mark}</span> <strong>{html.escape(row[4])}</strong>'
            shown = (html.escape(row[0]), *row[1:4], verdict)
            body += f"<tr>{cells(shown, 'td')}</tr>"
        return (
            f'<table class="course-comparisons" style="font-size:.9em"><thead><tr>{cells(_HEAD, "th")}</tr></thead>'
            f"<tbody>{body}</tbody></table>"
        )

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (str(label), f"{c.difference:+.3g}", f"[{c.low:+.3g}, {c.high:+.3g}]", str(c.pairs), c.verdict)
            for label, c in self.comparisons.items()
        ]


def comparison_table(comparisons: Mapping[str, Comparison]) -> ComparisonTable:
    """A table of paired comparisons: mean difference, interval, number of pairs, verdict.

    Args:
        comparisons: results of ``measure.compare`` by name, in the order of the rows.

    Raises:
        CourseError: it is empty, or an entry is no ``Comparison``.
    """
    if not isinstance(comparisons, Mapping) or not comparisons:
        raise CourseError(f"comparisons must be a mapping with at least one entry, got {comparisons!r}")
    for label, each in comparisons.items():
        if not isinstance(each, Comparison):
            raise CourseError(
                f"comparisons must hold results of measure.compare, got {type(each).__name__} for {label!r}"
            )
    return ComparisonTable(dict(comparisons))
