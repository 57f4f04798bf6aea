"""The Sphinx side of the website: notebooks made fit for it while they are read, charts, and strict checks."""

from pathlib import Path
from typing import Any

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject  # pyright: ignore[reportPrivateImportUsage]
from sphinx.util import logging

from course_lib.site.docstrings import as_markup
from course_lib.site.icons import drop_unused_icons
from course_lib.site.notebook import for_website, problems
from course_lib.site.scripts import drop_unused_search

_log = logging.getLogger(__name__)
# What a page needs that shows one of these.
_SCRIPTS = {
    "course-chart": ("charts/bundle.js", "charts/charts.js"),
    "course-predict": ("predict/predict.js",),
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx. A warning from here stops the build, as any other does."""
    # Jupyter Book sets this one for an extension that the site leaves out.
    app.add_config_value("comments_config", {}, "html")
    app.connect("config-inited", _add_vendored_files)
    app.connect("source-read", _read_notebook)
    app.connect("doctree-read", _require_alternative_texts)
    app.connect("html-page-context", _load_scripts)
    app.connect("build-finished", _shorten)
    # What napoleon makes of a docstring's "Attributes:", Sphinx heads "Variables:".
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("autodoc-process-signature", _read_signature)
    # Before Sphinx's own reader of sections such as "Args:".
    app.connect("autodoc-process-docstring", _read_docstring, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _add_vendored_files(app: Sphinx, config: Any) -> None:
    # Here and not in _static: Jupyter Book would load every script of that folder on every page.
    config.html_static_path.append("_vendor")


def _read_notebook(app: Sphinx, docname: str, source: list[str]) -> None:
    if not docname.startswith("notebooks/"):
        return
    notebook = nbformat.reads(source[0], as_version=4)
    for number, problem in problems(notebook):
        _log.warning("cell %d: %s", number, problem, location=docname)
    source[0] = nbformat.writes(for_website(notebook))


def _read_docstring(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_markup(lines)


def _read_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    # What a dataclass shows for the default of a dictionary is no Python, and Sphinx would read none of the types.
    return signature and signature.replace("<factory>", "..."), returned


def _require_alternative_texts(app: Sphinx, doctree: nodes.document) -> None:
    for image in doctree.findall(nodes.image):
        if not image.get("alt", "").strip():
            _log.warning("an image has no alternative text: %s", image.get("uri"), location=image)


def _load_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    for kind, scripts in _SCRIPTS.items():
        if f'class="{kind}"' in context.get("body", ""):
            for script in scripts:
                app.add_js_file(script, loading_method="defer")


def _shorten(app: Sphinx, exception: Exception | None) -> None:
    if exception is None:
        drop_unused_icons(Path(app.outdir))
        drop_unused_search(Path(app.outdir))
