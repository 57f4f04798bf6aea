"""Cards that notebooks show below a cell: legible on light and dark pages, and without telling colours apart."""

import html

# White letters on these have a contrast of at least 6, whatever the page around the badge.
_COLORS = {"good": "#00704f", "bad": "#a83f00", "open": "#555555"}


def in_ipython() -> bool:
    """Whether an output cell or an IPython prompt is there; in a plain script ``display`` would print the raw data."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return get_ipython() is not None


def badge(kind: str, words: str) -> str:
    """``words`` on a coloured ground, as HTML. ``kind`` is "good", "bad" or "open"."""
    style = f"background:{_COLORS[kind]};color:#fff;border-radius:.7em;padding:.05em .6em;white-space:nowrap"
    return f'<strong class="course-badge" style="{style}">{html.escape(words)}</strong>'


def card(kind: str, name: str, content: str, **data: str) -> str:
    """A card with an edge in the colour of its badge.

    Args:
        kind: "good", "bad" or "open".
        name: what the card is; its CSS class is course-``name``.
        content: HTML.
        data: text for the page's scripts, as data attributes.
    """
    attributes = "".join(f' data-{key}="{html.escape(value, quote=True)}"' for key, value in data.items())
    style = f"border-left:4px solid {_COLORS[kind]};padding:.3em .9em;margin:.3em 0"
    return f'<div class="course-{name}"{attributes} style="{style}">{content}</div>'
