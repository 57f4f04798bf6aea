"""What a run shows while it goes on: bars on a terminal, a few plain lines in a file."""

import io
import re

from rich.console import Console

from course_lib.runner.progress import progress


def show(terminal):
    out = io.StringIO()
    with progress(Console(file=out, force_terminal=terminal, width=100), 2) as shown:
        shown.begin("00_first", 60)
        for done in range(60):
            shown.cell("00_first", done)
        shown.end("00_first", 60, True, 1.23)
        shown.begin("01_second", 9)
        shown.cell("01_second", 3)
        shown.end("01_second", 9, False, 0.5)
    return out.getvalue()


def test_a_file_gets_two_lines_per_notebook():
    assert show(terminal=False).splitlines() == [
        "[1/2] 00_first: 60 cells ...",
        "[OK] 00_first: 1.2 s",
        "[2/2] 01_second: 9 cells ...",
        "[FAIL] 01_second: 0.5 s",
    ]


def test_a_terminal_gets_bars_for_notebooks_and_cells():
    text = " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", show(terminal=True)).split())
    assert "2/2 notebooks" in text
    assert "60/60 cells" in text
    assert "3/9 cells" in text
    assert "9/9 cells" not in text  # the second notebook stopped at its third cell
