"""Runs Jupyter Book on the staged pages and accepts the result only if it said nothing that needs fixing."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from course_lib.errors import CourseError
from course_lib.site.stage import stage

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CELL = re.compile(r"(\.ipynb):(\d+)\d{4}\b")  # MyST-NB counts 10,000 lines for every cell
_COMPLAINT = re.compile(r"\b(WARNING|ERROR|CRITICAL|SEVERE)\b|^\w*(Error|Exception)\b")
_SHOWN = 20  # complaints in the message; the log has them all


def build(notebooks: Path, output: Path = Path("book"), *, pages: Path | None = None) -> Path:
    """Build the website into ``output/_build/html`` and return its ``index.html``.

    The book's pages and the notebooks are staged in ``build/site`` beside ``output``. Nothing is executed: the site
    shows the outputs found in the notebooks. A site that was there before stays until the new one is complete.

    Args:
        notebooks: folder with the numbered notebooks and their outputs.
        output: folder for the result.
        pages: folder with ``_config.yml``, ``_toc.yml`` and the pages that are not notebooks; ``output`` if not given.

    Raises:
        CourseError: something is missing, or Jupyter Book gave an error or a warning; the message has its lines.
    """
    output = Path(output).resolve()
    work = output.parent / "build" / "site"
    source = stage(Path(notebooks), Path(pages) if pages else output, work / "source")
    log = work / "build.log"
    _run(source, work, log)
    html = output / "_build" / "html"
    html.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(html, ignore_errors=True)
    shutil.move(work / "_build" / "html", html)
    return html / "index.html"


def _run(source: Path, work: Path, log: Path) -> None:
    # From nothing each time: Sphinx repeats no warning of a page that it finds unchanged.
    shutil.rmtree(work / "_build", ignore_errors=True)
    start = "from jupyter_book.cli.main import main; main(prog_name='jupyter-book')"
    options = ["--path-output", work, "--warningiserror", "--keep-going", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", start, "build", source, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"},
        check=False,
    )
    text = _COLOUR.sub("", done.stdout).replace(f"{source}{os.sep}", "")
    text = _CELL.sub(r"\1: cell \2", text)
    log.write_text(text, encoding="utf-8")
    if done.returncode == 0 and (work / "_build" / "html" / "index.html").is_file():
        return
    complaints = list(dict.fromkeys(line.strip() for line in text.splitlines() if _COMPLAINT.search(line)))
    shown = complaints[:_SHOWN] or text.strip().splitlines()[-3:]
    raise CourseError("\n".join([f"The website was not built; jupyter-book's log is {log}.", *shown]))
