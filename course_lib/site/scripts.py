"""Scripts that a page loads and does not use."""

import re
from pathlib import Path

# The theme loads them on every page for a search while one types, which is off: the field leads to search.html.
_SEARCH = re.compile(r'\s*<script src="[^"]*(?:searchtools|language_data|searchindex)\.js[^"]*"></script>')
_WITH_SEARCH = "search.html"


def drop_unused_search(site: Path) -> None:
    """Take the scripts of the search out of all pages of a built site but the one that searches."""
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        shorter = _SEARCH.sub("", text)
        if path.name != _WITH_SEARCH and shorter != text:
            path.write_text(shorter, encoding="utf-8")
