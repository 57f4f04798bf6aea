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


def white(content: str, style: str = "") -> str:
    """HTML on a white ground, like the figures, whatever the page around it looks like; ``style`` adds to its CSS."""
    ground = "background:#fff;color:#222;padding:1em;border-radius:6px;max-width:44em"
    return f'<div style="{ground};{style}">{content}</div>'


def bars(rows: str) -> str:
    """A table whose rows are ``bar``s."""
    return f'<table style="width:100%;border-collapse:collapse;color:#222">{rows}</table>'


def bar(name: str, share: float, value: str, color: str, weight: str = "normal") -> str:
    """A row of a table: a name, a bar of this share of its cell's width, and its value in words."""
    cell = f"padding:1px .5em;background:#fff;text-align:right;font-weight:{weight};white-space:nowrap"
    return (
        f'<tr><th scope="row" style="{cell}">{html.escape(name)}</th>'
        '<td style="width:100%;padding:1px 0;background:#eee">'
        f'<div style="width:{100 * share:.3f}%;height:1em;background:{color}"></div></td>'
        f'<td style="{cell}">{html.escape(value)}</td></tr>'
    )


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
