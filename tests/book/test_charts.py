"""Every chart of the website in a real browser, moved by keyboard and mouse: its numbers are those of torch and numpy.

Each test ends by asking that no other host was asked for anything and that nothing went wrong in the console.
"""

import gzip
import json
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch

from course_lib.losses import hard_label_loss, soft_target_loss
from course_lib.show.mix import LAMS
from course_lib.show.split import parts_of

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
CHAPTER_02, CHAPTER_06, CHAPTER_08, EXPLORER = (
    "notebooks/02_soft_targets.html",
    "notebooks/06_hypersphere_distance.html",
    "notebooks/08_what_can_go_wrong.html",
    "explorer.html",
)
SCRIPTS_ALLOWED = 1_000_000  # bytes
# A chart's drawn marks by the name of their layer, wherever it stands.
ROWS = """async (place, name) => {
    await place.vegaView.runAsync();
    const named = (item) => item.name === name ? item.items : (item.items ?? []).flatMap(named);
    return named(place.vegaView.scenegraph().root).map((mark) => mark.datum);
}"""


class Chart:
    """The chart of ``page`` that has the slider ``slider``."""

    def __init__(self, page, slider):
        self.page = page
        self.box = page.locator(".course-chart").filter(has=page.get_by_role("slider", name=slider)).first
        self.spec = json.loads(self.box.locator("script").text_content())
        self.words = self.spec["usermeta"]["words"]

    def slider(self, name):
        return self.box.get_by_role("slider", name=name)

    def to(self, name, steps):
        """Move a slider by the keyboard to its step number ``steps`` from the left, or from the right if negative."""
        slider = self.slider(name)
        slider.press("Home" if steps >= 0 else "End")
        for _ in range(steps if steps >= 0 else -1 - steps):
            slider.press("ArrowRight" if steps >= 0 else "ArrowLeft")

    def drag(self, name, share):
        """Move a slider by the mouse to ``share`` of its length."""
        slider = self.slider(name)
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        middle = box["y"] + box["height"] / 2
        self.page.mouse.move(box["x"] + box["width"] / 2, middle)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + box["width"] * share, middle, steps=3)
        self.page.mouse.up()

    def rows(self):
        return self.box.evaluate(f"place => ({ROWS})(place, {json.dumps(self.words['rows'])})")

    def parameter(self, name):
        return self.box.evaluate(f"place => place.vegaView.signal({json.dumps(name)})")

    def assert_said(self):
        """The sentence and the table say what is drawn now."""
        rows = self.rows()
        self.box.get_by_role("status").filter(has_text=rows[0]["sentence"]).wait_for()
        lines = self.box.locator("tbody tr").evaluate_all(
            "all => all.map((line) => [...line.children].map((cell) => cell.textContent))"
        )
        assert lines == [[str(row[field]) for field in self.words["columns"]] for row in rows]


@pytest.fixture
def opened(visit, course_site):
    """opened(path, slider, width=1280): the chart; in the end nothing asked of other hosts, and no error."""
    windows = []

    def begin(path, slider, width=1280):
        windows.append(visit(course_site, width))
        return Chart(windows[-1].open(path), slider)

    yield begin
    for window in windows:
        assert window.outside == []
        assert window.errors == []


def assert_mix(chart):
    """Gradients and losses are those of autograd in double precision, of the logits that the chart carries."""
    lam, temperature, image = (chart.parameter(name) for name in ("lam", "T", "image"))
    given = [row for row in chart.spec["datasets"]["answers"] if row["image"] == image]
    student = torch.tensor([[row["F"] for row in given]], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[row["y"] for row in given]], dtype=torch.float64)
    label = torch.tensor([[row["true"] for row in given].index(1)])
    hard, soft = hard_label_loss(student, label), soft_target_loss(student, teacher, temperature)
    (of_hard,) = torch.autograd.grad((1 - lam) * hard, student)
    (of_soft,) = torch.autograd.grad(lam * soft, student)
    shown = chart.rows()
    for name, expected in (("hard", of_hard), ("soft", of_soft), ("mix", of_hard + of_soft)):
        assert [row[name] for row in shown] == pytest.approx(expected[0].tolist(), abs=1e-4), name
    for name, loss in (("hard_loss", hard), ("soft_loss", soft)):
        assert shown[0][name] == pytest.approx(float(loss.detach()), abs=1e-4), name


@pytest.mark.parametrize("width", [1280, 390])
def test_mix_of_labels_and_soft_targets(opened, width):
    chart = opened(CHAPTER_02, "weight λ", width)
    for steps, lam in ((0, 0.0), (2, 0.002), (-3, 0.998), (-1, 1.0)):
        chart.to("weight λ", steps)
        assert chart.parameter("lam") == pytest.approx(lam)
        for temperature in (0, 16, -1):
            chart.to("log₂ T", temperature)
            assert_mix(chart)
    chart.drag("weight λ", 0.3)
    chart.drag("log₂ T", 0.7)
    assert 0.2 < chart.parameter("lam") < 0.4
    assert 4 < chart.parameter("T") < 8
    assert chart.parameter("lam") in [pytest.approx(lam) for lam in LAMS]
    chart.box.get_by_role("combobox", name="image").select_option(index=3)
    assert chart.parameter("image") == 3
    assert_mix(chart)
    chart.assert_said()


@pytest.mark.parametrize("width", [1280, 390])
def test_bias_of_a_class(opened, width):
    chart = opened(CHAPTER_08, "added to the logit, b", width)
    accuracies = chart.spec["datasets"]["accuracies"]
    for steps in (0, 13, -1):
        chart.to("added to the logit, b", steps)
        b = chart.parameter("b")
        assert b == pytest.approx(steps / 4 if steps >= 0 else 10)
        expected = {row["group"]: row["right"] for row in accuracies if row["b"] == b}
        assert {row["group"]: row["right"] for row in chart.rows()} == expected
        chart.assert_said()


def test_temperature(opened):
    chart = opened(CHAPTER_02, "log₂ T")
    rows = [row for part in chart.spec["layer"] for row in all_rows(part) if "logit" in row]
    logits = torch.tensor([row["logit"] for row in rows[:10]], dtype=torch.float64)
    chart.to("log₂ T", 3)
    steps = [2.0 ** (-2 + 3 / 8)]
    check = [(steps[0], chart.rows())]
    chart.drag("log₂ T", 0.9)
    check.append((chart.parameter("T"), chart.rows()))
    assert check[1][0] > 8
    for temperature, shown in check:
        expected = torch.softmax(logits / temperature, dim=0).tolist()
        assert [row["probability"] for row in shown] == pytest.approx(expected, abs=1e-4)
    chart.assert_said()


def all_rows(part):
    """The data that a part of a specification carries."""
    return [
        *part.get("data", {}).get("values", []),
        *(row for child in part.get("layer", []) for row in all_rows(child)),
    ]


def assert_parts(chart):
    radius, angle = chart.parameter("r_s"), chart.parameter("degrees")
    expected = parts_of(radius, angle, 2.0, 30.0)
    shown = {row["name"]: row["value"] for row in chart.rows()}
    assert shown == {name: pytest.approx(value, abs=1e-4) for name, value in expected.items()}


def test_radius_and_angle(opened):
    chart = opened(CHAPTER_06, "student's radius")
    for radius in (0, 20, -1):
        chart.to("student's radius", radius)
        for angle in (0, 30, -1):
            chart.to("student's angle", angle)
            assert_parts(chart)
    chart.drag("student's radius", 0.4)
    chart.drag("student's angle", 0.25)
    assert 1.1 < chart.parameter("r_s") < 1.3
    assert -115 < chart.parameter("degrees") < -75
    assert_parts(chart)
    chart.assert_said()


def assert_measured(chart, grids):
    """What is shown of the chosen cell is what the files hold."""
    grid = grids[chart.parameter("size")]
    runs = np.array(grid["validation"])[chart.parameter("row"), chart.parameter("column")]
    hard = np.array(grid["hard_validation"])
    shown = chart.rows()
    assert [row["seed"] for row in shown] == grid["seeds"]
    assert [row["runs"] for row in shown] == pytest.approx(runs, abs=1e-4)
    assert [row["hard_runs"] for row in shown] == pytest.approx(hard, abs=1e-4)
    assert shown[0]["here"][0] == pytest.approx(runs.mean(), abs=1e-4)
    assert shown[0]["gap"][0] == pytest.approx((runs - hard).mean(), abs=1e-4)
    half = 2.262157 * (runs - hard).std(ddof=1) / len(runs) ** 0.5  # Student's t, 9 degrees of freedom
    assert shown[0]["gap"][1:] == pytest.approx(
        [shown[0]["gap"][0] - half, shown[0]["gap"][0] + half], abs=1e-4
    )


def test_measured_grids(opened):
    files = (ROOT / "data" / "results" / f"tuning_grid_digits_{size}.json" for size in (50, 200, 1200))
    grids = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    chart = opened(EXPLORER, "weight λ")
    for size, labels in enumerate(("50", "200", "1,200")):
        chart.box.get_by_role("combobox", name="number of labels").select_option(labels)
        assert chart.parameter("size") == size
        for row in (0, 5, -1):
            chart.to("temperature T", row)
            for column in (0, 4, -1):
                chart.to("weight λ", column)
                assert (chart.parameter("row"), chart.parameter("column")) == (row % 10, column % 9)
                assert_measured(chart, grids)
    chart.drag("temperature T", 0.5)
    chart.drag("weight λ", 0.25)
    assert chart.parameter("row") in (4, 5)
    assert chart.parameter("column") == 2
    assert_measured(chart, grids)
    chart.assert_said()
    # A click into the map moves the sliders.
    cell = chart.box.locator(".map_0_marks path").nth(7 * 9 + 3).bounding_box()
    chart.page.mouse.click(cell["x"] + cell["width"] / 2, cell["y"] + cell["height"] / 2)
    chart.page.wait_for_function(
        "place => place.vegaView.signal('row') === 7", arg=chart.box.element_handle()
    )
    assert chart.slider("temperature T").input_value() == "7"
    assert chart.slider("weight λ").input_value() == "3"
    assert_measured(chart, grids)
    text = chart.page.locator("article").inner_text()
    for grid in grids:
        assert grid["command"] in text.replace(" \\\n   ", "")
        assert grid["machine"] in text
    assert grids[0]["date"] in text


@pytest.mark.parametrize(
    ("path", "count"), [(CHAPTER_02, 5), (CHAPTER_06, 2), (EXPLORER, 3)], ids=["02", "06", "explorer"]
)
def test_controls_are_native_named_and_reached_by_keyboard(visit, course_site, path, count):
    window = visit(course_site)
    page = window.open(path)
    found = page.locator(".course-chart :is(input, select)")
    assert found.count() == count
    for place in page.locator(".course-chart").all():
        assert len(place.get_attribute("aria-label").split()) > 5
        assert len(place.get_by_role("status").inner_text().split()) > 5
    for control in found.all():
        assert control.get_attribute("aria-label").strip()
    found.first.focus()
    for control in found.all():
        while not control.evaluate("control => control === document.activeElement"):
            assert page.evaluate("() => document.activeElement !== document.body")
            page.keyboard.press("Tab")
        style = control.evaluate("c => [getComputedStyle(c).outlineStyle, getComputedStyle(c).outlineWidth]")
        assert style == ["solid", "3px"]
        if control.get_attribute("type") == "range":
            before, said = control.input_value(), control.get_attribute("aria-valuetext")
            page.keyboard.press("ArrowLeft")
            assert control.input_value() != before
            assert said is None or control.get_attribute("aria-valuetext") != said
    assert window.outside == []
    assert window.errors == []


def test_scripts_of_charts_are_loaded_once_and_small(visit, course_site, capsys):
    window = visit(course_site)
    window.open(CHAPTER_02)  # two charts
    scripts = [url for url in window.loaded if "/charts/" in url]
    assert len(scripts) == len(window.page.locator("script[src*='charts/']").all()) == 2
    sizes = [window.loaded[url] for url in scripts]
    assert sum(sizes) <= SCRIPTS_ALLOWED
    packed = sum(
        len(gzip.compress(path.read_bytes())) for path in (course_site.html / "_static/charts").glob("*.js")
    )
    with capsys.disabled():
        print(
            f"\ncharts' scripts: {sum(sizes):,} bytes as shipped, {packed:,} where a server compresses them"
        )


def test_how_long_a_move_takes_is_told(opened, capsys):
    for path, slider in ((CHAPTER_02, "weight λ"), (CHAPTER_06, "student's radius"), (EXPLORER, "weight λ")):
        chart = opened(path, slider)
        times = chart.box.evaluate(
            """async (place, name) => {
                const slider = [...place.querySelectorAll("input")].find((i) => i.ariaLabel.includes(name));
                const times = [];
                for (let move = 0; move < 20; move++) {
                    slider.value = Number(slider.min) + (move % 8 + 1) * Number(slider.step);
                    const start = performance.now();
                    slider.dispatchEvent(new Event("input", { bubbles: true }));
                    await place.vegaView.runAsync();
                    times.push(performance.now() - start);
                }
                return times;
            }""",
            slider,
        )
        assert len(times) == 20
        with capsys.disabled():
            print(f"\n{path}, {slider}: median {statistics.median(times):.0f} ms from move to drawing")


def test_where_a_script_does_not_arrive_a_still_picture_says_what_is_missing(visit, course_site):
    window = visit(course_site, width=390)
    page = window.page
    page.route("**/charts/bundle.js*", lambda route: route.abort())
    page.goto(course_site.address + EXPLORER)
    page.get_by_text("Moving them needs JavaScript").wait_for()
    picture = page.locator(".course-still img")
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    assert "heat map" in picture.get_attribute("alt")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert window.outside == []


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark")], ids=["wide", "phone", "dark"]
)
def test_pictures_of_the_charts_are_kept(visit, course_site, width, scheme):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    window = visit(course_site, width, scheme)
    for path in (CHAPTER_02, CHAPTER_06, EXPLORER):
        page = window.open(path)
        for number, box in enumerate(page.locator(".course-chart").all(), start=1):
            shown = box.bounding_box()
            drawing = box.locator("svg.marks").bounding_box()
            assert drawing["x"] >= shown["x"]
            assert drawing["x"] + drawing["width"] <= shown["x"] + shown["width"]
            name = f"{Path(path).stem}_{number}_{width}_{scheme}.png"
            box.screenshot(path=SCREENSHOTS / name)
    assert window.errors == []
