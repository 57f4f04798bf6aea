"""What the tuning panel shows, as pure functions: the parts of a loss, and the runs with their curves and intervals."""

import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor

from course_lib.cards import bar, bars, white
from course_lib.measure import interval
from course_lib.show.style import GREY, PALETTE, STYLE
from course_lib.show.style import METHODS as LOOKS
from course_lib.training import LABELS, METHODS, STUDENT_LOGITS, TEACHER_LOGITS
from course_lib.tuning import Setting


@dataclass(frozen=True, eq=False)
class Trained:
    """What one press of the button gave.

    Attributes:
        setting: what was trained.
        labels: number of labelled images of each student.
        accuracies: on the validation images, in per cent, (seeds,).
        total: the total loss, mean over seeds, (steps,).
    """

    setting: Setting
    labels: int
    accuracies: np.ndarray
    total: np.ndarray

    @property
    def name(self) -> str:
        return f"{self.setting}; {self.labels} labels"


def loss_parts(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, setting: Setting
) -> dict[str, tuple[float, float]]:
    """Weight and value of each part of the loss that logits alone decide, by name.

    Args:
        student_logits, teacher_logits: (N, C).
        labels: (N,).
        setting: a loss of gradients has a further part, which needs more than logits.

    Returns:
        {"hard": (weight, value), ...}; the total of a mix is the sum of weight · value.
    """
    known = {STUDENT_LOGITS: student_logits, TEACHER_LOGITS: teacher_logits, LABELS: labels}
    parts = {}
    for term in METHODS[setting.method].objective(setting.temperature, setting.lam).terms:
        if set(term.sources.values()) <= set(known) and not term.differentiated:
            supplied = {key: known[source] for key, source in term.sources.items()}
            parts[term.name] = (float(term.weight), float(term.loss(**term.settings, **supplied)))
    return parts


def mix_html(parts: dict[str, tuple[float, float]], setting: Setting) -> str:
    """The parts as bars, weight × value, and their total."""
    total = sum(weight * value for weight, value in parts.values())
    colors = {each.symbol: LOOKS[title].color for title, each in METHODS.items() if title in LOOKS}
    rows = ""
    for name, (weight, value) in parts.items():
        share = weight * value / total if total > 0 else 0.0
        words = f"{weight:.2f} × {value:.3g} = {weight * value:.3g}"
        rows += bar(name, share, words, colors.get(name, GREY))
    method = METHODS[setting.method]
    formula = html.escape(method.formula)
    further = "" if method.symbol in parts else " + the gradients' part"
    return white(
        f"<div><strong>loss = {formula}</strong>, of a student on hard labels, over the images of the list</div>"
        f"{bars(rows)}<div>total: {total:.3g}{further}</div>"
    )


def runs_png(runs: Sequence[Trained]) -> bytes:
    """A picture of all runs: the loss over the steps, and validation accuracy with its 95 % interval."""
    with rc_context(STYLE):
        figure = Figure(figsize=(8.5, max(3.2, 1.6 + 0.42 * len(runs))))
        curves, bars = figure.subplots(1, 2)
        for number, run in enumerate(runs, 1):
            color = PALETTE[(number - 1) % len(PALETTE)]
            middle = interval(run.accuracies)
            curves.plot(np.arange(1, len(run.total) + 1), run.total, color=color, linewidth=1.2)
            bars.errorbar(
                middle.mean, number, xerr=middle.high - middle.mean, fmt="o", color=color, capsize=4
            )
            bars.annotate(run.name, (0.0, number + 0.28), xycoords=("axes fraction", "data"), fontsize=8)
        curves.set(xlabel="training step", ylabel="total loss, mean of students", yscale="log")
        bars.set(
            xlabel="validation accuracy (%)", ylim=(len(runs) + 0.7, 0.4), yticks=range(1, len(runs) + 1)
        )
        bars.set_ylabel("run")
        file = io.BytesIO()
        figure.savefig(file, format="png")
    return file.getvalue()
