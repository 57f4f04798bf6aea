"""One progress bar for everything that takes long: in a terminal or a live notebook, silent elsewhere."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(description: str, total: int, enabled: bool = True) -> Iterator[Callable[[int], None]]:
    """Show a bar inside the ``with`` block and give back the function that advances it.

    Silent where nobody would see it live: when the output is a file or a pipe, or ``COURSE_PROGRESS=0`` is set, as
    it is when notebooks are executed to be stored.

    Args:
        description: what is being done, in a few words.
        total: number of units of work.
        enabled: False for no bar at all.
    """
    console = Console()
    live = console.is_terminal or console.is_jupyter
    if not enabled or not live or os.environ.get("COURSE_PROGRESS") == "0":
        yield lambda units=1: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda units=1: bar.advance(task, units)
