"""The tuning panel: what it shows is computed from its controls, its button trains, and errors are sentences."""

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from course_lib import show
from course_lib.errors import CourseError
from course_lib.show import tuner
from course_lib.show.tuner_views import Trained, loss_parts, mix_html, runs_png
from course_lib.tuning import METHODS, Setting

LABELS = torch.tensor([0, 2])
STUDENT = torch.tensor([[1.0, 0.0, -1.0], [0.5, 0.5, 2.0]])
TEACHER = torch.tensor([[4.0, 1.0, 0.0], [0.0, 3.0, 5.0]])


def softmax(z):
    weights = np.exp(z - z.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def test_parts_of_the_mix_are_the_formulas_of_the_course():
    s, t = STUDENT.numpy().astype(float), TEACHER.numpy().astype(float)
    hard = -np.log(softmax(s)[[0, 1], LABELS]).mean()
    p, q = softmax(t / 4), softmax(s / 4)
    soft = 16 * (p * np.log(p / q)).sum(axis=1).mean()
    parts = loss_parts(STUDENT, TEACHER, LABELS, Setting("soft targets", 4.0, 0.75))
    assert parts == {
        "hard": (0.25, pytest.approx(hard, rel=1e-5)),
        "soft": (0.75, pytest.approx(soft, rel=1e-5)),
    }
    squares = ((s - t) ** 2).sum(axis=1).mean()
    parts = loss_parts(STUDENT, TEACHER, LABELS, Setting("logits", lam=0.75))
    assert parts["logits"] == (0.75, pytest.approx(squares, rel=1e-5))
    assert loss_parts(STUDENT, TEACHER, LABELS, Setting("gradient matching")) == {
        "logits": (1.0, pytest.approx(squares, rel=1e-5))
    }
    assert loss_parts(STUDENT, TEACHER, LABELS, Setting("hard labels")) == {
        "hard": (1.0, pytest.approx(hard, rel=1e-5))
    }


def test_mix_tells_parts_and_total():
    card = mix_html({"hard": (0.25, 2.0), "soft": (0.75, 4.0)}, Setting("soft targets", 4.0, 0.75))
    assert "0.25 × 2 = 0.5" in card
    assert "0.75 × 4 = 3" in card
    assert "total: 3.5" in card
    assert "width:85.714%" in card


@pytest.mark.parametrize("runs", [1, 3, 8])
def test_runs_are_a_picture_that_grows_with_them(runs):
    one = Trained(Setting(), 50, np.array([80.0, 82.0]), np.linspace(2, 0.1, 30))
    picture = Image.open(io.BytesIO(runs_png([one] * runs)))
    assert picture.width > 600
    assert np.asarray(picture.convert("L")).std() > 5


@pytest.fixture
def panel(task, request):
    return tuner.Panel(task, 2, tuner.Session())


def test_moving_a_slider_redraws_answer_and_mix(panel):
    before = panel.card.value, panel.mix.value
    panel.temperature.value = 16.0
    assert "T = 16.00" in panel.card.value
    assert panel.card.value != before[0]
    assert panel.mix.value != before[1]
    before = panel.mix.value
    panel.lam.value = 0.5
    assert "0.50 ×" in panel.mix.value
    assert panel.mix.value != before


@pytest.mark.parametrize("method", METHODS)
def test_each_method_has_its_ranges_and_trains(panel, method):
    panel.method.value = method
    known = METHODS[method]
    assert panel.temperature.disabled != known.softens
    assert panel.lam.disabled == (known.lams is None)
    if known.lams:
        assert (10**panel.lam.min, 10**panel.lam.max) == pytest.approx(known.lams)
    panel.start()
    panel.wait()
    assert [run.setting.method for run in panel.session.runs] == [method], panel.status.value


def test_ranges_follow_any_order_of_methods(panel):
    for method in [*METHODS, *reversed(list(METHODS)), "gradient matching", "gradient", "soft targets"]:
        panel.method.value = method
        assert panel.setting.method == method
        assert "could not" not in panel.mix.value


def test_train_now_trains_what_the_controls_say_and_keeps_earlier_runs(panel, task):
    panel.temperature.value, panel.lam.value = 8.0, 0.5
    panel.train.click()
    panel.wait()
    panel.temperature.value = 2.0
    panel.train.click()
    panel.wait()
    first, second = panel.session.runs
    assert (first.setting.temperature, second.setting.temperature) == (8.0, 2.0)
    np.testing.assert_allclose(first.accuracies, task.validate(Setting("soft targets", 8.0, 0.5), [0, 1]))
    assert panel.bar.value == panel.bar.max
    assert panel.plot.value == runs_png(panel.session.runs)
    assert f"{second.accuracies.mean():.1f} %" in panel.status.value
    assert not panel.train.disabled
    assert panel.cancel.disabled


def test_cancel_stops_the_training_and_keeps_nothing(panel, monkeypatch):
    begun, go = threading.Event(), threading.Event()
    told = panel._told

    def slow(done, total):
        begun.set()
        go.wait(30)
        told(done, total)

    monkeypatch.setattr(panel, "_told", slow)
    panel.train.click()
    assert begun.wait(30)
    assert panel.train.disabled
    panel.cancel.click()
    go.set()
    panel.wait()
    assert "cancelled" in panel.status.value
    assert panel.session.runs == []
    assert not panel.train.disabled


def test_an_error_while_training_is_a_sentence_in_the_panel(panel, monkeypatch):
    def fail(*arguments, **settings):
        raise CourseError("labels <are> gone")

    monkeypatch.setattr(type(panel.task), "train", fail)
    panel.train.click()
    panel.wait()
    assert "labels &lt;are&gt; gone" in panel.status.value
    assert not panel.train.disabled


def test_a_cell_that_is_run_again_keeps_values_and_runs(task):
    first = tuner.Panel(task, 2, session := tuner.Session())
    first.method.value, first.lam.value, first.size.value, first.image.value = (
        "gradient matching",
        50.0,
        200,
        3,
    )
    first.train.click()
    first.wait()
    again = tuner.Panel(task, 2, session)
    assert [c.value for c in again.controls.values()] == [c.value for c in first.controls.values()]
    assert again.lam.value == pytest.approx(50.0)
    assert again.plot.value == first.plot.value
    again.clear.click()
    assert session.runs == []


def test_panels_of_one_name_share_their_session(task):
    show.tuning_panel(task, seeds=2, name="a test").children[1].value = 32.0
    assert show.tuning_panel(task, seeds=2, name="a test").children[1].value == 32.0
    assert show.tuning_panel(task, seeds=2, name="another").children[1].value == 4.0


@pytest.mark.parametrize("seeds", [0, 1, 2.0])
def test_too_few_seeds_are_refused(task, seeds):
    with pytest.raises(CourseError, match=r"^seeds must"):
        show.tuning_panel(task, seeds=seeds)
