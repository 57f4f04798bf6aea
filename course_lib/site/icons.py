"""Leaves out of the finished website the icons that no page shows: the theme's script draws some two thousand."""

import re
from pathlib import Path

_ICON = re.compile(
    r'(?:"(?P<name>[\w-]+)"|(?P<bare>\w+)):'
    r'\[\d+,\d+,\[(?P<others>[^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[(?:"[^"]*",?)+\])\],?'
)
_USED = re.compile(r"\bfa-([a-z0-9-]+)")


def drop_unused_icons(site: Path) -> int:
    """Shorten the theme's script of icons below ``site`` and return how many icons it keeps.

    An icon is kept where a page or another script of the site names it, by its name or an older one.
    """
    script = site / "_static" / "scripts" / "fontawesome.js"
    if not script.is_file():
        return 0
    readers = [path for kind in ("html", "js") for path in site.rglob(f"*.{kind}") if path != script]
    used = {name for path in readers for name in _USED.findall(path.read_text(encoding="utf-8"))}
    kept = 0

    def keep(icon: re.Match) -> str:
        nonlocal kept
        names = {icon["name"] or icon["bare"], *re.findall(r"[\w-]+", icon["others"])}
        kept += bool(names & used)
        return icon[0] if names & used else ""

    script.write_text(_ICON.sub(keep, script.read_text(encoding="utf-8")), encoding="utf-8")
    return kept
