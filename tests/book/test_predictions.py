"""A question of the website is answered by keyboard, its answer kept in the browser and shown beside the outcome."""

import re
from pathlib import Path

import pytest
from small_course import CHOICES

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
PAGE = "notebooks/02_soft_targets.html"
RIGHT, OTHER, WRONG = CHOICES
CONTRAST = """(element) => {
    const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => {
        const parts = numbers(color).slice(0, 3).map((c) => c / 255);
        const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let ground = element;
    const clear = (each) => numbers(getComputedStyle(each).backgroundColor)[3] === 0;
    while (ground.parentElement && clear(ground)) ground = ground.parentElement;
    const pair = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor].map(light);
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
}"""


def card(page):
    return page.locator(".course-predicted")


def test_a_guess_by_keyboard_is_kept_and_shown_beside_the_outcome(visit, small_site):
    window = visit(small_site)
    page = window.open(PAGE)
    group = page.get_by_role("group", name="Predict first: Does a teacher help?")
    buttons = group.get_by_role("radio")
    assert [button.is_checked() for button in buttons.all()] == [False] * 3
    assert "You did not guess; the runs say “it helps”. As so often." in card(page).inner_text()
    group.get_by_role("radio", name=RIGHT).focus()
    page.keyboard.press("Space")
    assert "✔ right" in card(page).inner_text()
    page.keyboard.press("ArrowDown")
    said = f"✘ wrong  You guessed “{OTHER}”; the runs say “{RIGHT}”. As so often."
    assert " ".join(card(page).inner_text().split()) == " ".join(said.split())
    page.reload()
    page.wait_for_load_state("networkidle")
    assert page.get_by_role("radio", name=OTHER).is_checked()
    assert f"You guessed “{OTHER}”" in card(page).inner_text()
    assert window.outside == []
    assert window.errors == []


def test_a_guess_works_from_a_file_and_is_kept_for_its_notebook_alone(chromium, small_site):
    context = chromium.new_context()
    page = context.new_page()
    page.goto((small_site.html / PAGE).as_uri())
    page.get_by_role("radio", name=RIGHT).check()
    assert "✔ right" in card(page).inner_text()
    page.reload()
    assert "✔ right" in card(page).inner_text()
    stored = page.evaluate("() => ({...localStorage})")
    assert {name: value for name, value in stored.items() if name.startswith("course")} == {
        "course:02_soft_targets:teacher": RIGHT
    }
    context.close()


def test_where_nothing_can_be_kept_or_an_old_choice_was_kept_the_question_works(chromium, small_site):
    context = chromium.new_context()
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(error))
    page.goto(small_site.address + PAGE)
    page.evaluate("() => localStorage.setItem('course:02_soft_targets:teacher', 'an old choice')")
    page.reload()
    assert "You did not guess" in card(page).inner_text()
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }})")
    page.goto(small_site.address + PAGE)
    page.get_by_role("radio", name=WRONG).check()
    assert f"You guessed “{WRONG}”" in card(page).inner_text()
    assert not [error for error in errors if "predict.js" in (error.stack or "")]
    context.close()


def test_without_javascript_question_choices_and_outcome_are_text(chromium, small_site):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(small_site.address + PAGE)
    assert page.locator(".course-predict li").all_inner_texts() == list(CHOICES)
    assert "the runs say “it helps”" in card(page).inner_text()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_cards_have_contrast_and_fit(visit, small_site, scheme, width):
    page = visit(small_site, width, scheme).open(PAGE)
    page.get_by_role("radio", name=WRONG).check()
    assert re.search("light|dark", page.evaluate("() => document.documentElement.dataset.theme"))[0] == scheme
    for part in (
        ".course-badge",
        ".course-claim",
        ".course-predict label",
        ".course-predicted",
        ".course-note",
    ):
        for element in page.locator(part).all():
            assert element.evaluate(CONTRAST) >= 4.5, (part, element.evaluate(CONTRAST))
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.locator(".course-predicted").scroll_into_view_if_needed()
    page.screenshot(path=SCREENSHOTS / f"predict_{scheme}_{width}.png")
