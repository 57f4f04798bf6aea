"""A distillation small enough to be done many times."""

import pytest

from course_lib.distillation import Plan


@pytest.fixture
def plan():
    return Plan(
        data="digits",
        epochs=2,
        teacher_epochs=2,
        checkpoint_every=1,
        batch_size=32,
        teacher_width=1 / 32,
        student_width=1 / 64,
        labels=96,
        seeds=2,
        baseline=True,
    )
