"""The registry of methods: what is declared there in one line is found everywhere, under one name."""

import pytest
import torch
from typer.testing import CliRunner

from course_lib import show, tuning
from course_lib.cli import app
from course_lib.distillation import Plan
from course_lib.errors import CourseError
from course_lib.show.tuner import Panel, Session
from course_lib.training import (
    LOSSES,
    METHODS,
    Method,
    PerStudent,
    gradient,
    gradient_matching,
    gradient_penalty,
    named_objective,
    soft_targets,
)


def cubed_loss(student_logits, teacher_logits, power=3.0):
    return (student_logits - teacher_logits).abs().pow(power).mean()


@pytest.fixture
def made_up(monkeypatch):
    method = Method("made_up", cubed_loss, "cubes of logits", "logits, cubed", beside="hard", lams=(0.1, 10))
    monkeypatch.setitem(LOSSES, "made_up", method)
    return method


def test_one_line_gives_a_loss_its_place_on_the_command_line_and_in_plans(made_up):
    shown = CliRunner().invoke(app, ["distill", "--help"], env={"COLUMNS": "200"}).output
    assert "input_gradient, made_up." in " ".join(shown.replace("│", " ").split())
    (term,) = named_objective({"made_up": 0.5}, power=4.0, temperature=2.0).terms
    assert (term.name, term.loss, term.weight, term.settings) == ("made_up", cubed_loss, 0.5, {"power": 4.0})
    assert Plan(losses=[("made_up", 1.0)]).objective().names == ("made_up",)


def test_one_line_gives_a_loss_its_place_in_the_table_in_searches_and_in_the_panel(made_up, task):
    row = ("made_up", "cubes of logits", "logits, cubed", "hard + λ·made_up", "power", "")
    assert row in show.method_table().rows
    setting = tuning.Setting("cubes of logits", lam=2.0)
    assert str(setting) == "cubes of logits, λ = 2"
    assert ((values := task.validate(setting, [1, 2])) >= 0).all()
    assert len(values) == 2
    panel = Panel(task, 2, Session())
    assert "cubes of logits" in panel.method.options
    panel.method.value = "cubes of logits"
    assert "hard + λ·made_up" in panel.mix.value
    assert (10**panel.lam.min, 10**panel.lam.max) == pytest.approx(made_up.lams)


def test_a_name_and_a_title_mean_the_same_method():
    for name, each in LOSSES.items():
        assert each.name == name
        assert METHODS[name] is METHODS[each.title] is each
    assert list(METHODS) == [each.title for each in LOSSES.values()]
    assert tuning.Setting("soft_target") == tuning.Setting("soft targets")
    with pytest.raises(CourseError, match=r"method must be one of hard labels, .*got 'kl'"):
        tuning.Setting("kl")


def described(objective):
    return [
        (term.name, term.loss, term.weight, term.layers, term.settings, set(term.sources.values()))
        for term in objective.terms
    ]


@pytest.mark.parametrize(
    ("method", "objective"),
    [
        ("soft targets", soft_targets(2.0, 0.25)),
        ("gradient", gradient(0.25)),
        ("gradient matching", gradient_matching(0.25)),
        ("penalty", gradient_penalty(0.25)),
    ],
)
def test_a_search_trains_for_what_the_chapters_train_for(method, objective):
    def own(each):
        # The estimator of the chapters' objectives is said, and is the losses' default.
        return [
            (*most, {k: v for k, v in s.items() if k != "estimator"}, sources) for *most, s, sources in each
        ]

    assert own(described(METHODS[method].objective(2.0, 0.25))) == own(described(objective))


def test_a_mix_weighs_the_labels_with_what_lambda_leaves():
    assert METHODS["logits"].formula == "(1 − λ)·hard + λ·logits"
    lams = PerStudent([0.25, 1.0])
    hard, added = METHODS["logits"].objective(PerStudent([1.0, 1.0]), lams).terms
    assert (hard.weight.values, added.weight) == ((0.75, 0.0), lams)


def test_settings_are_those_of_the_loss_that_nobody_supplies():
    assert {name: each.options for name, each in LOSSES.items() if each.softens} == {
        "soft_target": ("temperature", "mask"),
        "spherical_soft_target": ("temperature",),
    }
    assert LOSSES["radius"].options == ()
    assert LOSSES["gradient_penalty"].options == ("target_norm", "eps")


def test_a_loss_with_parameters_has_a_line_like_any_other():
    class Scaled(torch.nn.Module):
        def forward(self, student_logits, labels, power=2.0):
            return student_logits.pow(power).mean()

    method = Method("scaled", Scaled())
    assert (method.title, method.symbol, method.formula) == ("scaled", "scaled", "scaled")
    assert method.options == ("power",)
    assert method.objective(1.0, 0.0).terms[0].module is method.loss


def test_a_setting_that_no_loss_has_is_refused():
    with pytest.raises(CourseError, match="settings must be of a loss, got estimater, which none has"):
        named_objective({"hard": 1.0}, estimater="hutchinson")
