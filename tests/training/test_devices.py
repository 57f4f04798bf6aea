"""Training on another device than the CPU, tried on PyTorch's device "meta", which computes shapes alone.

It refuses a tensor of the CPU among its own, and anybody who looks at a value, which on a GPU is to wait for it.
"""

import pytest
import torch

from course_lib.data import Views
from course_lib.losses import layer_response_loss
from course_lib.models import alexnet, small_mlp
from course_lib.training import (
    LOSSES,
    LiveTeacher,
    TeacherCache,
    cache_teacher,
    gradient_matching,
    named_objective,
)
from course_lib.training.batches import BatchSource
from course_lib.training.forward import Forward
from course_lib.training.stack import _stacked

META = torch.device("meta")


@pytest.fixture
def examples():
    from course_lib.data import load

    return load("digits").train.take(range(16))


def network():
    return alexnet((1, 8, 8), 10, width=1 / 64, dropout=0.0)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("views", [None, Views(1, flip=False)])
def test_a_step_with_a_live_teacher_stays_on_its_device_and_looks_at_no_value(
    examples, name, views, monkeypatch
):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)  # it does not know "meta"
    settings = {"temperature": 4.0, "estimator": "hutchinson", "target_norm": 1.0, "smoothing": 0.1}
    objective = named_objective({name: 0.5}, **settings)
    teacher, student = network().to(META), network().to(META)
    batches = BatchSource(
        objective, examples.to(META), LiveTeacher(teacher, torch.eye(10, device=META)[:, :2]), views
    )
    layers, differentiated = objective.student_layers, objective.differentiated
    with Forward(student, student, layers, differentiated) as forward:
        total, values = objective(forward(batches(torch.arange(4, device=META))))
        total.backward()
    assert values.device == META
    assert any(parameter.grad is not None for parameter in student.parameters())


def test_one_soft_matrix_comes_from_the_file_to_the_device(examples, tmp_path, monkeypatch):
    form = {"soft_matrix": torch.eye(10), "directory": tmp_path, "mapped": True}
    cache = cache_teacher(small_mlp(), examples, **form)
    monkeypatch.setattr(TeacherCache, "places", lambda cache, examples: torch.arange(len(examples)))
    batches = BatchSource(gradient_matching(), examples.to(META), cache)
    assert batches._matrices is not None
    assert batches._matrices.device == META


def test_students_are_stacked_where_they_are_trained():
    """A network that was moved before the others cannot be stacked with them."""
    skeleton, parameters = _stacked([small_mlp(), small_mlp()], META)
    assert {value.device for value in parameters.values()} == {META}
    assert next(skeleton.parameters()).device == META
    assert all(value.shape[0] == 2 and value.requires_grad for value in parameters.values())


def test_an_adapter_is_taken_to_the_responses(monkeypatch):
    """The device "meta" lets this mixture pass, so it is looked at what the product is given."""
    given = []
    monkeypatch.setattr(
        torch, "einsum", lambda words, *tensors: given.extend(tensors) or torch.zeros(2, 4, device=META)
    )
    layer_response_loss(torch.zeros(2, 3, device=META), torch.zeros(2, 4, device=META), torch.zeros(4, 3))
    assert [each.device for each in given] == [META, META]
