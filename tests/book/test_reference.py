"""The reference on the website: every public name, with links that lead somewhere, from docstrings in plain text."""

import inspect
import re
from html.parser import HTMLParser
from importlib import import_module

import pytest

from course_lib.site import reference
from course_lib.site.docstrings import as_markup


@pytest.fixture(params=reference.PACKAGES)
def package(request):
    return import_module(f"course_lib.{request.param}")


class Anchors(HTMLParser):
    """The ids of a page, and where its links lead."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])


def test_every_public_name_stands_in_the_reference(small_site, package):
    name = package.__name__.rpartition(".")[2]
    page = Anchors((small_site.html / "reference" / f"{name}.html").read_text(encoding="utf-8"))
    for public in package.__all__:
        where = reference.address(package, public)
        assert where in page.ids or f"{where.split('.')[1]}.html#{where}" in page.links


def test_the_links_of_the_reference_lead_somewhere(small_site):
    folder = small_site.html / "reference"
    pages = {path: Anchors(path.read_text(encoding="utf-8")) for path in folder.glob("*.html")}
    assert len(pages) == len(reference.PACKAGES)
    across = 0
    for path, page in pages.items():
        for link in page.links:
            file, _, anchor = link.partition("#")
            target = (folder / file).resolve() if file else path
            if link.startswith("http") or target not in pages:
                continue
            assert not anchor or anchor in pages[target].ids, f"{path.name}: {link}"
            across += bool(file and anchor)
    assert across > 20


def test_no_markup_is_left_in_the_reference(small_site, package):
    name = package.__name__.rpartition(".")[2]
    page = (small_site.html / "reference" / f"{name}.html").read_text(encoding="utf-8")
    article = page[page.index("<article") : page.index("</article")]
    assert "problematic" not in article
    words = re.sub(r"<[^>]+>", "", article)
    for mark in ("``", ":py:", "\\", "Args:", "~torch", "factory"):
        assert mark not in words, mark


def test_every_public_name_says_what_it_is(package):
    for name, thing in reference.public(package).items():
        if inspect.isclass(thing) or inspect.isfunction(thing):
            text = inspect.getdoc(thing) or ""
            assert len(text) > 20, name
            assert not text.startswith(f"{name}("), (
                f"{name} has only the docstring that a dataclass gives itself"
            )
        else:
            assert reference._CONSTANTS.get(name), f"say in reference._CONSTANTS what {name} is"


def test_a_constant_that_is_long_is_cut():
    assert reference._value({"a": len}) == "['a']"
    assert len(reference._value(tuple(range(1000)))) < 310


@pytest.mark.parametrize(
    ("plain", "markup"),
    [
        ("‖ |z_s| − |z_t| ‖², (N, *shape)", r"‖ \|z_s\| − \|z_t\| ‖², (N, \*shape)"),
        ("a trailing_ one", r"a trailing\_ one"),
        ("``**settings`` of a ``Term``", "``**settings`` of a :py:obj:`Term <course_lib.training.Term>`"),
        ("``course_lib.data.load``", ":py:obj:`course_lib.data.load <course_lib.data.load>`"),
        # Also an argument's name, and an ordinary word.
        ("``teacher_logits`` and ``fit``", "``teacher_logits`` and ``fit``"),
    ],
)
def test_plain_text_stays_what_it_is(plain, markup):
    assert as_markup([plain]) == [markup]


def test_examples_stay_as_they_are():
    lines = [">>> f(*x) | y", "*a*", "", "*a*"]
    assert as_markup(lines) == [*lines[:3], r"\*a\*"]


def test_a_block_of_code_stays_as_it_is():
    lines = ["So *a*::", "", "    f(*a)", "", "    f(*b)", "", "And *b*."]
    assert as_markup(lines) == [r"So \*a\*::", *lines[1:-1], r"And \*b\*."]


def test_what_is_returned_is_no_type():
    lines = ["Sum.", "", "Returns:", "    A scalar ≥ 0: the sum", "    of all.", "", "Raises:", "    E: bad."]
    expected = [
        "Sum.",
        "",
        "",
        ":returns: A scalar ≥ 0: the sum",
        "    of all.",
        "",
        "Raises:",
        "    E: bad.",
    ]
    assert as_markup(lines) == expected


def test_arguments_described_together_are_described_one_by_one():
    lines = ["Args:", "    low, high: in the unit", "        of the values.", "    other: this, that: both."]
    assert as_markup(lines) == [
        "Args:",
        "    low: in the unit",
        "        of the values.",
        "    high: in the unit",
        *lines[2:],
    ]
