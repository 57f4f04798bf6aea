"""The whole recipe on digits: what it leaves behind, that it goes on, and what it refuses."""

import json
from dataclasses import replace

import nbformat
import pytest
import torch

from course_lib.data import load
from course_lib.distillation import Report, distill, load_teacher
from course_lib.distillation import recipe as module
from course_lib.errors import CourseError
from course_lib.measure import accuracy
from course_lib.runner import plan as make_plan
from course_lib.runner.execute import run_notebook
from course_lib.training import Checkpoints, LiveTeacher, TeacherCache, fit, teacher_logits


def test_a_distillation_leaves_a_report_a_page_a_teacher_and_checkpoints(plan, tmp_path):
    report = distill(plan, tmp_path)
    assert Report.read(tmp_path / "report.json") == report
    page = (tmp_path / "report.html").read_text()
    for words in ("soft_target", "hard labels", "data:image/png", "points of test accuracy"):
        assert words in page
    assert "http" not in page.replace("http-equiv", "")
    digits = load("digits")
    teacher = load_teacher(tmp_path / "teacher.pt", digits)
    found = 100 * float(accuracy(teacher_logits(teacher, digits.test), digits.test.labels))
    assert report.teacher.test_accuracy == pytest.approx(found)
    assert report.teacher.test_agreement == 100
    assert [each.seed for each in report.students["student"]] == [0, 1]
    assert report.students["student"][0].steps == 2 * 3
    assert [each["step"] for each in report.students["student"][0].watched] == [3, 6]
    assert set(report.students["student"][0].losses) == {"hard", "soft_target", "total"}
    assert report.gain().pairs == 2
    assert len(Checkpoints(tmp_path / "baseline" / "seed-1").files()) == 2


def test_called_again_it_goes_on_and_repeats_nothing(plan, tmp_path, monkeypatch):
    first = distill(plan, tmp_path / "whole")
    trained = []

    def stopping(*arguments, **settings):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(settings["seed"])
        return fit(*arguments, **settings)

    monkeypatch.setattr(module, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        distill(plan, tmp_path / "stopped")
    monkeypatch.setattr(module, "fit", fit)
    second = distill(plan, tmp_path / "stopped")
    for name, several in first.students.items():
        for one, other in zip(several, second.students[name], strict=True):
            assert one.losses == other.losses
            assert one.test_loss == other.test_loss


def test_the_teacher_of_one_distillation_serves_another(plan, tmp_path):
    distill(replace(plan, seeds=1, baseline=False), tmp_path / "one")
    losses = [("logit", 1.0), ("gradient_matching", 0.1), ("angle", 1.0)]
    report = distill(
        replace(plan, losses=losses, seeds=1), tmp_path / "two", teacher=tmp_path / "one" / "teacher.pt"
    )
    assert not (tmp_path / "two" / "teacher.pt").exists()
    assert set(report.students["student"][0].losses) == {"logit", "gradient_matching", "angle", "total"}
    assert report.teacher.steps == 0


def test_answers_take_the_form_that_is_less_work(plan, tmp_path):
    digits = load("digits")
    engine = module.Engine(module.Fabric(accelerator="cpu", devices=1), tmp_path, progress=False)
    big = module.alexnet((1, 8, 8), 10, width=1 / 64, dropout=0.0)

    def form(**settings):
        made = replace(plan, **settings)
        return module._answering(made, big, digits.train.subset(20, seed=0), made.views(digits), engine)

    assert form(losses=[("hard", 1.0)]) is None
    assert isinstance(form(), TeacherCache)
    assert isinstance(form(augment="yes", shift=1, epochs=4), LiveTeacher)  # 9 views against 8 passes
    kept = form(augment="yes", shift=1, epochs=5)
    assert kept.logits.shape == (20, 9, 10)
    assert isinstance(form(augment="yes", shift=1, epochs=5, answers="live"), LiveTeacher)
    assert isinstance(form(augment="yes", shift=1, epochs=1, answers="cached"), TeacherCache)
    matching = [("gradient_matching", 1.0)]
    assert form(losses=matching).gradients.shape == (20, 1, 1, 8, 8)
    assert form(losses=matching, soft_matrix="class").gradients.shape == (20, 10, 1, 8, 8)
    assert isinstance(form(losses=matching, augment="yes", shift=1, epochs=50), LiveTeacher)


def test_students_trained_together_are_those_trained_one_by_one(plan, tmp_path):
    one_by_one = distill(plan, tmp_path / "alone")
    together = distill(plan, tmp_path / "together", teacher=tmp_path / "alone" / "teacher.pt", together=True)
    for name, several in one_by_one.students.items():
        for alone, stacked in zip(several, together.students[name], strict=True):
            assert stacked.seed == alone.seed
            for term, values in alone.losses.items():
                assert stacked.losses[term] == pytest.approx(values, rel=1e-3)
    first, second = together.students["student"]
    assert first.losses["soft_target"][0] != second.losses["soft_target"][0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "teacher must be a file, got .* which does not exist"),
        (b"not a teacher", "is not a teacher of course distill"),
        ({"settings": {"image_shape": [3, 32, 32], "num_classes": 10}, "weights": {}}, "is a teacher for"),
    ],
)
def test_a_teacher_that_is_none_or_of_other_data_is_refused(plan, tmp_path, content, words):
    path = tmp_path / "teacher.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CourseError, match=words):
        distill(plan, tmp_path / "out", teacher=path)


def test_a_folder_of_another_plan_is_refused(plan, tmp_path):
    small = replace(plan, seeds=1, baseline=False)
    distill(small, tmp_path)
    with pytest.raises(CourseError, match="another objective"):
        distill(replace(small, temperature=2.0), tmp_path)


def test_a_report_that_is_none_is_refused(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({"plan": {}}))
    with pytest.raises(CourseError, match="is not a report of a distillation"):
        Report.read(tmp_path / "report.json")


def test_a_notebook_keeps_its_figures(plan, tmp_path, make_notebook):
    """The page is drawn without pyplot: else the first figure of a process is not the notebook's own."""
    settings = {key: value for key, value in plan.values().items() if key != "losses"}
    code = f"from course_lib.distillation import Plan, distill\ndistill(Plan(**{settings}), {str(tmp_path / 'out')!r});"
    path = make_notebook("00_n", code, "import matplotlib.pyplot as plt; plt.subplots();")
    result = run_notebook(make_plan(path), tmp_path / "done.ipynb")
    assert result.failure is None
    shown = nbformat.read(result.output, as_version=4).cells[-1].outputs
    assert any("image/png" in output.get("data", {}) for output in shown)
