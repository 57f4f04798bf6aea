"""``course distill``: its flags, killed and gone on, and in two processes under torchrun."""

import csv
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from forked import start
from torch import distributed
from typer.testing import CliRunner

from course_lib import distillation
from course_lib.cli import app
from course_lib.distillation import Plan
from course_lib.training import LOSSES
from course_lib.training.termination import ending_in_order

module = importlib.import_module("course_lib.cli.distill")  # the package has a function of this name
ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    *("--data", "digits", "--epochs", "4", "--checkpoint-every", "1", "--batch-size", "32", "--labels", "96"),
    *("--teacher-width", "0.03125", "--student-width", "0.015625", "--accelerator", "cpu"),
]


def course(*arguments):
    return CliRunner().invoke(app, ["distill", *arguments], env={"COLUMNS": "200", "COURSE_PROGRESS": "0"})


def started(*arguments, python=(sys.executable,)):
    return subprocess.Popen(
        [*python, "-m", "course_lib.cli", "distill", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COURSE_PROGRESS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def distils(*arguments):
    """What a process does that is forked."""
    torch.set_num_threads(1)
    os.environ["COURSE_PROGRESS"] = "0"
    app(["distill", *arguments])


def students(folder):
    """All numbers of a report that do not depend on the clock."""
    report = json.loads((folder / "report.json").read_text())
    timeless = [
        {key: value for key, value in student.items() if key != "seconds"}
        for several in report["students"].values()
        for student in several
    ]
    return report, timeless


def test_flags_become_the_plan_and_every_setting_of_a_plan_is_a_flag(tmp_path):
    answer = course(
        *SMALL, "--loss", "logit=1", "--loss", "gradient_matching=0.5", "-T", "3", "-o", str(tmp_path)
    )
    assert answer.exit_code == 0, answer.output
    assert "teacher:" in answer.output
    assert "report.html" in answer.output
    report, _ = students(tmp_path)
    assert report["plan"]["losses"] == [["logit", 1.0], ["gradient_matching", 0.5]]
    assert report["plan"]["temperature"] == 3.0
    assert report["plan"]["student_width"] == 0.015625
    shown = course("--help").output
    for field in fields(Plan):
        flag = "--loss" if field.name == "losses" else "--" + field.name.replace("_", "-")
        assert flag in shown
    rows = list(csv.DictReader((tmp_path / "logs/student/seed-0/version_0/metrics.csv").open()))
    assert {"train/logit", "train/gradient_matching", "train/total", "watch/accuracy"} < set(rows[0])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--loss", "soft_target=much"],
            "--loss must be NAME=WEIGHT, such as soft_target=0.9, got 'soft_target=much'",
        ),
        (["--loss", "kl=1"], "losses must be named hard, "),
        (["--epochs", "0"], "epochs must be an integer of at least 1, got 0"),
        (
            ["--accelerator", "cpu", "--precision", "12-bit"],
            "precision must be one of 32-true, bf16-mixed, 16-mixed, got '12-bit'",
        ),
        (
            ["--accelerator", "cpu", "--log", "wandb"],
            "--log must be csv, tensorboard, none or MODULE:CLASS, got 'wandb'",
        ),
        (
            ["--accelerator", "cpu", "--log", "nowhere:Logger"],
            "the function 'nowhere:Logger' cannot be imported",
        ),
    ],
)
def test_wrong_flags_are_answered_in_a_sentence(arguments, words, tmp_path):
    answer = course(*arguments, "-o", str(tmp_path))
    assert answer.exit_code == 2
    assert words in answer.output
    assert not list(tmp_path.iterdir())


def test_a_flag_that_is_not_given_leaves_what_the_plan_says(monkeypatch, tmp_path):
    plans = []
    monkeypatch.setattr(distillation, "distill", lambda plan, *_, **__: plans.append(plan) or Silent())
    assert course("--accelerator", "cpu", "-o", str(tmp_path)).exit_code == 0
    assert plans == [Plan()]


class Silent:
    """A report with nothing to show."""

    teacher = distillation.Student(0, 1, 50.0, 1.0, 100.0, 1.0, 50.0, 1.0, 1)
    students: ClassVar = {}

    def gain(self):
        return None


def test_every_flag_reaches_the_recipe(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        distillation, "distill", lambda *given, **settings: calls.append((given, settings)) or Silent()
    )
    teacher = tmp_path / "teacher.pt"
    engine = [
        "--teacher",
        str(teacher),
        "--student",
        "nets:small",
        "--together",
        "--compile",
        "--fall-back",
        "--precision",
        "bf16-mixed",
    ]
    values = {
        "data": "digits",
        "validation": 0.25,
        "size": 48,
        "temperature": 3.0,
        "epochs": 7,
        "teacher_epochs": 8,
        "teacher_optimizer": "momentum",
        "teacher_lr": 0.05,
        "batch_size": 16,
        "checkpoint_every": 2,
        "optimizer": "sgd",
        "lr": 0.01,
        "weight_decay": 0.001,
        "schedule": "constant",
        "teacher_width": 0.5,
        "student_width": 0.125,
        "dropout": 0.25,
        "labels": 100,
        "seeds": 4,
        "seed": 9,
        "augment": "no",
        "shift": 2,
        "stride": 2,
        "answers": "live",
        "soft_matrix": "class",
        "estimator": "hutchinson",
        "target_norm": 2.0,
        "smoothing": 0.2,
    }
    flags = [word for key, value in values.items() for word in ("--" + key.replace("_", "-"), str(value))]
    answer = course(
        *flags, "--loss", "logit=2", "--baseline", *engine, "--accelerator", "cpu", "-o", str(tmp_path)
    )
    assert answer.exit_code == 0, answer.output
    ((plan, folder), settings) = calls[0]
    assert plan == Plan(losses=[("logit", 2.0)], baseline=True, **values)
    assert set(values) | {"losses", "baseline"} == {field.name for field in fields(Plan)}
    defaults = Plan()
    assert all(value != getattr(defaults, name) for name, value in values.items()), "else nothing is tested"
    assert (folder, settings["teacher"], settings["student"]) == (tmp_path, str(teacher), "nets:small")
    assert settings["together"] is settings["compile"] is settings["fall_back"] is True
    assert settings["fabric"].strategy.precision.precision == "bf16-mixed"


def test_the_help_names_every_loss():
    shown = " ".join(course("--help").output.replace("│", " ").split())
    assert ", ".join(LOSSES) in shown


def test_students_trained_together_are_shown_logged_and_kept(tmp_path):
    answer = course(*SMALL, "--seeds", "2", "--together", "-o", str(tmp_path))
    assert answer.exit_code == 0, answer.output
    kept = students(tmp_path)[0]["students"]["student"]
    for each in kept:
        assert f"{each['test_accuracy']:.2f}" in answer.output
        assert f"{each['test_loss']:.3f}" in answer.output
    rows = list(csv.DictReader((tmp_path / "logs/student/version_0/metrics.csv").open()))
    assert {"train/hard", "train/soft_target", "train/total"} < set(rows[0])
    assert students(tmp_path)[0]["provenance"]["together"] is True


def test_a_damaged_checkpoint_is_refused_with_the_flag_that_helps_and_passed_over_with_it(tmp_path):
    assert course(*SMALL, "-o", str(tmp_path)).exit_code == 0
    expected = students(tmp_path)[1]
    newest = max((tmp_path / "student/seed-0").glob("*.ckpt"))
    newest.write_bytes(newest.read_bytes()[:-9])
    answer = course(*SMALL, "-o", str(tmp_path))
    assert answer.exit_code == 1
    assert "is damaged or was changed" in answer.output
    assert "--fall-back" in answer.output
    process = started(*SMALL, "--fall-back", "-o", str(tmp_path))
    _, error = process.communicate()
    assert process.returncode == 0, error
    before = "step-0000000009.ckpt"
    assert f"resuming from {before}, for {newest} is damaged" in error
    assert students(tmp_path)[1] == expected


SLURM = {
    "SLURM_NTASKS": "8",
    "SLURM_NTASKS_PER_NODE": "4",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_JOB_NAME": "x",
}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, (1, 1)),
        (SLURM, (4, 2)),
        ({"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "x"}, (1, 1)),
        (SLURM | {"SLURM_JOB_NAME": "interactive"}, (1, 1)),
        (
            SLURM | {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "6", "LOCAL_WORLD_SIZE": "2", "RANK": "0"},
            (2, 3),
        ),
    ],
)
def test_processes_are_counted_as_torchrun_or_slurm_say(monkeypatch, told, expected):
    clean_of_launchers(monkeypatch, told)
    assert module._processes() == expected


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("SLURM_STEP_NUM_TASKS", "begin the command with srun"),
        ("SLURM_NTASKS_PER_NODE", "give it --ntasks-per-node in place of --ntasks"),
    ],
)
def test_slurm_jobs_that_would_wait_for_ever_are_refused(monkeypatch, tmp_path, missing, words):
    clean_of_launchers(monkeypatch, {name: value for name, value in SLURM.items() if name != missing})
    answer = course("--accelerator", "cpu", "-o", str(tmp_path))
    assert answer.exit_code == 2
    assert "SLURM has 8 tasks for this job" in answer.output
    assert words in answer.output


def clean_of_launchers(monkeypatch, told):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC_")) or name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK"):
            monkeypatch.delenv(name)
    for name, value in told.items():
        monkeypatch.setenv(name, value)


def test_a_logger_of_ones_own_is_made_for_each_training(tmp_path):
    own = "lightning_fabric.loggers:CSVLogger"
    assert course(*SMALL, "--log", own, "-o", str(tmp_path)).exit_code == 0
    assert list((tmp_path / "logs/student/seed-0").rglob("metrics.csv"))
    answer = course(*SMALL, "--log", "pathlib:Path", "-o", str(tmp_path / "other"))
    assert answer.exit_code == 1
    assert "--log pathlib:Path must make a Lightning logger, got a PosixPath" in answer.output


def tensorboard_is_there():
    return bool(find_spec("tensorboard") or find_spec("tensorboardX"))


@pytest.mark.skipif(not tensorboard_is_there(), reason="TensorBoard is not installed")
def test_tensorboard_logs_are_written(tmp_path):
    answer = course(*SMALL, "--log", "tensorboard", "-o", str(tmp_path))
    assert answer.exit_code == 0, answer.output
    assert list((tmp_path / "logs/student/seed-0").rglob("events.out.tfevents.*"))


@pytest.mark.skipif(tensorboard_is_there(), reason="TensorBoard is installed")
def test_tensorboard_logs_name_the_package_that_is_missing(tmp_path):
    answer = course("--log", "tensorboard", "-o", str(tmp_path))
    assert answer.exit_code == 2
    assert "--log tensorboard needs tensorboard: pip install tensorboard" in answer.output


def test_asked_to_end_it_keeps_a_checkpoint_and_begun_again_it_ends_with_the_same_numbers(tmp_path):
    """Without the request there would be no checkpoint before the last step."""
    whole, ended = tmp_path / "whole", tmp_path / "ended"
    settings = [*SMALL, "--epochs", "200", "--teacher-epochs", "1", "--checkpoint-every", "200"]
    assert course(*settings, "-o", str(whole)).exit_code == 0
    process = started(*settings, "-o", str(ended))
    while process.poll() is None and not list((ended / "logs/student/seed-0").rglob("metrics.csv")):
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "the system asked to end" in errors
    assert "the same call resumes there" in " ".join(errors.split())
    (kept,) = (ended / "student/seed-0").glob("*.ckpt")
    assert 0 < int(kept.stem.removeprefix("step-")) < 600
    assert course(*settings, "-o", str(ended)).exit_code == 0
    assert students(ended)[1] == students(whole)[1]


def test_asked_to_end_before_any_training_it_ends_at_once():
    with pytest.raises(SystemExit) as ended, ending_in_order():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM


@pytest.mark.xdist_group("forked")
def test_killed_at_random_moments_and_begun_again_it_ends_with_the_same_numbers(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = [*SMALL, "--seeds", "2"]
    assert course(*settings, "-o", str(whole)).exit_code == 0
    moments = random.Random(0)
    for training in ("teacher", "student/seed-0", "student/seed-1"):
        process = start(distils, *settings, "-o", str(killed))
        while process.is_alive() and not list((killed / training).glob("*.ckpt")):
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.02))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"it was to be killed after {training} had begun"
    before = {path: path.stat().st_mtime_ns for path in (killed / "teacher").iterdir()}
    process = start(distils, *settings, "-o", str(killed))
    process.join()
    assert process.exitcode == 0
    assert students(killed)[1] == students(whole)[1]
    assert {path: path.stat().st_mtime_ns for path in (killed / "teacher").iterdir()} == before, (
        "not repeated"
    )


def test_two_processes_have_the_losses_of_one(tmp_path):
    if not distributed.is_available() or not distributed.is_gloo_available():
        pytest.skip("this PyTorch has no gloo")
    # No dropout: each process would draw its own.
    settings = [*SMALL, "--dropout", "0", "--loss", "soft_target=0.9", "--loss", "gradient_matching=0.1"]
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    process = started(*settings, "-o", str(tmp_path / "two"), python=torchrun)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 0, error[-3000:]
    assert course(*settings, "-o", str(tmp_path / "one")).exit_code == 0
    two, one = students(tmp_path / "two")[0], students(tmp_path / "one")[0]
    assert two["provenance"]["processes"] == 2
    assert two["provenance"]["peak_memory_bytes"] > 1e8
    for name, values in one["students"]["student"][0]["losses"].items():
        assert two["students"]["student"][0]["losses"][name] == pytest.approx(values, rel=1e-2)
    assert two["students"]["student"][0]["test_accuracy"] == pytest.approx(
        one["students"]["student"][0]["test_accuracy"], abs=1
    )
