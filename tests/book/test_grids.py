"""The generated part of the explorer's page: what it says of the measured grids, and what without them; icons."""

import json
import re
from pathlib import Path

import numpy as np
from scipy import stats

from course_lib.site.grids import explorer
from course_lib.site.icons import drop_unused_icons

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"


def test_without_grids_the_page_says_how_to_make_them(tmp_path):
    chart, examined = explorer(tmp_path)
    assert "course tune grid" in chart
    assert examined == ""


def test_examination_is_that_of_the_files():
    chart, examined = explorer(RESULTS)
    assert "2,430 students" in chart  # 3 files, 10 seeds, 10 · 8 cells and the hard labels
    rows = [line for line in examined.splitlines() if " pairs" in line]
    assert [row.split("|")[1].strip() for row in rows] == ["50", "200", "1,200"]
    for row, labels in zip(rows, (50, 200, 1200), strict=True):
        grid = json.loads((RESULTS / f"tuning_grid_digits_{labels}.json").read_text(encoding="utf-8"))
        means = np.mean(grid["validation"], axis=2)
        best, test, hard = grid["best"], np.array(grid["best"]["test"]), np.array(grid["best"]["hard_test"])
        assert (
            means[grid["temperatures"].index(best["temperature"]), grid["lams"].index(best["lam"])]
            == means.max()
        )
        assert not set(best["test_seeds"]) & set(grid["seeds"])
        gap = test - hard
        low, high = stats.t.interval(0.95, len(gap) - 1, gap.mean(), stats.sem(gap))
        assert f"{gap.mean():+.1f} [{low:+.1f}, {high:+.1f}], 20 pairs" in row
        assert f"| {test.mean():.1f} % | {np.mean(best['default_test']):.1f} % | {hard.mean():.1f} % |" in row
        assert ("better" in row) == (low > 0)


def test_only_icons_that_no_page_names_are_dropped(tmp_path):
    scripts = tmp_path / "_static" / "scripts"
    scripts.mkdir(parents=True)
    icons = {
        "house": '[576,512,[127968,"home"],"f015","M5 2z"]',
        '"arrow-up"': '[384,512,[8593],"f062","M2 1z"]',
        "bars": '[448,512,["navicon"],"f0c9",["M1 1z","M2 2z"]]',
        "ghost": '[384,512,[],"f6e2","M3 3z"]',
    }
    body = ",".join(f"{name}:{icon}" for name, icon in icons.items())
    (scripts / "fontawesome.js").write_text(f"var icons={{{body}}};draw(icons);", encoding="utf-8")
    page = '<i class="fa-solid fa-home"></i><i class="fas fa-bars"></i>'
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    assert drop_unused_icons(tmp_path) == 2  # one by an older name
    left = (scripts / "fontawesome.js").read_text(encoding="utf-8")
    assert left == f"var icons={{house:{icons['house']},bars:{icons['bars']},}};draw(icons);"
    assert drop_unused_icons(tmp_path / "elsewhere") == 0


def test_every_icon_of_the_site_is_drawn(visit, course_site):
    page = visit(course_site).open("index.html")
    page.locator("svg.svg-inline--fa").first.wait_for(state="attached")
    assert page.locator("i[class*='fa-']").count() == 0
    empty = page.locator("svg.svg-inline--fa").evaluate_all(
        "all => all.filter((s) => !s.querySelector('path')).length"
    )
    assert empty == 0
    used = set(re.findall(r"data-icon=\"([\w-]+)\"", page.content()))
    assert len(used) >= 5
