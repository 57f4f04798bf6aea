"""Ending in order: a queue or a shutdown asks with SIGTERM, waits a little, and kills."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from lightning_fabric import Fabric

from course_lib.errors import CourseError

EXIT_CODE = 128 + signal.SIGTERM  # as a shell reports a process that the signal ended


class Terminated(CourseError):
    """A training ended because the system asked for it; where it keeps checkpoints, what it had done is in one."""


class _Request:
    """Whether the system has asked, and whether a training is there to answer."""

    def __init__(self) -> None:
        self.made, self.trainings = False, 0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.made = True
        if not self.trainings:
            raise SystemExit(EXIT_CODE)


_request = _Request()


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Inside, SIGTERM lets a training write a checkpoint before it ends with ``Terminated``; all else ends at once.

    For programs, in their main thread: a library must not take signals from who uses it.
    """
    before = signal.signal(signal.SIGTERM, _request)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _request.made = False


@contextmanager
def answering_requests() -> Iterator[None]:
    """Inside, somebody looks at ``asked_to_end`` from time to time."""
    _request.trainings += 1
    try:
        yield
    finally:
        _request.trainings -= 1


def asked_to_end(fabric: Fabric) -> bool:
    """Whether the system has asked the first process; all processes must look at the same step."""
    return fabric.broadcast(_request.made) if fabric.world_size > 1 else _request.made
