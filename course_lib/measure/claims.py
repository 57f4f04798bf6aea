"""Claims: a sentence of the book beside the computation that makes it true or false."""

import html
import os

from course_lib.cards import badge, card, in_ipython
from course_lib.errors import CourseError
from course_lib.mime import CLAIM


class ClaimError(AssertionError):
    """A claim does not hold, and ``COURSE_CLAIMS=strict`` asks that this be an error."""


def claim(sentence: str, holds: bool, evidence: str = "") -> None:
    """Show a sentence with whether it holds in this run.

    In a notebook the output also carries the claim as data, from which ``course run`` collects them. A claim that
    does not hold is shown, not raised, because a learner who changes the parameters may well make it false; only
    with ``COURSE_CLAIMS=strict`` in the environment it raises, after showing.

    Args:
        sentence: what is claimed, one sentence.
        holds: whether it does, computed from the runs.
        evidence: the numbers behind it.

    Raises:
        ClaimError: it does not hold, under ``COURSE_CLAIMS=strict``.
        CourseError: ``holds`` is not a truth value (a Comparison is not one; compare its verdict).
    """
    if not isinstance(holds, bool):
        # A Comparison, a non-empty string or NaN would all pass for true.
        scalar = getattr(holds, "ndim", None) == 0 and str(getattr(holds, "dtype", "")).endswith("bool")
        if not scalar:
            raise CourseError(f"holds must be True or False, got {holds!r}")
        holds = bool(holds)
    verdict = "HOLDS" if holds else "DOES NOT HOLD"
    plain = f"{verdict}: {sentence}" + (f" ({evidence})" if evidence else "")
    if in_ipython():
        from IPython.display import display

        data = {"sentence": sentence, "holds": holds, "evidence": evidence}
        display({"text/plain": plain, "text/html": _card(sentence, holds, evidence), CLAIM: data}, raw=True)
    else:
        print(plain)
    if not holds and os.environ.get("COURSE_CLAIMS") == "strict":
        raise ClaimError(plain)


def _card(sentence: str, holds: bool, evidence: str) -> str:
    """The claim for the eye."""
    kind, verdict = ("good", "✔ holds") if holds else ("bad", "✘ does not hold here")
    detail = f'<br><span style="opacity:.8;font-size:.9em">{html.escape(evidence)}</span>' if evidence else ""
    return card(kind, "claim", f"{badge(kind, verdict)} &nbsp;{html.escape(sentence)}{detail}")
