import functools
from pathlib import Path

import pytest
import vl_convert

STYLE = Path(__file__).resolve().parents[2] / "book" / "_static" / "course.css"


@pytest.fixture(scope="session")
def website_page():
    """An empty page with a place for one chart, in the website's style: that keeps charts within a phone's width."""
    return (
        f"<style>{STYLE.read_text(encoding='utf-8')}</style>"
        '<body style="margin:0"><div class="course-chart"><div id="chart"></div></div></body>'
    )


@pytest.fixture
def draw_chart(chromium, website_page):
    """draw_chart(chart, version=None, *, viewport, width): a page with the chart, by the newest or an older Vega-Lite.

    ``viewport`` is the window's width in pixels; ``width`` that of the chart, its own if None.

    At the end of the test nothing may have been asked of any host, and nothing gone wrong.
    """
    contexts, wrong = [], []

    def begin(chart, version=None, *, viewport=800, width=None):
        contexts.append(chromium.new_context(viewport={"width": viewport, "height": 900}))
        page = contexts[-1].new_page()
        page.route("**/*", lambda route: (wrong.append(route.request.url), route.abort()))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.set_content(website_page)
        page.evaluate("code => (0, eval)(code)", bundle(version))
        page.evaluate(
            "async (spec) => { window.view = (await vegaEmbed('#chart', spec, {renderer: 'svg'})).view; }",
            chart.spec | ({} if width is None else {"width": width}),
        )
        return page

    yield begin
    for context in contexts:
        context.close()
    assert wrong == []


@functools.cache
def bundle(version):
    return f"(() => {{{vl_convert.javascript_bundle(vl_version=version)}}})();"
