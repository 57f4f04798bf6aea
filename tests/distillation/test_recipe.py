"""The whole recipe on digits: what it leaves behind, that it goes on, and what it refuses."""

import gc
import json
import weakref
from dataclasses import replace

import nbformat
import pytest
import torch
from filelock import FileLock

from course_lib.data import load
from course_lib.distillation import Report, distill, load_network, trainings
from course_lib.distillation import page as page_module
from course_lib.distillation import plan as plan_module
from course_lib.distillation import recipe as module
from course_lib.distillation.answers import answering
from course_lib.distillation.networks import save_network
from course_lib.errors import CourseError
from course_lib.matrices import class_soft_matrix
from course_lib.measure import accuracy
from course_lib.models import alexnet
from course_lib.runner import plan as make_plan
from course_lib.runner.execute import run_notebook
from course_lib.training import Checkpoints, LiveTeacher, TeacherCache, fit, teacher_logits
from course_lib.training.checkpoint import CheckpointWriter

SETTINGS = {"image_shape": [3, 32, 32], "num_classes": 10, "width": 1 / 64, "dropout": 0.0}


def test_a_distillation_leaves_a_report_a_page_a_teacher_and_checkpoints(plan, tmp_path):
    report = distill(plan, tmp_path)
    assert Report.read(tmp_path / "report.json") == report
    page = (tmp_path / "report.html").read_text()
    for words in ("soft_target", "hard labels", "data:image/png", "points of test accuracy"):
        assert words in page
    assert "http" not in page.replace("http-equiv", "")
    digits = load("digits")
    files = {"teacher.pt": report.teacher}
    for name, several in report.students.items():
        files |= {f"{name}/seed-{seed}.pt": several[seed] for seed in (0, 1)}
    for name, reported in files.items():
        network = load_network(tmp_path / name, digits)
        assert not network.training
        found = 100 * float(accuracy(teacher_logits(network, digits.test), digits.test.labels))
        assert reported.test_accuracy == pytest.approx(found), name
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

    monkeypatch.setattr(trainings, "fit", stopping)
    # The traceback is kept, as a notebook keeps it, and with it all that the stopped call held.
    with pytest.raises(KeyboardInterrupt) as stopped:
        distill(plan, tmp_path / "stopped")
    monkeypatch.setattr(trainings, "fit", fit)
    found, restore = [], CheckpointWriter.restore

    def restored(self, **more):
        answer = restore(self, **more)
        found.append(answer[0])
        return answer

    monkeypatch.setattr(CheckpointWriter, "restore", restored)
    second = distill(plan, tmp_path / "stopped")
    assert stopped.tb is not None
    assert found == [2 * (1200 // 32), 6, 6, 0, 0], "the teacher and two students were there already"
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
    assert report.teacher_file == str(tmp_path / "one" / "teacher.pt")
    page = (tmp_path / "two" / "report.html").read_text()
    assert "one/teacher.pt" in page
    assert "teacher_epochs" not in page
    assert "teacher_epochs" in (tmp_path / "one" / "report.html").read_text()
    assert set(report.students["student"][0].losses) == {"logit", "gradient_matching", "angle", "total"}
    assert report.teacher.steps == 0


def test_answers_take_the_form_that_is_less_work(plan, tmp_path):
    digits = load("digits")
    fabric = module.Fabric(accelerator="cpu", devices=1)
    big = alexnet((1, 8, 8), 10, width=1 / 64, dropout=0.0)

    def form(**settings):
        made = replace(plan, **settings)
        settings = {"train": digits.train, "folder": tmp_path, "fabric": fabric, "progress": False}
        return answering(
            made, made.objective(), big, digits.train.subset(20, seed=0), made.views(digits), **settings
        )

    assert form(losses=[("hard", 1.0)]) is None
    assert isinstance(form(), TeacherCache)
    assert isinstance(form(augment="yes", shift=1, epochs=4), LiveTeacher)  # 9 views against 8 passes
    kept = form(augment="yes", shift=1, epochs=5)
    assert kept.logits.shape == (20, 9, 10)
    assert isinstance(form(augment="yes", shift=1, epochs=5, answers="live"), LiveTeacher)
    assert isinstance(form(augment="yes", shift=1, epochs=1, answers="cached"), TeacherCache)
    matching = [("gradient_matching", 1.0)]
    assert form(losses=matching).gradients.shape == (20, 1, 1, 8, 8)
    classes = form(losses=matching, soft_matrix="class")
    assert classes.gradients.shape == (20, 10, 1, 8, 8)
    logits = teacher_logits(big, digits.train)
    expected = class_soft_matrix(logits, digits.train.labels, plan.temperature, 10)
    assert torch.allclose(classes.soft_matrix, expected), "of all training images, not of the students'"
    assert isinstance(form(losses=matching, augment="yes", shift=1, epochs=50), LiveTeacher)


def test_students_trained_together_are_those_trained_one_by_one(plan, tmp_path):
    one_by_one = distill(plan, tmp_path / "alone")
    together = distill(plan, tmp_path / "together", teacher=tmp_path / "alone" / "teacher.pt", together=True)
    for name, several in one_by_one.students.items():
        for alone, stacked in zip(several, together.students[name], strict=True):
            assert stacked.seed == alone.seed
            for term, values in alone.losses.items():
                assert stacked.losses[term] == pytest.approx(values, rel=1e-3)
    assert (tmp_path / "together/student/seed-1.pt").exists()
    first, second = together.students["student"]
    assert first.losses["soft_target"][0] != second.losses["soft_target"][0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no network can be read from .*: it is not a file"),
        (b"not a teacher", "holds no network of course distill"),
        ([1, 2], "holds no network of course distill"),
        ({"settings": {"image_shape": [3, 32, 32]}, "weights": {}}, "holds no network of course distill"),
        ({"settings": {"image_shape": 5, "num_classes": 10}, "weights": {}}, "holds no network"),
        ({"settings": SETTINGS | {"widht": 1.0}, "weights": {}}, "holds no network of course distill"),
        ({"settings": SETTINGS, "weights": {}}, "holds no network of course distill"),
        ({"settings": SETTINGS, "weights": 1}, "holds no network of course distill"),
    ],
)
def test_a_teacher_that_is_none_is_refused_before_anything_is_done(plan, tmp_path, content, words):
    path = tmp_path / "teacher.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CourseError, match=words):
        distill(plan, tmp_path / "out", teacher=path)
    assert not (tmp_path / "out").exists()


def test_a_teacher_of_other_images_is_refused(plan, tmp_path):
    save_network(tmp_path / "teacher.pt", alexnet(**SETTINGS), SETTINGS)
    assert load_network(tmp_path / "teacher.pt").grid == (4, 4)
    with pytest.raises(CourseError, match=r"holds a network for \(3, 32, 32\) and 10 classes, not for"):
        distill(plan, tmp_path / "out", teacher=tmp_path / "teacher.pt")


@pytest.mark.parametrize("labels", [5, 5000])
def test_labels_that_are_too_few_or_too_many_are_refused_before_anything_is_trained(plan, tmp_path, labels):
    with pytest.raises(
        CourseError, match=f"labels must be from 10, one for each class, to all 1200 .* got {labels}"
    ):
        distill(replace(plan, labels=labels), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_more_students_are_added_to_a_finished_distillation(plan, tmp_path):
    """With views the teacher is asked live for one student of few epochs, and beforehand for many."""
    alone = replace(plan, augment="yes", shift=1, epochs=6, seeds=1, baseline=False)
    first = distill(alone, tmp_path)
    both = distill(replace(alone, seeds=2, checkpoint_every=2), tmp_path)
    assert list((tmp_path / "answers").iterdir()), "this time the answers were kept"
    old, new = first.students["student"][0], both.students["student"][0]
    assert replace(new, seconds=old.seconds) == old, "not trained again"
    assert len(both.students["student"]) == 2


def test_another_first_seed_gives_another_teacher_and_other_students(plan, tmp_path):
    small = replace(plan, baseline=False, labels=None, seeds=1)
    first, other = distill(small, tmp_path / "0"), distill(replace(small, seed=5), tmp_path / "5")
    assert other.students["student"][0].seed == 5
    assert other.teacher.seed == 5
    assert other.teacher.losses != first.teacher.losses
    assert other.students["student"][0].losses != first.students["student"][0].losses


def test_another_share_for_validation_gives_other_training_images(plan, tmp_path):
    report = distill(replace(plan, validation=0.5, labels=None, seeds=1, baseline=False), tmp_path)
    assert report.students["student"][0].steps == plan.epochs * (700 // 32)
    with pytest.raises(CourseError, match="another number of steps"):
        distill(replace(plan, validation=0.4, labels=None, seeds=1, baseline=False), tmp_path)


def test_two_distillations_do_not_work_in_one_folder(plan, tmp_path):
    tmp_path.joinpath("answers").mkdir()
    with FileLock(tmp_path / ".lock"):
        left = [tmp_path / ".part-left", tmp_path / "answers" / ".part-left"]
        for path in left:
            path.write_bytes(b"half")
        with pytest.raises(CourseError, match=r"another distillation is at work in .* delete .*\.lock"):
            distill(plan, tmp_path)
        assert all(path.exists() for path in left), "the other may be writing them"
    distill(replace(plan, seeds=1, baseline=False), tmp_path)
    assert not any(path.exists() for path in left)


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(plan, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CourseError, match=r"cannot write to .*file.out: Not a directory"):
        distill(plan, tmp_path / "file" / "out")


def test_the_numbers_are_safe_before_the_page_is_drawn(plan, tmp_path, monkeypatch):
    def no_fonts(report):
        raise RuntimeError("no fonts")

    monkeypatch.setattr(page_module, "page", no_fonts)
    with pytest.raises(RuntimeError, match="no fonts"):
        distill(replace(plan, seeds=1, baseline=False), tmp_path)
    assert Report.read(tmp_path / "report.json").students["student"]


def test_a_folder_of_another_plan_is_refused(plan, tmp_path):
    small = replace(plan, seeds=1, baseline=False)
    distill(small, tmp_path)
    with pytest.raises(CourseError, match="another objective"):
        distill(replace(small, temperature=2.0), tmp_path)


def test_a_report_that_is_none_is_refused(tmp_path):
    for content in ({"plan": {}}, {"students": []}, []):
        (tmp_path / "report.json").write_text(json.dumps(content))
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


def test_in_half_precision_the_teacher_answers_in_it_too(plan, tmp_path):
    torch.manual_seed(0)
    big = alexnet((1, 8, 8), 10, width=1 / 64, dropout=0.0).eval()
    some = load("digits").train.subset(64, seed=0)
    said = {}
    for precision in ("32-true", "bf16-mixed"):
        fabric = module.Fabric(accelerator="cpu", devices=1, precision=precision)
        settings = {"train": some, "folder": tmp_path, "fabric": fabric}
        said[precision] = answering(plan, plan.objective(), big, some, None, **settings).logits
        matching = replace(plan, losses=[("gradient_matching", 1.0)])
        slopes = answering(matching, matching.objective(), big, some, None, **settings)
        assert torch.equal(slopes.logits, teacher_logits(big, some)), "slopes are computed in float32"
    whole = teacher_logits(big, some)
    assert torch.equal(said["32-true"], whole)
    off = (said["bf16-mixed"] - whole).abs().max() / whole.abs().max()
    assert 0 < off < 0.02


@pytest.mark.parametrize(
    "spoil", [lambda value: value.flatten()[:1].fill_(7.0), lambda value: value.fill_(torch.nan)]
)
def test_a_network_whose_weights_were_changed_is_refused(tmp_path, spoil):
    path = tmp_path / "teacher.pt"
    save_network(path, alexnet(**SETTINGS), SETTINGS)
    kept = torch.load(path, weights_only=True)
    spoil(kept["weights"]["classifier.6.weight"])
    torch.save(kept, path)
    with pytest.raises(CourseError, match=r"teacher\.pt is damaged"):
        load_network(path)


def test_a_network_without_finite_weights_is_refused_and_one_that_is_there_is_not_written_again(tmp_path):
    path, network = tmp_path / "teacher.pt", alexnet(**SETTINGS)
    save_network(path, network, SETTINGS)
    before = path.stat().st_mtime_ns
    save_network(path, network, SETTINGS)
    assert path.stat().st_mtime_ns == before
    with torch.no_grad():
        network.classifier[6].weight[0, 0] = torch.inf
    save_network(path, network, SETTINGS)
    assert path.stat().st_mtime_ns > before
    with pytest.raises(CourseError, match="or not finite"):
        load_network(path)


def test_a_page_of_many_losses_has_three_in_a_row(plan, tmp_path):
    names = ("hard", "soft_target", "logit", "radius", "angle")
    report = distill(replace(plan, losses=[(name, 0.1) for name in names], seeds=1, baseline=False), tmp_path)
    figure = page_module._losses(report)
    assert [ax.get_title() for ax in figure.axes if ax.axison] == list(names)
    assert figure.get_size_inches()[0] < 12
    assert len({round(ax.get_position().y0, 3) for ax in figure.axes}) == 2


def test_logs_that_cannot_be_made_are_said_in_a_sentence(plan, tmp_path):
    def loggers(name):
        raise FileExistsError(17, "File exists", "logs")

    with pytest.raises(CourseError, match=r"cannot write the log of teacher: .*File exists"):
        distill(plan, tmp_path, loggers=loggers)


def test_nothing_large_is_left_behind(plan, tmp_path, monkeypatch):
    """Data sets of several distillations would pile up until Python looks for cycles, which counts no bytes."""
    loaded = []

    def watched(*arguments, **settings):
        dataset = load(*arguments, **settings)
        loaded.extend(weakref.ref(part) for part in (dataset, dataset.train, dataset.test))
        return dataset

    monkeypatch.setattr(plan_module, "load", watched)
    gc.collect()
    gc.disable()
    try:
        distill(replace(plan, augment="yes", shift=1), tmp_path)
        assert len(loaded) == 3
        assert all(each() is None for each in loaded)
    finally:
        gc.enable()
