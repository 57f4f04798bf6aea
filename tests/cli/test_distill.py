"""``course distill``: its flags, killed and gone on, and in two processes under torchrun."""

import csv
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

import pytest
from torch import distributed
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.distillation import Plan

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
            "precision '12-bit' or the number of devices is refused",
        ),
    ],
)
def test_wrong_flags_are_answered_in_a_sentence(arguments, words, tmp_path):
    answer = course(*arguments, "-o", str(tmp_path))
    assert answer.exit_code == 2
    assert words in answer.output
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    bool(find_spec("tensorboard") or find_spec("tensorboardX")), reason="TensorBoard is installed"
)
def test_tensorboard_logs_name_the_package_that_is_missing(tmp_path):
    answer = course("--log", "tensorboard", "-o", str(tmp_path))
    assert answer.exit_code == 2
    assert "--log tensorboard needs tensorboard: pip install tensorboard" in answer.output


def test_killed_at_random_moments_and_begun_again_it_ends_with_the_same_numbers(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    settings = [*SMALL, "--seeds", "2"]
    start = time.monotonic()
    assert started(*settings, "-o", str(whole)).wait() == 0
    lasted = time.monotonic() - start
    moments = random.Random(0)
    for _ in range(3):
        process = started(*settings, "-o", str(killed))
        time.sleep(lasted * moments.uniform(0.5, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = started(*settings, "-o", str(killed))
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert students(killed)[1] == students(whole)[1]


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
