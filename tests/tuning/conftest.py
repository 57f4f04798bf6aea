"""A task small enough for a test: the digits, an untrained teacher, few steps."""

import pytest
import torch

from course_lib.data import load
from course_lib.matrices import class_soft_matrix
from course_lib.models import small_mlp
from course_lib.training import Recipe, cache_teacher, teacher_logits
from course_lib.tuning import Task


@pytest.fixture(scope="session")
def task():
    digits = load("digits", seed=0)
    torch.manual_seed(0)
    teacher = small_mlp()
    answers = teacher_logits(teacher, digits.train)
    matrix = class_soft_matrix(answers, digits.train.labels, 4.0, 10)
    return Task(digits, cache_teacher(teacher, digits.train, soft_matrix=matrix), 20, Recipe(steps=20))
