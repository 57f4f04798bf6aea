"""Lays out what Jupyter Book reads: pages, notebooks, the landing page's map, the measured grids, the chart bundle."""

import base64
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import nbformat
import yaml

from course_lib.errors import CourseError
from course_lib.runner.find import list_notebooks
from course_lib.site.grids import explorer
from course_lib.site.notebook import alternative_text, chart_html, chart_of, promise, title
from course_lib.site.pictures import with_small_pictures
from course_lib.site.reference import write_reference

_LEFT_OUT = ("_build", "*.pyc", "__pycache__")
_TO_CHAPTER = re.compile(
    r"\[([^\]]*)\]\((?:(?:\.\./)?notebooks/)?(\d\d_\w+)\.ipynb(?:#[^)]*)?\)(?:\{[^}]*\})?"
)
_TRY = """## Try it here

A network's answer to a picture, divided by the temperature before softmax. Warm it up, and see which other classes
the network had in mind.

"""


def stage(notebooks: Path, pages: Path, folder: Path) -> Path:
    """Fill ``folder`` (emptied first) with the source of the website and return it.

    Raises CourseError where ``pages`` is not the book's folder or ``notebooks`` holds no notebook of the course.
    """
    if not (pages / "_config.yml").is_file():
        raise CourseError(f"{pages} is not the folder of the website's pages: it has no _config.yml.")
    found = list_notebooks(notebooks)
    if not found:
        raise CourseError(
            f"The folder {notebooks} holds no notebook of the course, such as 00_start_here.ipynb."
        )
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pages, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT))
    (folder / "notebooks").mkdir()
    _write_chart_bundle(folder / "_vendor" / "charts")
    read = {path.stem: with_small_pictures(nbformat.read(path, as_version=4)) for path in found}
    chapters = yaml.safe_load((pages / "chapters.yml").read_text(encoding="utf-8"))
    absent = {chapter["name"] for chapter in chapters} - set(read)
    for name, notebook in read.items():
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                # In the course's folder the pages lie in book/, on the website at the top.
                cell.source = without_links(cell.source, absent).replace("](../book/", "](../")
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    for page in folder.glob("*.md"):
        page.write_text(without_links(page.read_text(encoding="utf-8"), absent), encoding="utf-8")
    write_reference(folder / "reference")
    generated = folder / "_generated"
    generated.mkdir()
    (generated / "map.md").write_text(course_map(read), encoding="utf-8")
    (generated / "coming.md").write_text(coming(chapters, read), encoding="utf-8")
    (generated / "chart.md").write_text(_first_chart(read), encoding="utf-8")
    (generated / "picture.md").write_text(_picture(read, generated), encoding="utf-8")
    grids = explorer(pages.parent / "data" / "results")
    for name, text in zip(("grids", "grids_examined"), grids, strict=True):
        (generated / f"{name}.md").write_text(text, encoding="utf-8")
    return folder


def without_links(text: str, absent: Collection[str]) -> str:
    """``text`` with links to the chapters ``absent`` turned into their words.

    A site of a few notebooks has no page for them. Links to any other missing notebook stay, so that
    the build reports them.
    """
    return _TO_CHAPTER.sub(lambda link: link[1] if link[2] in absent else link[0], text)


def _write_chart_bundle(folder: Path) -> None:
    """The drawing library for charts, wrapped so that its names do not meet those of the page's other scripts."""
    import vl_convert

    folder.mkdir(parents=True, exist_ok=True)
    bundle = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue]  # the stub forgets a default
    (folder / "bundle.js").write_text(f"(() => {{{bundle}}})();", encoding="utf-8")


def course_map(read: dict[str, Any]) -> str:
    """A grid of cards, one per notebook, each with the notebook's own title and promise."""
    cards = []
    for name, notebook in read.items():
        cards.append(
            f":::{{grid-item-card}} {title(notebook)}\n:link: notebooks/{name}\n:link-type: doc\n"
            f':class-card: course-card\n\n<span class="course-number">{name[:2]}</span>\n\n{promise(notebook)}\n:::\n'
        )
    return "::::{grid} 1 2 2 3\n:gutter: 3\n\n" + "\n".join(cards) + "::::\n"


def coming(chapters: list[dict[str, str]], read: dict[str, Any]) -> str:
    """The chapters that are planned and have no notebook yet; nothing where all exist."""
    missing = [chapter for chapter in chapters if chapter["name"] not in read]
    if not missing:
        return ""
    lines = [f"- **{chapter['name'][:2]}** {chapter['title']}: {chapter['promise']}" for chapter in missing]
    return "## Coming next\n\nThese chapters are planned and not written yet.\n\n" + "\n".join(lines) + "\n"


def _first_chart(read: dict[str, Any]) -> str:
    """The course's first temperature chart, so that the landing page can be played with."""
    for notebook in read.values():
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                spec = chart_of(output)
                if spec and any(parameter["name"] == "T" for parameter in spec.get("params", [])):
                    return _TRY + chart_html(spec, alternative_text(cell)) + "\n"
    return ""


def _picture(read: dict[str, Any], folder: Path) -> str:
    """The last figure of the cell tagged "cover"; nothing where no notebook has one."""
    for notebook in read.values():
        for cell in notebook.cells:
            if "cover" in cell.metadata.get("tags", []):
                pictures = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
                if pictures:
                    (folder / "cover.png").write_bytes(base64.b64decode(pictures[-1]))
                    alt = alternative_text(cell)
                    return f"```{{image}} /_generated/cover.png\n:alt: {alt}\n:class: course-cover\n```\n"
    return ""
