"""The website that the tests look at, built once, and a browser in which every other host is blocked and recorded."""

import functools
import http.server
import threading
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from small_course import write_small_course

from course_lib import site
from course_lib.runner import list_notebooks

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Site:
    """A built website, the notebooks it was built from, and where it is served."""

    html: Path
    notebooks: Path
    address: str

    def pages(self):
        """Every page, as a path below the site's root; the theme leaves a template among its own files."""
        found = (path.relative_to(self.html) for path in self.html.rglob("*.html"))
        return sorted(path.as_posix() for path in found if path.parts[0] != "_static")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def _serve(html):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=html))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="session")
def small_site(tmp_path_factory):
    """The book's pages with two small notebooks whose contents the tests know."""
    folder = tmp_path_factory.mktemp("small")
    notebooks = write_small_course(folder / "notebooks")
    html = site.build(notebooks, folder / "book", pages=ROOT / "book").parent
    with _serve(html) as server:
        yield Site(html, notebooks, f"http://127.0.0.1:{server.server_address[1]}/")
        server.shutdown()


@pytest.fixture(scope="session")
def course_site(tmp_path_factory, request):
    """The website of the stored notebooks; the small one as long as there are none."""
    notebooks = ROOT / "notebooks"
    if not list_notebooks(notebooks):
        yield request.getfixturevalue("small_site")
        return
    folder = tmp_path_factory.mktemp("course")
    html = site.build(notebooks, folder / "book", pages=ROOT / "book").parent
    with _serve(html) as server:
        yield Site(html, notebooks, f"http://127.0.0.1:{server.server_address[1]}/")
        server.shutdown()


@dataclass
class Visit:
    """One browser window on ``site``: its page, what it asked of other hosts, what went wrong, bytes by address."""

    page: object
    site: Site
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    loaded: dict[str, int] = field(default_factory=dict)

    def open(self, path):
        """Go to a page of the site and wait until mathematics and charts are drawn."""
        self.page.goto(self.site.address + path)
        self.page.wait_for_load_state("networkidle")
        self.page.evaluate("() => window.MathJax?.startup?.promise")
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.course-chart')].every((c) => c.dataset.drawn)"
        )
        return self.page


@pytest.fixture
def visit(chromium):
    """visit(site, width=1280, scheme="light"): a window that reaches nothing but the site."""
    contexts = []

    def begin(website, width=1280, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        visited = Visit(context.new_page(), website)
        host = urlsplit(website.address).netloc

        def pass_or_record(route):
            if urlsplit(route.request.url).netloc == host:
                route.continue_()
            else:
                visited.outside.append(route.request.url)
                route.abort()

        context.route("**/*", pass_or_record)
        page = visited.page
        page.on("console", lambda m: visited.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: visited.errors.append(str(error)))

        def note(response):
            if response.status >= 400:
                visited.errors.append(f"{response.status} {response.url}")
            visited.loaded[response.url] = int(response.headers.get("content-length", 0))

        page.on("response", note)
        return visited

    yield begin
    for context in contexts:
        context.close()
