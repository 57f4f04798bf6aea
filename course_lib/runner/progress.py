"""Shows how far a run has come: bars on a terminal, and one line per event where the output goes to a file."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Bars:
    """A bar for all notebooks, and below it one for the cells of each notebook that runs now."""

    def __init__(self, console: Console, total: int) -> None:
        count, unit = MofNCompleteColumn(), TextColumn("{task.fields[unit]}")
        columns = (TextColumn("{task.description}"), BarColumn(), count, unit, TimeElapsedColumn())
        self._progress = Progress(*columns, console=console)
        self._total = self._progress.add_task("[bold]course", total=total, unit="notebooks")
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def begin(self, name: str, cells: int) -> None:
        self._tasks[name] = self._progress.add_task(name, total=cells, unit="cells")

    def cell(self, name: str, done: int) -> None:
        self._progress.update(self._tasks[name], completed=done)

    def end(self, name: str, cells: int, ok: bool, seconds: float) -> None:
        colour = "green" if ok else "red"
        if ok:
            self._progress.update(self._tasks[name], completed=cells)
        self._progress.stop_task(self._tasks[name])
        self._progress.update(self._tasks[name], description=f"[{colour}]{name}")
        self._progress.advance(self._total)


class Lines:
    """The same events as lines of text."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._begun = 0

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def begin(self, name: str, cells: int) -> None:
        self._begun += 1
        self._print(f"[{self._begun}/{self._total}] {name}: {cells} cells ...")

    def cell(self, name: str, done: int) -> None:
        pass

    def end(self, name: str, cells: int, ok: bool, seconds: float) -> None:
        self._print(f"{'[OK]' if ok else '[FAIL]'} {name}: {seconds:.1f} s")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)


def progress(console: Console, total: int) -> Bars | Lines:
    """Bars where ``console`` is a terminal, lines elsewhere."""
    return Bars(console, total) if console.is_terminal else Lines(console, total)
