"""The website in a real browser with every other host blocked: it asks for nothing outside, and everything works."""

import re

import pytest
import torch
from small_course import ALT, LOGITS

RAW_MATHEMATICS = re.compile(r"\$\$|\\\(|\\\[|\\begin\{|\\frac|\\sum|\\mathrm")
# A sentence or at least some words, not a file's name.
MEANINGFUL = re.compile(r"\w+\W+\w+\W+\w+")

PAGE_ALLOWED = 3_000_000  # bytes of a page with all that it loads, the charts' scripts apart


def words_shown(page):
    """The text of the article without its code."""
    return page.evaluate(
        """() => {
            const copy = document.querySelector("article").cloneNode(true);
            copy.querySelectorAll("pre, code, script, style, mjx-container").forEach((e) => e.remove());
            return copy.textContent;
        }"""
    )


def test_every_page_is_whole_on_a_wide_screen(visit, course_site):
    window = visit(course_site)
    for path in course_site.pages():
        window.loaded.clear()
        page = window.open(path)
        weight = sum(size for url, size in window.loaded.items() if "/charts/" not in url)
        assert 10_000 < weight <= PAGE_ALLOWED, f"{path} loads {weight:,} bytes besides the charts' scripts"
        unset = page.locator(".math:not(:has(mjx-container))").count()
        assert unset == 0, f"{path}: {unset} formulas are not drawn"
        assert page.locator("mjx-merror").count() == 0, f"{path}: a formula has an error"
        if page.locator("article").count():
            assert not RAW_MATHEMATICS.search(words_shown(page)), path
        for text, source in page.eval_on_selector_all("img", "all => all.map((i) => [i.alt, i.src])"):
            assert MEANINGFUL.search(text), f"{path}: {source} has the alternative text {text!r}"
            assert text.rpartition("/")[2] != source.rpartition("/")[2], path
        assert window.outside == [], path
        assert window.errors == [], path


def test_every_page_fits_a_phone(visit, course_site):
    window = visit(course_site, width=390)
    for path in course_site.pages():
        page = window.open(path)
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= 390, f"{path} is {wide} pixels wide"
        assert window.outside == [], path
        assert window.errors == [], path


def test_mathematics_is_drawn(visit, small_site):
    page = visit(small_site).open("notebooks/00_start_here.html")
    assert page.locator("mjx-container").count() == 2
    drawn = page.locator("mjx-container").last.bounding_box()
    assert drawn["width"] > 100
    assert drawn["height"] > 30
    # Fonts come from the site itself.
    assert page.evaluate("() => document.fonts.check('16px MJXTEX')")


def test_search_finds_a_term(visit, course_site):
    page = visit(course_site).open("index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("temperature")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=temperature*")
    result = page.locator("#search-results li a[href*='glossary']").first
    result.wait_for()
    result.click()
    page.locator("dl.glossary dt", has_text="温度").wait_for()


def test_search_finds_a_chinese_term(visit, course_site):
    page = visit(course_site).open("search.html?q=教师网络")
    page.locator("#search-results li a[href*='glossary']").first.wait_for()


def test_dark_mode_is_one_click_and_stays(visit, course_site):
    window = visit(course_site)
    page = window.open("index.html")

    def brightness():
        colour = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        return sum(int(number) for number in re.findall(r"\d+", colour)[:3])

    def theme():
        return page.evaluate("() => document.documentElement.dataset.theme")

    assert theme() == "light"
    light = brightness()
    button = page.locator("button.theme-switch-button:visible")
    for _ in range(3):  # light, dark, as the system says
        button.click()
        if theme() == "dark":
            break
    assert theme() == "dark"
    assert brightness() < light / 3
    page = window.open("glossary.html")
    assert theme() == "dark"


def test_the_notebook_itself_can_be_downloaded(visit, small_site):
    name = "02_soft_targets"  # the site shows its chart in another form
    page = visit(small_site).open(f"notebooks/{name}.html")
    page.get_by_role("button", name="Download this page").click()
    with page.expect_download() as download:
        page.locator(".btn-download-source-button").click()
    assert download.value.suggested_filename == f"{name}.ipynb"
    assert download.value.path().read_bytes() == (small_site.notebooks / f"{name}.ipynb").read_bytes()


class Chart:
    """The temperature chart of a page: its controls, and the probabilities as long as its bars are on the screen."""

    def __init__(self, page):
        self.page = page
        self.slider = page.get_by_role("slider", name="log₂ T")
        self.choice = page.get_by_role("combobox", name="image")

    def temperature(self):
        return 2 ** float(self.slider.input_value())

    def assert_bars(self, logits):
        lengths = self.page.evaluate(
            """async () => {
                const place = document.querySelector(".course-chart");
                await new Promise(requestAnimationFrame);
                await place.vegaView.runAsync();
                const widths = (mark) => [...mark.querySelectorAll("path")].map((bar) => bar.getBBox().width);
                const [track, bars] = place.querySelectorAll(".mark-rect.role-mark");
                return widths(bars).map((width, i) => width / widths(track)[i]);
            }"""
        )
        expected = torch.softmax(logits.double() / self.temperature(), dim=0)
        torch.testing.assert_close(torch.tensor(lengths).double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("width", [1280, 390])
def test_slider_recomputes_softmax_at_every_temperature_by_keyboard(visit, small_site, width):
    window = visit(small_site, width)
    chart = Chart(window.open("notebooks/02_soft_targets.html"))
    assert chart.temperature() == 1
    chart.assert_bars(LOGITS[0])
    chart.slider.focus()
    chart.page.keyboard.press("Home")
    for step in range(52):
        assert chart.temperature() == 2 ** (-2 + step / 8)
        chart.assert_bars(LOGITS[0])
        chart.page.keyboard.press("ArrowRight")
    assert chart.temperature() == 2**4.375  # the end
    assert window.outside == []
    assert window.errors == []


def test_on_a_phone_a_chart_is_narrower_but_its_letters_are_not_smaller(visit, small_site):
    page = visit(small_site, width=390).open("notebooks/02_soft_targets.html")
    drawn, shown = page.eval_on_selector(
        ".course-chart svg", "svg => [svg.viewBox.baseVal.width, svg.getBoundingClientRect().width]"
    )
    assert shown <= 390
    assert shown / drawn > 0.95


def test_slider_follows_the_mouse(visit, small_site):
    chart = Chart(visit(small_site).open("notebooks/02_soft_targets.html"))
    box = chart.slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    chart.page.mouse.move(box["x"] + box["width"] * 0.3, middle)
    chart.page.mouse.down()
    chart.page.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=5)
    chart.page.mouse.up()
    assert 4 < chart.temperature() < 16
    chart.assert_bars(LOGITS[0])


def test_the_other_image_has_its_own_bars(visit, small_site):
    chart = Chart(visit(small_site).open("notebooks/02_soft_targets.html"))
    chart.choice.select_option("2: ship")
    chart.assert_bars(LOGITS[1])
    chart.page.get_by_text("true class: ship").wait_for()


def test_without_javascript_a_chart_says_so_and_text_is_there(chromium, small_site):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(small_site.address + "notebooks/02_soft_targets.html")
    assert page.locator(".course-chart").get_attribute("aria-label") == ALT
    page.get_by_text("Moving them needs JavaScript").wait_for()
    assert (
        page.locator(".course-still img").evaluate("image => image.decode().then(() => image.naturalWidth)")
        > 200
    )
    context.close()
