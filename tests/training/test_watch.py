"""Looks at a student while it trains, and what Fabric's loggers get to know."""

import csv

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import CSVLogger, Logger

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.models import cnn_teacher, small_mlp
from course_lib.training import Checkpoints, Recipe, Watch, fit, fit_many, hard_labels, soft_targets

RECIPE = Recipe(steps=25, batch_size=16)


@pytest.fixture(scope="module")
def train():
    return load("digits", seed=0).train.subset(64, seed=0)


def accuracy_on(examples):
    def look(network):
        assert not network.training
        found = network(examples.inputs).argmax(dim=1)
        return {"accuracy": (found == examples.labels).float().mean()}

    return look


def test_looks_come_at_their_steps_and_at_the_end_and_change_nothing(train):
    run = fit(small_mlp, hard_labels(), train, RECIPE, watch=Watch(accuracy_on(train), every=10))
    assert [each["step"] for each in run.watched] == [10, 20, 25]
    with torch.no_grad():
        last = accuracy_on(train)(run.model)["accuracy"]
    assert run.watched[-1]["accuracy"] == float(last)
    assert run.watched[0]["accuracy"] < run.watched[-1]["accuracy"]
    alone = fit(small_mlp, hard_labels(), train, RECIPE)
    assert alone.watched == []
    for one, other in zip(run.model.parameters(), alone.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_training_that_goes_on_remembers_what_it_saw(train, tmp_path):
    watch = Watch(accuracy_on(train), every=10)
    checkpoints = Checkpoints(tmp_path, every=10, keep=9)
    whole = fit(small_mlp, hard_labels(), train, RECIPE, watch=watch, checkpoints=checkpoints)
    checkpoints.files()[0].unlink()
    again = fit(small_mlp, hard_labels(), train, RECIPE, watch=watch, checkpoints=checkpoints)
    assert again.watched == whole.watched


def test_loggers_get_every_term_by_name(train, tmp_path):
    torch.manual_seed(0)
    fabric = Fabric(
        accelerator="cpu", devices=1, loggers=CSVLogger(tmp_path, name="log", flush_logs_every_n_steps=1)
    )
    run = fit(
        small_mlp,
        soft_targets(),
        train,
        Recipe(steps=120, batch_size=16),
        teacher=cnn_teacher(),
        fabric=fabric,
        watch=Watch(accuracy_on(train), every=100),
    )
    fabric.logger.finalize("success")
    rows = list(csv.DictReader(next(tmp_path.rglob("metrics.csv")).open()))
    soft = {int(row["step"]): float(row["train/soft"]) for row in rows if row["train/soft"]}
    assert set(soft) == {50, 100, 120}
    assert soft[100] == pytest.approx(run.history["soft"][50:100].mean(), rel=1e-5)
    assert {"train/hard", "train/total", "watch/accuracy"} <= set(rows[0])


class Remembering(Logger):
    """As a logger of Fabric's kind, what it was told."""

    name = version = "log"

    def __init__(self):
        super().__init__()
        self.steps, self.closed = [], []

    def log_metrics(self, metrics, step=None):
        self.steps.append((step, metrics))

    def log_hyperparams(self, *arguments, **settings):
        raise AssertionError

    def finalize(self, status):
        self.closed.append(status)


def test_many_students_log_their_means(train):
    log = Remembering()
    runs = fit_many(small_mlp, hard_labels(), train, RECIPE, seeds=[0, 1], loggers=[log], progress=False)
    ((step, metrics),) = log.steps
    assert step == 25
    assert metrics["train/hard"] == pytest.approx(runs.history["hard"].mean(), rel=1e-5)
    assert log.closed == ["success"]


def test_the_log_of_a_training_that_stops_is_closed_as_failed(train):
    log = Remembering()

    def stop(network):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(small_mlp, hard_labels(), train, RECIPE, loggers=[log], watch=Watch(stop, every=10))
    assert log.closed == ["failed"]


def test_a_log_that_cannot_be_written_does_not_stop_the_training(train, caplog):
    class Full(Remembering):
        def log_metrics(self, metrics, step=None):
            raise OSError(28, "No space left on device")

    log = Remembering()
    recipe = Recipe(steps=120, batch_size=16)
    run = fit(small_mlp, hard_labels(), train, recipe, loggers=[Full(), log], progress=False)
    assert len(run.history["hard"]) == 120
    assert [step for step, _ in log.steps] == [50, 100, 120]
    assert caplog.text.count("goes on without its log, which cannot be written: [Errno 28]") == 1


def test_a_watch_without_steps_between_is_refused():
    with pytest.raises(CourseError, match="every must be an integer of at least 1, got 0"):
        Watch(lambda network: {}, every=0)
