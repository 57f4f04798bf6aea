"""Data, networks and losses of a user's own: pictures in folders, any module, losses with parameters."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.data import Dataset, Examples, load
from course_lib.distillation import Plan, Report, distill, load_network
from course_lib.errors import CourseError
from course_lib.losses import hard_label_loss
from course_lib.training import (
    Checkpoints,
    Objective,
    Term,
    student_activation,
    teacher_activation,
    teacher_logits,
)

NETS = """
from torch import nn

def small(num_classes):
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 7 * 7, num_classes))

def normed(image_shape, num_classes):
    return nn.Sequential(nn.Conv2d(image_shape[0], 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
                         nn.Flatten(), nn.Linear(32, num_classes))
"""
QUICK = Plan(epochs=2, teacher_epochs=2, batch_size=16, checkpoint_every=1, seeds=2, baseline=True)


def pictures(folder, classes=("cats", "dogs"), each=20):
    """Classes that differ in brightness."""
    generator = torch.Generator().manual_seed(0)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for picture in range(each):
            noise = torch.randint(0, 100, (24, 30, 3), generator=generator) + 120 * number
            Image.fromarray(noise.byte().numpy()).save(folder / name / f"{picture}.png")
    return folder


def features(n=120):
    """Three classes of points, as floating-point numbers and not as pictures."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    points = torch.randn(n, 6, generator=generator) + labels[:, None]
    cuts = ((0, n // 2), (n // 2, 3 * n // 4), (3 * n // 4, n))
    parts = [Examples(inputs=points[a:b], labels=labels[a:b], index=torch.arange(a, b)) for a, b in cuts]
    return Dataset("points", "points", ("a", "b", "c"), *parts)


def perceptron(width=8):
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A module of the user's in the current folder."""
    (tmp_path / "usernets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield "usernets"
    sys.modules.pop("usernets", None)


def test_the_command_line_takes_a_folder_of_pictures_and_functions_of_the_users(tmp_path, nets):
    folder = pictures(tmp_path / "pets")
    arguments = [
        *(
            "distill",
            "--data",
            str(folder),
            "--size",
            "16",
            "--epochs",
            "2",
            "--batch-size",
            "8",
            "--seeds",
            "2",
        ),
        *(
            "--student",
            f"{nets}:small",
            "--teacher",
            f"{nets}:normed",
            "--accelerator",
            "cpu",
            "--shift",
            "1",
        ),
    ]
    run = CliRunner()
    answer = run.invoke(app, [*arguments, "-o", "first"], env={"COURSE_PROGRESS": "0"})
    assert answer.exit_code == 0, answer.output
    report = Report.read(tmp_path / "first" / "report.json")
    assert report.data == "pets"
    assert (report.plan["student"], report.plan["teacher"]) == ("usernets.small", "usernets.normed")
    assert report.teacher.steps > 0
    assert "usernets.small" in (tmp_path / "first" / "report.html").read_text()
    # The trained teacher serves another distillation.
    weights = ("--teacher-weights", "first/teacher.pt")
    answer = run.invoke(app, [*arguments, *weights, "-o", "second"], env={"COURSE_PROGRESS": "0"})
    assert answer.exit_code == 0, answer.output
    second = Report.read(tmp_path / "second" / "report.json")
    assert second.teacher.steps == 0
    assert second.teacher.test_accuracy == report.teacher.test_accuracy
    # And with its running means: the file holds buffers too.
    kept = load_network("first/teacher.pt", build=f"{nets}:normed")
    assert kept[1].num_batches_tracked > 0


def test_weights_of_a_teacher_without_its_function_are_refused(tmp_path):
    answer = CliRunner().invoke(
        app, ["distill", "--data", "digits", "--teacher-weights", str(tmp_path / "t.pt")]
    )
    assert answer.exit_code != 0
    assert "--teacher-weights goes with --teacher MODULE:FUNCTION" in " ".join(answer.output.split())


def test_any_data_set_and_any_networks_are_distilled_and_resumed_to_the_bit(tmp_path):
    data, settings = features(), {"student": perceptron, "teacher": lambda: perceptron(64)}
    whole = distill(QUICK, tmp_path / "whole", data=data, **settings)
    assert whole.data == whole.plan["data"] == "points"
    distill(QUICK, tmp_path / "again", data=data, **settings)
    Checkpoints(tmp_path / "again" / "student" / "seed-1").files()[0].unlink()
    resumed = distill(QUICK, tmp_path / "again", data=data, **settings)
    assert [each.losses for each in resumed.students["student"]] == [
        each.losses for each in whole.students["student"]
    ]
    model = load_network(tmp_path / "whole" / "student" / "seed-1.pt", build=perceptron)
    right = (teacher_logits(model, data.test).argmax(dim=1) == data.test.labels).double().mean()
    assert 100 * float(right) == pytest.approx(whole.students["student"][1].test_accuracy)


def test_a_trained_network_teaches_as_it_is_and_so_does_a_function_with_no_epochs(tmp_path):
    data = features()
    torch.manual_seed(0)
    big = perceptron(64)
    before = [each.clone() for each in big.parameters()]
    first = distill(QUICK, tmp_path / "module", data=data, student=perceptron, teacher=big)
    assert first.teacher.steps == 0
    assert first.teacher_file == "Sequential"
    assert all(map(torch.equal, before, big.parameters()))
    untrained = replace(QUICK, teacher_epochs=0)
    second = distill(untrained, tmp_path / "function", data=data, student=perceptron, teacher=lambda: big)
    assert second.students["student"][0].losses == first.students["student"][0].losses


def test_an_objective_with_a_projector_reads_layers_of_both_and_is_named_in_the_report(tmp_path):
    """FitNets (Romero et al. 2015) in a few lines, on features and on pictures with views."""
    data = features()

    class Projector(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Linear(8, 64)

        def forward(self, mine, theirs):
            return (self.map(mine) - theirs).square().mean()

    hint = Term("hint", Projector(), mine=student_activation("1"), theirs=teacher_activation("1"), weight=0.1)
    objective = Objective([Term("hard", hard_label_loss), hint])
    report = distill(
        QUICK, tmp_path, data=data, student=perceptron, teacher=lambda: perceptron(64), objective=objective
    )
    assert report.plan["losses"] == [["hard", 1.0], ["hint", 0.1]]
    assert set(report.students["student"][0].losses) == {"hard", "hint", "total"}
    assert "0.1 · hint" in (tmp_path / "report.html").read_text()
    assert json.loads((tmp_path / "report.json").read_text())["plan"]["student"].endswith("perceptron")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"student": perceptron()}, "student must be a function that makes a network, got a Sequential"),
        ({"student": "perceptron"}, "must be named package.module:function, got 'perceptron'"),
        ({"student": "no_such_package:net"}, "'no_such_package:net' cannot be imported"),
        ({"student": "torch.nn:no_such"}, "'torch.nn:no_such' cannot be imported"),
        ({"student": lambda: 3}, "student must make a torch.nn.Module, got int"),
        (
            {"student": lambda: nn.Linear(5, 3)},
            r"student cannot take inputs \(2, 6\) of points: RuntimeError",
        ),
        (
            {"student": lambda: nn.Linear(6, 4)},
            r"student must give logits of shape \(2, 3\) for points, got \(2, 4\)",
        ),
        ({"teacher": nn.Linear(6, 4)}, r"teacher must give logits of shape \(2, 3\)"),
        ({"teacher": "nowhere.pt"}, "no network can be read from nowhere.pt: it is not a file"),
    ],
)
def test_what_does_not_fit_is_answered_before_anything_is_trained(settings, words, tmp_path):
    networks = {"student": perceptron, "teacher": perceptron} | settings
    with pytest.raises(CourseError, match=words):
        distill(QUICK, tmp_path / "x", data=features(), **networks)
    assert not (tmp_path / "x").exists()


def test_an_alexnet_without_training_is_no_teacher(tmp_path):
    with pytest.raises(CourseError, match="teacher_epochs must be at least 1 for AlexNet"):
        distill(replace(QUICK, data="digits", teacher_epochs=0), tmp_path)


def test_a_file_of_ones_own_network_asks_for_its_function(tmp_path):
    distill(QUICK, tmp_path, data=features(), student=perceptron, teacher=lambda: perceptron(64))
    with pytest.raises(CourseError, match=r"perceptron made: give that function as build"):
        load_network(tmp_path / "student" / "seed-0.pt")


def test_a_folder_is_split_by_the_plan(tmp_path):
    plan = Plan(data=str(pictures(tmp_path / "pets", each=40)), size=16, validation=0.25)
    data = plan.dataset()
    assert [len(part) for part in (data.train, data.validation, data.test)] == [48, 16, 16]
    assert data.image_shape == (3, 16, 16)
    assert plan.views(data) is not None
    assert replace(plan, data="digits").views(load("digits")) is None


def test_a_student_that_cannot_be_trained_is_refused_before_its_teacher_is_trained(tmp_path):
    def normed():
        return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))

    def teacher():
        return perceptron(16)

    for plan, settings, words in (
        (replace(QUICK, losses=[("gradient", 0.1)]), {}, "BatchNorm1d layer .'1'.* couples the examples"),
        (QUICK, {"together": True}, "BatchNorm1d layer .'1'.* cannot be trained in a stack"),
    ):
        with pytest.raises(CourseError, match=words):
            distill(plan, tmp_path / "out", data=features(), student=normed, teacher=teacher, **settings)
        assert not (tmp_path / "out").exists()
    report = distill(QUICK, tmp_path / "out", data=features(), student=normed, teacher=teacher)
    assert len(report.students) == 2
