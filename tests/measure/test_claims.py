"""Claims as a notebook, a script and the strict mode see them."""

import html.parser
import sys

import numpy as np
import pytest
import torch

from course_lib.errors import CourseError
from course_lib.measure import ClaimError, claim

MIME = "application/vnd.course.claim+json"


@pytest.fixture(autouse=True)
def lenient(monkeypatch):
    monkeypatch.delenv("COURSE_CLAIMS", raising=False)


@pytest.fixture
def shown(monkeypatch):
    """The outputs of a cell, as if a kernel were running."""
    ipython = pytest.importorskip("IPython")
    outputs = []

    def display(bundle, raw=False):
        assert raw, "without raw, IPython would show the dictionary as text"
        outputs.append(bundle)

    monkeypatch.setattr(ipython, "get_ipython", object)
    monkeypatch.setattr("IPython.display.display", display)
    return outputs


def texts_and_tags(source):
    texts, tags = [], []
    parser = html.parser.HTMLParser()
    parser.handle_data, parser.handle_starttag = texts.append, lambda tag, _: tags.append(tag)
    parser.feed(source)
    return " ".join(texts), tags


def test_in_a_notebook_the_claim_is_shown_and_carried_as_data(shown, capsys):
    claim("The student is smaller.", True, "2 layers against 3")
    (bundle,) = shown
    assert set(bundle) == {"text/plain", "text/html", MIME}
    assert bundle[MIME] == {
        "sentence": "The student is smaller.",
        "holds": True,
        "evidence": "2 layers against 3",
    }
    assert bundle["text/plain"] == "HOLDS: The student is smaller. (2 layers against 3)"
    text, _ = texts_and_tags(bundle["text/html"])
    for part in ("holds", "The student is smaller.", "2 layers against 3"):
        assert part in text
    assert "does not" not in text
    assert capsys.readouterr().out == ""


def test_a_false_claim_is_shown_as_false_and_does_not_stop_the_notebook(shown):
    claim("The student wins.", False)
    (bundle,) = shown
    assert bundle["text/plain"] == "DOES NOT HOLD: The student wins."
    assert bundle[MIME] == {"sentence": "The student wins.", "holds": False, "evidence": ""}
    assert "does not hold" in texts_and_tags(bundle["text/html"])[0]


def test_signs_in_the_sentence_and_evidence_are_not_read_as_html(shown):
    claim("Accuracy <b>rises</b> & loss < 1.", True, "<script>alert(1)</script>")
    text, tags = texts_and_tags(shown[0]["text/html"])
    assert "Accuracy <b>rises</b> & loss < 1." in text
    assert "<script>alert(1)</script>" in text
    assert not {"b", "script"} & set(tags)


def test_a_number_from_numpy_or_torch_is_carried_as_a_plain_truth_value(shown):
    torch = pytest.importorskip("torch")
    claim("Greater.", torch.tensor(2) > 1)
    assert shown[0][MIME]["holds"] is True


def test_strict_raises_after_showing(shown, monkeypatch):
    monkeypatch.setenv("COURSE_CLAIMS", "strict")
    with pytest.raises(ClaimError, match=r"DOES NOT HOLD: The student wins. \(0.1 < 0.2\)"):
        claim("The student wins.", False, "0.1 < 0.2")
    assert shown[0][MIME]["holds"] is False
    claim("Two is two.", True)
    assert issubclass(ClaimError, AssertionError)


def test_another_value_of_the_variable_does_not_raise(shown, monkeypatch):
    monkeypatch.setenv("COURSE_CLAIMS", "")
    claim("The student wins.", False)


def test_without_ipython_the_claim_is_printed(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == "IPython"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "IPython", None)  # makes every import of it fail
    claim("Two is two.", True, "2 == 2")
    claim("Two is three.", False)
    assert capsys.readouterr().out == "HOLDS: Two is two. (2 == 2)\nDOES NOT HOLD: Two is three.\n"
    monkeypatch.setenv("COURSE_CLAIMS", "strict")
    with pytest.raises(ClaimError):
        claim("Two is three.", False)


def test_in_a_plain_script_that_has_ipython_the_claim_is_printed_as_a_sentence(capsys):
    claim("Two is two.", True)
    assert capsys.readouterr().out == "HOLDS: Two is two.\n"


@pytest.mark.parametrize("holds", ["False", float("nan"), 1, None, [True]])
def test_only_a_truth_value_can_hold(holds):
    with pytest.raises(CourseError, match="holds must be True or False, got"):
        claim("The sentence.", holds)


def test_truth_values_of_numpy_and_torch_are_taken(capsys):
    for value in (np.bool_(True), torch.tensor(True), True):
        claim("The sentence.", value)
    assert capsys.readouterr().out.count("HOLDS: The sentence.") == 3
