"""A training that ends as if it was killed, within the process."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from course_lib.training.checkpoint import CheckpointWriter


class Stopped(BaseException):
    """Like a kill, but within the process."""


@contextmanager
def stopped_after(step: int) -> Iterator[None]:
    """Inside the ``with`` block a training stops right after the checkpoint of this step, which it must reach."""
    save = CheckpointWriter.save

    def saved(self, done, *arguments, **more):
        save(self, done, *arguments, **more)
        if done == step:
            raise Stopped

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CheckpointWriter, "save", saved)
        with pytest.raises(Stopped):
            yield
