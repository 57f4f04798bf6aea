"""What the website reads out of a notebook, and the form in which it shows a chart: no kernel, no other host."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from course_lib.mime import CLAIM
from course_lib.runner.clean import normalise

_CHART = re.compile(r"application/vnd\.vegalite\.v\d+(\.\d+)*\+json")
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc\s*=\s*["']?(?:https?:)?//"""
    r"""|<link\b[^>]*\bhref\s*=\s*["']?(?:https?:)?//"""
    r"""|<script\b[^>]*>(?:(?!</script).)*["'`](?:https?:)?//""",  # such as Altair's loader of Vega
    re.IGNORECASE | re.DOTALL,
)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
STILL = "A still picture of a chart with sliders. Moving them needs JavaScript."


def for_website(notebook: Any) -> Any:
    """Change ``notebook`` to what the site can show, and return it: no widgets, and charts as HTML."""
    normalise(notebook)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(CLAIM, None)  # the claim's HTML stays, and myst-nb knows no such kind
            if spec := chart_of(output):
                output.data = {"text/html": chart_html(spec, alternative_text(cell))}
    return notebook


def problems(notebook: Any) -> Iterator[tuple[int, str]]:
    """(number of the cell from 1, what is wrong) for outputs that must not go onto the site."""
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            data, chart = output.get("data", {}), chart_of(output)
            if output.output_type == "error":
                yield number, f"the output is an error, {output.ename}: {output.evalue}"
            if chart and not (alternative_text(cell) or chart.get("description")):
                yield number, "the chart has no text for those who cannot see it (mystnb.image.alt)"
            if not chart and _LOADED.search("".join(data.get("text/html", ""))):
                yield number, "the HTML output loads something from another host"


def chart_of(output: Any) -> dict[str, Any] | None:
    """The Vega-Lite specification in ``output``, if there is one."""
    for kind, content in output.get("data", {}).items():
        if _CHART.fullmatch(kind):
            return dict(content)
    return None


def chart_html(spec: dict[str, Any], text: str) -> str:
    """The place where charts.js draws ``spec``; ``text`` describes it, else the specification's own description.

    Until then, and where no script runs, a picture of the chart's first state is there.
    """
    import vl_convert

    label = html.escape(text or spec.get("description", ""), quote=True)
    content = json.dumps(spec, ensure_ascii=False).replace("</", "<\\/")
    picture = "data:image/svg+xml," + quote(vl_convert.vegalite_to_svg(spec), safe=" /:;=,'()")
    return (
        f'<div class="course-chart" role="group" aria-label="{label}">'
        f'<script type="application/json">{content}</script>'
        f'<div class="course-still"><img src="{picture}" alt="{label}"><p>{STILL}</p></div></div>'
    )


def alternative_text(cell: Any) -> str:
    """What the cell's author wrote for those who cannot see its figure."""
    return cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "").strip()


def title(notebook: Any) -> str:
    """The first heading, without a number in front of it."""
    for line in _opening(notebook):
        if line.startswith("# "):
            return re.sub(r"^\d+\W+", "", line[2:].strip())
    return "Untitled"


def promise(notebook: Any) -> str:
    """The first paragraph under the title, in which a notebook says what it gives."""
    paragraph: list[str] = []
    for line in _opening(notebook):
        if line.strip() and not line.startswith("#"):
            paragraph.append(line.strip())
        elif paragraph:
            break
    text = _LINK.sub(r"\1", " ".join(paragraph))  # a card is one link; links inside it would break it
    return re.sub(r"^\*\*(.*)\*\*$", r"\1", text)


def _opening(notebook: Any) -> list[str]:
    texts: list[str] = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return "\n\n".join(texts[:2]).splitlines()
