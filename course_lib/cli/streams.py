"""For output that cannot show every character, such as Windows' code page 1252 or a log in ASCII: words instead."""

import codecs
import io
import sys
import unicodedata

_WORDS = {
    **{"λ": "lambda", "α": "alpha", "β": "beta", "γ": "gamma", "ε": "epsilon", "σ": "sigma", "θ": "theta"},
    **{"−": "-", "–": "-", "—": "-", "‑": "-", "×": "x", "·": "*", "÷": "/", "±": "+-", "≥": ">=", "≤": "<="},
    **{"→": "->", "∞": "inf", "√": "sqrt", "Σ": "sum", "‖": "||", "°": " degrees", "✔": "[ok]", "✘": "[no]"},
    **{"“": '"', "”": '"', "‘": "'", "’": "'", "…": "...", "█": "#", "━": "-", "─": "-"},
}


def make_safe() -> None:
    """Let standard output and standard error write in ASCII what their encoding lacks, instead of raising."""
    codecs.register_error("course_lib.words", _in_words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="course_lib.words")


def _in_words(error: UnicodeError) -> tuple[str, int]:
    """As ``codecs.register_error`` asks: what to write, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(character: str) -> str:
    """The character in ASCII: a word, the letter without its accent, or a question mark."""
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _WORDS.get(character) or letters or "?"
