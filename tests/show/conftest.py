from pathlib import Path

import pytest

STYLE = Path(__file__).resolve().parents[2] / "book" / "_static" / "course.css"


@pytest.fixture(scope="session")
def website_page():
    """An empty page with a place for one chart, in the website's style: that keeps charts within a phone's width."""
    return (
        f"<style>{STYLE.read_text(encoding='utf-8')}</style>"
        '<body style="margin:0"><div class="course-chart"><div id="chart"></div></div></body>'
    )
