"""A distillation's report as one page that needs no other file: tables, and figures of what happened."""

import base64
import html
import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from course_lib.distillation.report import Report, Student
from course_lib.files import write_text
from course_lib.measure import interval
from course_lib.show.figures import bars, curves
from course_lib.show.style import STYLE
from course_lib.show.table import Table

_NAMES = {"student": "student", "baseline": "hard labels"}
_STYLE = """body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ccc; }
img { max-width: 100%; } :root { color-scheme: light dark; }"""

_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Distillation report</title><style>{style}</style>
</head>
<body>{body}</body>
</html>
"""


def write_page(report: Report, folder: Path) -> Path:
    """Write ``report.html`` into the folder; its path.

    Raises:
        CourseError: the file cannot be written.
    """
    write_text(folder / "report.html", page(report))
    return folder / "report.html"


def page(report: Report) -> str:
    """The report as HTML."""
    over = ", with intervals over seeds" if len(report.students["student"]) > 1 else ""
    losses = " + ".join(f"{_words(weight)} · {name}" for name, weight in report.plan["losses"])
    parts = [
        f"<h1>Distillation on {html.escape(report.data)}</h1>",
        f"<p>The student learned from {html.escape(losses)}, T = {report.plan['temperature']:g}, "
        f"{report.plan['epochs']} epochs, batches of {report.plan['batch_size']}.</p>",
        _results(report),
        _picture(_accuracies(report), f"Test accuracy of teacher and students{over}"),
    ]
    if any(each.watched for each in [report.teacher, *report.students["student"]]):
        parts.append(_picture(_learning(report), "Validation accuracy over the training"))
    parts += [
        _picture(_losses(report), "Every loss term over the training, by name"),
        "<h2>Settings</h2>",
        _told("setting", _settings(report)),
        "<h2>Where the numbers come from</h2>",
        _told("what", [(name, _words(value)) for name, value in report.provenance.items()]),
    ]
    return _FRAME.format(style=_STYLE, body="".join(parts))


def _told(what: str, rows: list[tuple[str, str]]) -> str:
    return Table((what, "value"), tuple(rows), words=("value",))._repr_html_()


def _settings(report: Report) -> list[tuple[str, str]]:
    """The plan's; of a loaded teacher its file in place of how it would have been trained."""
    rows = [(name, _words(value)) for name, value in report.plan.items()]
    if report.teacher_file is None:
        return rows
    kept = [row for row in rows if not row[0].startswith("teacher_") and row[0] != "dropout"]
    return [("teacher", report.teacher_file), *kept]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(
            " ".join(map(str, each)) if isinstance(each, list | tuple) else str(each) for each in value
        )
    return str(value)


def _results(report: Report) -> str:
    rows = [("teacher", *_numbers([report.teacher]))]
    rows += [(_NAMES[name], *_numbers(several)) for name, several in report.students.items()]
    header = (
        "network",
        "parameters",
        "test accuracy, %",
        "test loss, nats",
        "agreement, %",
        "ECE, %",
        "seconds",
    )
    gain = report.gain()
    said = (
        f"<p>Student against hard labels, in points of test accuracy: {html.escape(str(gain))}.</p>"
        if gain
        else ""
    )
    return Table(header, tuple(rows))._repr_html_() + said


def _numbers(several: list[Student]) -> tuple[str, ...]:
    def mean(name: str, digits: int) -> str:
        values = [getattr(each, name) for each in several]
        if len(values) == 1:
            return f"{values[0]:.{digits}f}"
        found = interval(values)
        return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"

    measured = (("test_accuracy", 2), ("test_loss", 3), ("test_agreement", 1), ("test_calibration_error", 1))
    return (
        f"{several[0].parameters:,}",
        *(mean(name, digits) for name, digits in measured),
        f"{sum(each.seconds for each in several) / len(several):.0f}",
    )


def _accuracies(report: Report) -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure()
        ax = figure.subplots()
        names = ["teacher", *(_NAMES[name] for name in report.students)]
        bars(ax, names, [report.teacher.test_accuracy, *map(report.accuracies, report.students)])
        ax.set(ylabel="test accuracy (%)", ylim=(0, 100))
    return figure


def _learning(report: Report) -> Figure:
    with mpl.rc_context(STYLE):
        figure = Figure()
        ax = figure.subplots()
        shown = {
            "teacher": [report.teacher],
            **{_NAMES[name]: each for name, each in report.students.items()},
        }
        for name, several in shown.items():
            looks = [{each["step"]: each["accuracy"] for each in one.watched} for one in several]
            # A training that was resumed may have been looked at more often since.
            steps = sorted(set.intersection(*map(set, looks)))
            if steps:
                share = [100 * step / several[0].steps for step in steps]
                curves(ax, share, [[seen[step] for step in steps] for seen in looks], label=name)
        ax.set_xlabel("share of the training (%)")
        ax.set(ylabel="validation accuracy (%)", ylim=(0, 100))
        ax.legend()
    return figure


def _losses(report: Report) -> Figure:
    with mpl.rc_context(STYLE):
        several = report.students["student"]
        names = [name for name in several[0].losses if name != "total"]
        columns = min(3, len(names))
        rows = -(-len(names) // columns)
        figure = Figure(figsize=(max(6.5, 3.6 * columns), 3.2 * rows))
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(names) :]:
            ax.set_axis_off()
        for ax, name in zip(axes.flat, names, strict=False):
            values = [student.losses[name] for student in several]
            curves(ax, [100 * (i + 1) / len(values[0]) for i in range(len(values[0]))], values)
            ax.set_title(name)
            ax.set_xlabel("share of the training (%)")
            lowest, highest = min(map(min, values)), max(map(max, values))
            if lowest > 0:
                ax.set(yscale="log", ylim=(0.8 * lowest, 1.25 * highest))
        for ax in axes[:, 0]:
            ax.set_ylabel("loss, unweighted")
    return figure


def _picture(figure: Figure, alt: str) -> str:
    """As part of the page. (The figures are not made by pyplot, or a notebook that calls this would lose its own.)"""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<p><img alt="{html.escape(alt)}" src="data:image/png;base64,{data}"></p>'
