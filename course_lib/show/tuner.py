"""The tuning panel of a running notebook: method, temperature, λ and labels to move, and a button that trains."""

import html
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import ipywidgets as widgets
import torch

from course_lib.errors import check_count
from course_lib.progress import Stopped
from course_lib.show.slider import WIDE, Controls, card_html, in_words
from course_lib.show.softened import answers_of
from course_lib.show.tuner_views import Trained, loss_parts, mix_html, runs_png
from course_lib.tuning import HARD, METHODS, Setting, Task

_IMAGES = 10
_KEPT_RUNS = 8


@dataclass
class Session:
    """What outlives a cell that is run again: the controls' values and the runs."""

    values: dict[str, Any] = field(default_factory=dict)
    runs: list[Trained] = field(default_factory=list)


_SESSIONS: dict[str, Session] = {}


def tuning_panel(task: Task, *, seeds: int = 20, name: str = "tuning") -> widgets.Widget:
    """A panel with sliders for T and λ, choices of method, labels and image, and a button *train now*.

    It shows the teacher's softened answer to a training image, the parts of the loss, and, of every press of the
    button, the loss over the steps and the validation accuracy with its interval. Training runs in the background
    and can be cancelled; do not train in another cell meanwhile, both draw from one stream of random numbers. Test
    images are never read. It needs a running kernel.

    Args:
        task: data, teacher and budget; its number of labels is where the choice of labels begins.
        seeds: students that are trained at once, at least two.
        name: a panel of the same name, as when a cell is run again, takes over its values and runs.

    Raises:
        CourseError: fewer than two seeds.
    """
    check_count(2, seeds=seeds)
    return Panel(task, seeds, _SESSIONS.setdefault(name, Session())).widget


class Panel:
    """The controls and what they do; every callback is a few lines, and an error becomes a sentence."""

    def __init__(self, task: Task, seeds: int, session: Session):
        self.task, self.seeds, self.session = task, seeds, session
        some = task.dataset.train.subset(_IMAGES, seed=1)  # most of them not labelled for the student below
        self.teacher_logits, self.labels = task.teacher.lookup(some), some.labels
        self.answers = answers_of(self.teacher_logits, some.images, task.dataset.classes, some.labels)
        student = task.train([HARD], [0], progress=False)
        self.student_logits = student.logits(some.inputs)[0]
        self._cancelled = threading.Event()
        self._thread: threading.Thread | None = None
        self._make_controls()
        self._lay_out()
        self._restore()
        self._method_changed()
        self._draw_runs()

    def _make_controls(self) -> None:
        self.method = widgets.Dropdown(
            options=list(METHODS), value="soft targets", description="method", **WIDE
        )
        self.temperature = widgets.FloatLogSlider(
            value=4.0,
            base=2,
            min=0,
            max=6,
            step=0.125,
            description="temperature T",
            readout_format=".2f",
            **WIDE,
        )
        self.lam = widgets.FloatLogSlider(
            value=0.9, base=10, min=-2, max=0, step=0.002, description="λ", readout_format=".3g", **WIDE
        )
        sizes = sorted(
            {self.task.labels, *(n for n in (50, 100, 200, 500, 1200) if n <= len(self.task.dataset.train))}
        )
        self.size = widgets.Dropdown(options=sizes, value=self.task.labels, description="labels", **WIDE)
        choices = [(self.answers.name(index), index) for index in range(_IMAGES)]
        self.image = widgets.Dropdown(options=choices, description="training image", **WIDE)
        names = ("method", "temperature", "lam", "size", "image")
        self.controls = {name: getattr(self, name) for name in names}

    def _lay_out(self) -> None:
        self.train = widgets.Button(description="train now", button_style="primary", icon="play")
        self.cancel = widgets.Button(description="cancel", disabled=True)
        self.clear = widgets.Button(description="clear runs")
        self.bar = widgets.IntProgress(description="steps", max=self.task.recipe.steps, **WIDE)
        self.card, self.mix, self.status = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.plot = widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))
        self.widget = Controls(
            [
                *self.controls.values(),
                self.card,
                self.mix,
                widgets.HBox([self.train, self.cancel, self.clear]),
                self.bar,
                self.status,
                self.plot,
            ]
        )
        self.train.on_click(self._guarded(self.start))
        self.cancel.on_click(lambda _button: self._cancelled.set())
        self.clear.on_click(self._guarded(self._clear))

    def _restore(self) -> None:
        """Take over what a panel of the same name was set to, as far as it fits, and listen from now on."""
        method = self.session.values.get("method", self.method.value)
        self.method.value = method
        self._set_range()
        for name, value in self.session.values.items():
            control = self.controls[name]
            options = getattr(control, "options", None)
            if options is None or value in [o[1] if isinstance(o, tuple) else o for o in options]:
                control.value = value
        self.method.observe(self._method_changed, "value")
        for control in self.controls.values():
            control.observe(self._draw, "value")

    @property
    def setting(self) -> Setting:
        lam = min(self.lam.value, 1.0) if METHODS[self.method.value].mixes else self.lam.value
        return Setting(self.method.value, self.temperature.value, lam)

    def _method_changed(self, _change: object = None) -> None:
        self._set_range()
        self._draw()

    def _set_range(self) -> None:
        method = METHODS[self.method.value]
        self.temperature.disabled, self.lam.disabled = not method.softens, method.lams is None
        if method.lams:
            low, high = torch.tensor(method.lams).log10().round(decimals=6).tolist()
            # A slider refuses a smallest value above the largest, even between two assignments.
            self.lam.min, self.lam.max = min(low, self.lam.max), high
            self.lam.min = low

    def _draw(self, _change: object = None) -> None:
        self.session.values = {name: control.value for name, control in self.controls.items()}
        self.card.value = in_words(lambda: card_html(self.answers, self.image.value, self.temperature.value))
        self.mix.value = in_words(
            lambda: mix_html(
                loss_parts(self.student_logits, self.teacher_logits, self.labels, self.setting), self.setting
            )
        )

    def _draw_runs(self) -> None:
        runs = self.session.runs
        self.plot.layout.display = "" if runs else "none"
        if runs:
            self.plot.value = runs_png(runs)

    def _clear(self) -> None:
        self.session.runs.clear()
        self._say("")
        self._draw_runs()

    def start(self) -> None:
        """Train in the background what the controls say now."""
        if self._thread and self._thread.is_alive():
            return
        self._cancelled.clear()
        self.train.disabled, self.cancel.disabled, self.bar.value = True, False, 0
        task, setting = replace(self.task, labels=self.size.value), self.setting
        self._say(f"training {self.seeds} students: {setting}; {task.labels} labels")
        self._thread = threading.Thread(target=self._guarded(lambda: self._work(task, setting)), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until the training in the background is over."""
        if self._thread:
            self._thread.join()

    def _work(self, task: Task, setting: Setting) -> None:
        try:
            runs = task.train([setting], range(self.seeds), progress=self._told)
            done = Trained(setting, task.labels, task.validation(runs), runs.history["total"].mean(axis=1))
            self.session.runs[:] = [*self.session.runs, done][-_KEPT_RUNS:]
            self._say(
                f"trained {self.seeds} students in {runs.seconds:.1f} s: {done.name}, "
                f"{done.accuracies.mean():.1f} % of the validation images right"
            )
            self._draw_runs()
        except Stopped:
            self._say("cancelled; nothing was kept of this training")
        finally:
            self.train.disabled, self.cancel.disabled = False, True

    def _told(self, done: int, _total: int) -> None:
        if self._cancelled.is_set():
            raise Stopped
        self.bar.value = done

    def _say(self, sentence: str) -> None:
        self.status.value = f'<p role="status">{html.escape(sentence)}</p>'

    def _guarded(self, action: Callable[[], None]) -> Callable[..., None]:
        """An error in a callback or a thread would be lost: it becomes a sentence in the panel."""

        def run(_button: object = None) -> None:
            try:
                action()
            except Exception as error:
                self._say(f"This could not be done: {error}")

        return run
