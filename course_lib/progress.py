"""One progress bar for everything that takes long: in a terminal or a live notebook, silent elsewhere."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

# Told (done, total) from time to time. What it raises stops the work.
Progress = Callable[[int, int], None]


class Stopped(Exception):
    """A running piece of work was asked to stop; raised by a ``Progress``."""


@contextmanager
def progress_bar(
    description: str, total: int, shown: bool | Progress = True
) -> Iterator[Callable[[int], None]]:
    """Show a bar inside the ``with`` block and give back the function that advances it.

    Silent where nobody would see it live: when the output is a file or a pipe, or ``COURSE_PROGRESS=0`` is set, as
    it is when notebooks are executed to be stored.

    Args:
        description: what is being done, in a few words.
        total: number of units of work.
        shown: False for no bar at all; a function is called with ``(done, total)`` in place of a bar, and may raise
            ``Stopped``.
    """
    if callable(shown):
        yield _teller(shown, total)
        return
    console = Console()
    live = console.is_terminal or console.is_jupyter
    if not shown or not live or os.environ.get("COURSE_PROGRESS") == "0":
        yield lambda units=1: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda units=1: bar.advance(task, units)


def _teller(tell: Progress, total: int) -> Callable[[int], None]:
    done = 0

    def advance(units: int = 1) -> None:
        nonlocal done
        done += units
        tell(done, total)

    return advance
