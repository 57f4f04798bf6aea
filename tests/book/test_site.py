"""Building the website: what is staged, what a page may load, and what stops the build."""

import re
from html.parser import HTMLParser
from pathlib import Path

import altair as alt
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from small_course import chart_specification, notebook, picture, shown

from course_lib import site
from course_lib.errors import CourseError
from course_lib.site import notebook as site_notebook
from course_lib.site.stage import coming, course_map, without_links

BOOK = Path(__file__).resolve().parents[2] / "book"
ELSEWHERE = re.compile(r"^\s*(?:https?:)?//", re.IGNORECASE)
STYLE_LOADS = re.compile(r"""(?:url\(\s*|@import\s+)["']?(?:https?:)?//[^)"']*""", re.IGNORECASE)
# In a script, an address may stand in the text of a hyperlink.
SCRIPT_LOADS = re.compile(
    r"(?:(?<!<a )\b(?:src|href)\s*=\s*|\b(?:url|import|importScripts|fetch)\(\s*)"
    r"""["'`](?:https?:)?//[^"'`]*""",
)


class Loads(HTMLParser):
    """Collects the addresses that a page makes a browser load: all of src, href and data but those of hyperlinks."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.styles, self.scripts = [], [], []
        self._inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._inside = tag
        for name, value in attributes:
            if name in ("src", "srcset", "data", "poster") or (name == "href" and tag != "a"):
                self.addresses.append(value or "")
            elif name == "style":
                self.styles.append(value or "")

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside == "style":
            self.styles.append(data)
        elif self._inside == "script":
            self.scripts.append(data)


def test_no_file_loads_anything_from_another_host(course_site):
    found = []
    for path in course_site.html.rglob("*"):
        if path.suffix not in (".html", ".css", ".js"):
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".html":
            page = Loads(text)
            found += [(path.name, address) for address in page.addresses if ELSEWHERE.search(address)]
            styles, scripts = " ".join(page.styles), " ".join(page.scripts)
        else:
            styles, scripts = (text, "") if path.suffix == ".css" else ("", text)
        found += [(path.name, hit.group()) for hit in STYLE_LOADS.finditer(styles)]
        found += [(path.name, hit.group()) for hit in SCRIPT_LOADS.finditer(scripts)]
    assert found == []


def test_the_scan_sees_what_it_must():
    page = Loads(
        '<link rel="stylesheet" href="//fonts.example/css"><script src="https://cdn.example/x.js"></script>'
        '<a href="https://example.org">hyperlink</a><img src="a.png" style="background: url(https://b.example)">'
    )
    assert [a for a in page.addresses if ELSEWHERE.search(a)] == [
        "//fonts.example/css",
        "https://cdn.example/x.js",
    ]
    assert STYLE_LOADS.search(page.styles[0])
    assert SCRIPT_LOADS.search('s.src = "https://cdn.example/y.js"')
    assert not SCRIPT_LOADS.search('s.src = "charts/bundle.js"')


def test_pages_carry_no_thebe_no_require_no_widget_scripts(course_site):
    for name in course_site.pages():
        text = (course_site.html / name).read_text(encoding="utf-8").lower()
        for word in ("thebe", "require.min.js", "requirejs", "jupyter-widgets", "googleapis", "shields.io"):
            assert word not in text, f"{name} mentions {word}"


def test_chart_scripts_are_loaded_only_where_there_is_a_chart(small_site):
    with_chart = (small_site.html / "notebooks" / "02_soft_targets.html").read_text(encoding="utf-8")
    without = (small_site.html / "notebooks" / "00_start_here.html").read_text(encoding="utf-8")
    assert "charts/bundle.js" in with_chart
    assert "charts/bundle.js" not in without
    assert (small_site.html / "_static" / "charts" / "bundle.js").stat().st_size < 1_000_000


def test_landing_page_has_cards_for_what_exists_and_names_what_does_not(small_site):
    text = (small_site.html / "index.html").read_text(encoding="utf-8")
    assert 'href="notebooks/00_start_here.html"' in text
    assert "In a minute you will have distilled a network." in text
    assert "course-cover" in text
    assert 'alt="A line that rises ever faster."' in text
    assert "Coming next" in text
    assert "Penalised gradient distillation" in text


def test_coming_next_vanishes_when_everything_is_there():
    chapters = [
        {"name": "00_a", "title": "A", "promise": "see a"},
        {"name": "01_b", "title": "B", "promise": "see b"},
    ]
    one = {"00_a": notebook(new_markdown_cell("# A\n\nSee."))}
    assert "**01** B: see b" in coming(chapters, one)
    assert "see a" not in coming(chapters, one)
    assert coming(chapters, {"00_a": None, "01_b": None}) == ""


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see [chapter 05](notebooks/05_gradient_penalty.ipynb).", "see chapter 05."),
        ("see [chapter *05*](05_gradient_penalty.ipynb#epsilon).", "see chapter *05*."),
        ("[Go](notebooks/05_gradient_penalty.ipynb){.sd-btn .sd-btn-primary}", "Go"),
        ("[b](notebooks/04_gradient_distillation.ipynb)", "[b](notebooks/04_gradient_distillation.ipynb)"),
        (
            "a typing error: [c](notebooks/05_gradient.ipynb)",
            "a typing error: [c](notebooks/05_gradient.ipynb)",
        ),
    ],
)
def test_links_to_chapters_that_a_site_leaves_out_become_words(text, left):
    assert without_links(text, {"05_gradient_penalty"}) == left


def test_a_card_has_the_notebooks_own_title_and_promise():
    read = {
        "02_x": notebook(
            new_markdown_cell("# 02 · Soft targets\n\n**Read [this](other.ipynb)\nand *gain*.**\n\nMore.")
        )
    }
    card = course_map(read)
    assert "{grid-item-card} Soft targets\n:link: notebooks/02_x" in card
    assert "\nRead this and *gain*.\n" in card
    assert "More." not in card


def test_widgets_vanish_and_charts_become_html():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}}
    chart = shown({"application/vnd.vegalite.v6+json": chart_specification()}, alt='Bars of "p" < 1')
    both = notebook(shown(view), chart)
    both.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    result = site_notebook.for_website(both)
    assert "widgets" not in result.metadata
    assert result.cells[0].outputs == []
    [output] = result.cells[1].outputs
    assert set(output.data) == {"text/html"}
    assert 'aria-label="Bars of &quot;p&quot; &lt; 1"' in output.data["text/html"]


def test_a_chart_cannot_close_its_own_script():
    text = site_notebook.chart_html({"title": "</script><b>", "mark": "bar"}, "three short words")
    assert text.count("</script>") == 1


@pytest.mark.parametrize(
    ("html", "bad"),
    [
        ("<img src='//pictures.example/a.png'>", True),
        ("<link rel=stylesheet href=https://fonts.example/css>", True),
        ("<script>\n const s = 1;\n load('https://cdn.example/vega')</script>", True),
        ("<p>See <a href='https://example.org'>there</a>.</p><script>draw('here')</script>", False),
        ("<img src='data:image/png;base64,AAAA'>", False),
    ],
)
def test_html_that_loads_from_elsewhere_is_found(html, bad):
    found = list(site_notebook.problems(notebook(shown({"text/html": html}))))
    assert bool(found) == bad


def test_altairs_own_html_is_refused_and_its_json_taken():
    chart = {"application/vnd.vegalite.v6+json": chart_specification()}
    # Without a renderer chosen, Altair gives HTML with a loader in it.
    loader = alt.Chart(alt.Data(values=[{"a": 1}])).mark_bar().encode(x="a:Q")._repr_mimebundle_()
    assert "text/html" in loader
    assert list(site_notebook.problems(notebook(shown(loader))))
    assert not list(site_notebook.problems(notebook(shown({**loader, **chart}, alt="Bars and a slider."))))


def build_bad(tmp_path, *cells):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(notebook(new_markdown_cell("# Bad\n\nPromise."), *cells), folder / "00_bad.ipynb")
    site.build(folder, tmp_path / "book", pages=BOOK)


def test_every_problem_stops_the_build_and_is_told(tmp_path):
    old = tmp_path / "book" / "_build" / "html" / "index.html"
    old.parent.mkdir(parents=True)
    old.write_text("the site of yesterday")
    error = new_output("error", ename="RuntimeError", evalue="it broke", traceback=["..."])
    with pytest.raises(CourseError) as raised:
        build_bad(
            tmp_path,
            new_code_cell("fail()", outputs=[error]),
            shown({"image/png": picture()}),
            shown({"application/vnd.vegalite.v6+json": {"mark": "bar"}}),
            shown({"text/html": '<script src="https://cdn.example/x.js"></script>'}),
            new_markdown_cell("[lost](nowhere.ipynb)"),
            new_markdown_cell("{cite}`nobody1900`"),
        )
    message = str(raised.value)
    assert "cell 2: the output is an error, RuntimeError: it broke" in message
    assert "no alternative text" in message
    assert "cell 4: the chart has no text" in message
    assert "cell 5: the HTML output loads something from another host" in message
    assert re.search(r"00_bad\.ipynb: cell 6.*nowhere\.ipynb", message)
    assert "nobody1900" in message
    assert "00_bad" in message
    assert old.read_text() == "the site of yesterday"


def test_only_the_search_page_loads_the_search(course_site):
    for path in course_site.html.rglob("*.html"):
        scripts = re.findall(r'<script src="([^"]*)"', path.read_text(encoding="utf-8"))
        loaded = any("searchindex.js" in script for script in scripts)
        assert loaded == (path.name == "search.html"), path


def test_missing_folders_are_told(tmp_path):
    with pytest.raises(CourseError, match=r"no _config\.yml"):
        site.build(tmp_path, tmp_path / "book")
    with pytest.raises(CourseError, match="holds no notebook of the course"):
        site.build(tmp_path, tmp_path / "book", pages=BOOK)
