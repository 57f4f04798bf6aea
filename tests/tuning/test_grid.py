"""The grid: each cell is what a student trained alone achieves, and the file of results keeps all of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.data import load
from course_lib.errors import CourseError
from course_lib.measure import accuracy
from course_lib.models import small_mlp
from course_lib.progress import Stopped
from course_lib.training import Recipe, fit, hard_labels, soft_targets, teacher_logits
from course_lib.tuning import (
    Exam,
    Grid,
    GridRecord,
    Setting,
    examine,
    prepare,
    train_grid,
    train_grids,
    train_teacher,
)

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"
AXES = {"temperatures": [1.0, 8.0], "lams": [0.0, 0.5, 1.0], "seeds": [3, 5]}


@pytest.fixture(scope="module")
def grid(task):
    return train_grid(task, **AXES)


def alone(task, objective, seed, part):
    few = task.dataset.train.subset(task.labels, seed=seed)
    model = fit(small_mlp, objective, few, task.recipe, seed=seed, teacher=task.teacher).model
    return 100 * float(accuracy(teacher_logits(model, part), part.labels))


@pytest.mark.parametrize(("row", "column"), [(0, 1), (1, 1), (1, 2)])
@pytest.mark.parametrize("place", [0, 1])
def test_a_cell_is_the_accuracy_of_its_student_trained_alone(task, grid, row, column, place):
    objective = soft_targets(AXES["temperatures"][row], AXES["lams"][column])
    expected = alone(task, objective, AXES["seeds"][place], task.dataset.validation)
    assert grid.validation[row, column, place] == pytest.approx(expected)


def test_without_soft_targets_every_row_holds_the_hard_labels(task, grid):
    expected = [alone(task, hard_labels(), seed, task.dataset.validation) for seed in AXES["seeds"]]
    np.testing.assert_allclose(grid.hard, expected)
    np.testing.assert_allclose(grid.validation[:, 0], [expected, expected])


def test_a_grid_without_zero_has_its_hard_labels_too(task, grid):
    other = train_grid(task, **AXES | {"lams": [0.5, 1.0]})
    np.testing.assert_array_equal(other.validation, grid.validation[:, 1:])
    np.testing.assert_array_equal(other.hard, grid.hard)


def test_the_exam_reads_test_images_with_the_chosen_setting(task):
    exam = examine(task, Setting("soft targets", 8.0, 0.5), [1, 2])
    for row, objective in (
        (exam.best, soft_targets(8.0, 0.5)),
        (exam.default, soft_targets(4.0, 0.9)),
        (exam.hard, hard_labels()),
    ):
        np.testing.assert_allclose(row, [alone(task, objective, seed, task.dataset.test) for seed in (1, 2)])


def made(cells):
    values = np.array(cells, dtype=float)
    rows, columns, seeds = values.shape
    axes = tuple(range(1, rows + 1)), tuple(np.linspace(0.1, 1, columns)), tuple(range(seeds))
    return Grid(*axes, values, values[0, 0])


def test_best_cell_and_its_neighbourhood_by_hand():
    # Mean gaps to the last cell are 4, 1 and 1; their standard errors 0, 1/√3 and √3.
    grid = made([[[86, 88, 90], [90, 91, 92]], [[87, 91, 95], [90, 92, 94]]])
    assert grid.place == (1, 1)
    assert (grid.best.temperature, grid.best.lam) == (2, 1.0)
    assert grid.within_one_standard_error().tolist() == [[False, False], [True, True]]


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"temperatures": []}, "temperatures"),
        ({"temperatures": [2.0, 1.0]}, "temperatures"),
        ({"temperatures": [0.0, 1.0]}, "temperature"),
        ({"lams": [0.5, 0.5]}, "lams"),
        ({"lams": [0.5, 1.5]}, "lam"),
        ({"seeds": [1]}, "seeds"),
        ({"seeds": [1, 1]}, "seeds"),
    ],
)
def test_axes_that_cannot_be_trained_are_refused(task, changed, word):
    with pytest.raises(CourseError, match=f"^{word} must"):
        train_grid(task, **AXES | changed)


def test_a_record_comes_back_as_it_was_written(tmp_path):
    grid, exam = made([[[86.254, 88], [90, 91]]]), Exam((7, 8), *np.array([[90, 91.0], [89, 90], [80, 81]]))
    about = {"data": "digits", "labels": 50, "commit": "abc"}
    GridRecord(grid, exam, about).write(tmp_path / "new" / "grid.json")
    back = GridRecord.read(tmp_path / "new" / "grid.json")
    assert (back.grid.temperatures, back.grid.lams, back.grid.seeds) == ((1,), (0.1, 1.0), (0, 1))
    np.testing.assert_array_equal(back.grid.validation, [[[86.25, 88], [90, 91]]])
    np.testing.assert_array_equal(back.grid.hard, [86.25, 88])
    assert back.exam.seeds == (7, 8)
    np.testing.assert_array_equal(
        [back.exam.best, back.exam.default, back.exam.hard], [exam.best, exam.default, exam.hard]
    )
    assert back.about.items() >= about.items()


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", '{"temperatures": 3}'])
def test_another_file_is_refused_in_words(tmp_path, content):
    path = tmp_path / "grid.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CourseError, match=r"^path must name a grid"):
        GridRecord.read(path)


def test_a_record_with_a_missing_row_is_refused(tmp_path):
    exam = Exam((7, 8), *np.ones((3, 2)))
    GridRecord(made([[[86, 88]], [[86, 88]]]), exam).write(tmp_path / "grid.json")
    content = json.loads((tmp_path / "grid.json").read_text())
    content["validation"].pop()
    (tmp_path / "grid.json").write_text(json.dumps(content))
    with pytest.raises(CourseError, match="every cell and seed"):
        GridRecord.read(tmp_path / "grid.json")


@pytest.mark.parametrize("labels", [50, 200, 1200])
def test_committed_results_say_what_they_are_and_agree_with_themselves(labels):
    path = RESULTS / f"tuning_grid_digits_{labels}.json"
    record, content = GridRecord.read(path), json.loads(path.read_text())
    assert {"what", "date", "command", "machine", "versions", "commit", "profile", "steps"} <= content.keys()
    assert (content["data"], content["labels"]) == ("digits", labels)
    assert f"--labels {labels}" in content["command"]
    grid = record.grid
    assert len(grid.temperatures) >= 8
    assert len(grid.lams) >= 8
    assert len(grid.seeds) >= 10
    assert (content["best"]["temperature"], content["best"]["lam"]) == (grid.best.temperature, grid.best.lam)
    assert content["best"]["validation"] == pytest.approx(grid.means.max(), abs=0.01)
    np.testing.assert_array_equal(
        grid.validation[:, 0], np.broadcast_to(grid.hard, (len(grid.temperatures), len(grid.seeds)))
    )
    assert not set(record.exam.seeds) & set(grid.seeds)


def test_grids_of_smaller_budgets_are_those_of_shorter_trainings(task):
    grids = train_grids(task, **AXES, keep=[5, 20])
    assert list(grids) == [5, 20]
    short = train_grid(replace(task, recipe=replace(task.recipe, steps=5)), **AXES)
    np.testing.assert_array_equal(grids[5].validation, short.validation)
    assert (grids[5].validation != grids[20].validation).any()


def test_the_teacher_of_a_task_can_be_trained_again(monkeypatch):
    monkeypatch.setattr("course_lib.tuning.settings.TEACHER_RECIPE", Recipe(steps=20))
    first, second = (
        prepare("digits", 50, recipe=Recipe(steps=1), seed=3),
        train_teacher(load("digits", seed=3), seed=3),
    )
    train = first.dataset.train
    torch.testing.assert_close(first.teacher.lookup(train), teacher_logits(second, train))


def test_a_grid_that_was_stopped_goes_on(task, grid, tmp_path, monkeypatch):
    monkeypatch.setattr("course_lib.tuning.grid._STEPS_BETWEEN", 10)

    def stop(done, total):
        if done > 10:
            raise Stopped

    told = []
    with pytest.raises(Stopped):
        train_grid(task, **AXES, folder=tmp_path, progress=stop)
    again = train_grid(task, **AXES, folder=tmp_path, progress=lambda done, total: told.append(done))
    assert told[0] == 10  # what was done when it was stopped
    np.testing.assert_array_equal(again.validation, grid.validation)
    with pytest.raises(CourseError, match="belongs to a training with another"):
        train_grid(task, **AXES | {"seeds": [3, 6]}, folder=tmp_path)


def test_an_exam_that_was_stopped_goes_on(task, tmp_path):
    first = examine(task, Setting("soft targets", 2.0, 0.5), [7, 8], folder=tmp_path)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.ckpt")}
    assert {path.parent.name for path in files} == {"best", "default", "hard"}
    again = examine(task, Setting("soft targets", 2.0, 0.5), [7, 8], folder=tmp_path)
    np.testing.assert_array_equal(
        [again.best, again.default, again.hard], [first.best, first.default, first.hard]
    )
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.ckpt")} == files


@pytest.mark.parametrize("labels", [9, 1201])
def test_a_wrong_number_of_labels_is_told_before_the_teacher_is_trained(labels, monkeypatch):
    monkeypatch.setattr("course_lib.tuning.settings.train_teacher", lambda *_, **__: pytest.fail("trained"))
    with pytest.raises(CourseError, match=rf"^labels must be from 10 .* to 1200 \(all\), got {labels}$"):
        prepare("digits", labels, recipe=Recipe(steps=1))
