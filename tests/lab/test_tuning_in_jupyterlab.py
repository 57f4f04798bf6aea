"""Notebook 10 in a real JupyterLab and a real browser: a slider is moved, students are trained, a guess is made."""

import json
import os
import re
import secrets
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

# The fixture takes long: one process makes it, once.
pytestmark = pytest.mark.xdist_group("jupyterlab")
ROOT = Path(__file__).resolve().parents[2]
SCREENSHOT = ROOT / "build" / "lab" / "tuning_panel.png"
PATIENCE = 240_000  # milliseconds, far above what a slow machine needs
ASKED = ("show.predict('Is it?', ['yes', 'no'], key='it')", "show.predicted('it', 'yes')")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab as ``course lab 10`` starts it, over a copy of the notebook without what the panel does not need."""
    pytest.importorskip("jupyterlab", reason="no JupyterLab; install the extra [course]")
    folder = tmp_path_factory.mktemp("lab")
    notebook = nbformat.read(ROOT / "notebooks" / "10_tuning.ipynb", as_version=4)
    keep = {"parameters", "import matplotlib", "SIZES = {", "task = tuning.prepare(", "show.tuning_panel("}
    notebook.cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code"
        and (
            "parameters" in cell.metadata.get("tags", [])
            or any(each in cell.source for each in keep - {"parameters"})
        )
    ]
    assert "show.tuning_panel(" in notebook.cells[-1].source
    notebook.cells += [new_code_cell(source) for source in ASKED]
    for cell in notebook.cells:
        cell.outputs, cell.execution_count = [], None
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks" / "10_tuning.ipynb")
    token, port = secrets.token_hex(16), free_port()
    log = (folder / "log").open("w")
    settings = {
        name: str(folder / name.lower())
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    environment = os.environ | settings | {"PYTHONPATH": str(ROOT)}
    command = [
        sys.executable,
        "-m",
        "course_lib.cli",
        "lab",
        "10",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
    ]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", "--LabApp.news_url=None"]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{address}/api?token={token}", process, folder / "log")
        said = re.search(r"http://127\.0\.0\.1:\d+(/\S+)\?token", (folder / "log").read_text())
        yield f"{address}{said[1]}?reset&token={token}"
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(address, process, log):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def test_the_slider_moves_the_picture_and_the_button_trains(lab, chromium):
    page = chromium.new_page(viewport={"width": 1300, "height": 1900})
    try:
        # JupyterLab may ask whether to fetch news; wherever the question appears it is answered.
        page.add_locator_handler(page.get_by_role("button", name="No", exact=True), lambda no: no.click())
        page.goto(lab, timeout=PATIENCE)
        page.wait_for_selector(".jp-Notebook", timeout=PATIENCE)
        status = page.locator("#jp-main-statusbar")
        page.wait_for_function(
            "/Idle/.test(document.querySelector('#jp-main-statusbar')?.innerText)", timeout=PATIENCE
        )
        page.locator(".jp-Notebook .jp-Cell").first.click()
        page.get_by_role("menuitem", name=re.compile("^Run$")).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        train = page.get_by_role("button", name="train now")
        train.wait_for(timeout=PATIENCE)
        assert "Idle" in status.inner_text() or "Busy" in status.inner_text()
        card = page.locator(".jp-OutputArea").get_by_text("softmax(z/T) at T =")
        handle = page.locator(".noUi-handle").first
        handle.scroll_into_view_if_needed()
        times = [move(page, handle, card, key) for key in ["ArrowRight", "ArrowLeft"] * 10]
        assert "T = 4.00" in card.inner_text()  # ten steps there and ten back
        press_train_twice(page, handle, train)
        assert page.locator(".jp-OutputArea img[src^='blob:'], .jp-OutputArea img.widget-image").count() >= 1
        a_late_guess_reaches_the_card(page)
        assert page.get_by_text("Traceback").count() == 0
        SCREENSHOT.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOT)
        stays_inside_a_narrow_window(page)
        measured = {"median_ms": round(1000 * statistics.median(times), 1), "moves": len(times)}
        SCREENSHOT.with_name("slider.json").write_text(json.dumps(measured) + "\n")
    finally:
        page.close()


def a_late_guess_reaches_the_card(page):
    """All cells were run before: the card says so, and follows the button that is pressed now."""
    card = page.locator(".jp-OutputArea .course-predicted")
    assert "You did not guess" in card.inner_text(timeout=PATIENCE)
    buttons = page.locator(".jp-OutputArea").get_by_role("radio")
    assert [button.is_checked() for button in buttons.all()] == [False, False]
    buttons.last.check()
    card.get_by_text("You guessed “no”; the runs say “yes”.").wait_for(timeout=PATIENCE)


def stays_inside_a_narrow_window(page):
    """With the window at 700 pixels, of which JupyterLab's side bar takes a third, nothing is cut off."""
    page.set_viewport_size({"width": 700, "height": 1900})
    page.wait_for_function("window.innerWidth === 700", timeout=PATIENCE)
    page.get_by_text("softmax(z/T) at T =").last.scroll_into_view_if_needed()
    outside = page.locator(".jp-OutputArea-output .widget-vbox").first.evaluate(
        """box => {
            const edge = box.closest('.jp-NotebookPanel').getBoundingClientRect().right
            return [...box.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > edge)
                .map(e => e.outerHTML)
        }"""
    )
    page.screenshot(path=SCREENSHOT.with_name("tuning_panel_narrow.png"))
    assert outside == []


def move(page, handle, card, key):
    """Press an arrow key on the slider, wait until the picture has changed; the seconds in between."""
    before = card.inner_text()
    start = time.perf_counter()
    handle.press(key)
    page.wait_for_function(
        "before => [...document.querySelectorAll('.jp-OutputArea div')].some(e => !e.childElementCount"
        " && e.innerText.startsWith('softmax(z/T) at T =') && e.innerText !== before)",
        arg=before,
        timeout=PATIENCE,
        polling=10,
    )
    return time.perf_counter() - start


def press_train_twice(page, handle, train):
    """Two runs with two temperatures: both are told, and the second is drawn beside the first."""
    picture = page.locator("img.widget-image")
    train.click()
    page.get_by_text(
        re.compile(r"trained 20 students in .* T = 4,.*% of the validation images right")
    ).wait_for(timeout=PATIENCE)
    picture.wait_for(timeout=PATIENCE)
    first = picture.get_attribute("src")
    handle.press("PageUp")
    train.click()
    page.get_by_text(
        re.compile(r"trained 20 students in .* T = (?!4,).*% of the validation images right")
    ).wait_for(timeout=PATIENCE)
    page.wait_for_function(
        "first => document.querySelector('img.widget-image').src !== first", arg=first, timeout=PATIENCE
    )
