"""The explorer of measured grids: numbers are those of numpy and scipy, in Python and on the page, for every cell."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from course_lib import show
from course_lib.errors import CourseError
from course_lib.show.explorer import cells_of

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"


def small(labels, seed):
    """A grid of 2 × 3 cells with 4 seeds."""
    random = np.random.default_rng(seed)
    hard = random.uniform(60, 70, 4).round(1)
    taught = random.uniform(60, 90, (2, 2, 4)).round(1)
    first = np.broadcast_to(hard, (2, 1, 4))
    return {
        "labels": labels,
        "temperatures": [1.0, 4.0],
        "lams": [0.0, 0.5, 1.0],
        "seeds": [7, 8, 9, 10],
        "validation": np.concatenate([first, taught], axis=1).tolist(),
        "hard_validation": hard.tolist(),
    }


SMALL = [small(50, 0), small(1200, 1)]


def by_scipy(values):
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    return [np.mean(values), low, high]


def assert_cell(cell, grid):
    runs = np.array(grid["validation"])[cell["at_row"], cell["at_column"]]
    hard = np.array(grid["hard_validation"])
    assert cell["here"] == pytest.approx(by_scipy(runs), abs=1e-4)
    assert cell["hard"] == pytest.approx(by_scipy(hard), abs=1e-4)
    expected = by_scipy(runs - hard) if (runs != hard).any() else [0, 0, 0]
    assert cell["gap"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "path", sorted(RESULTS.glob("tuning_grid_digits_*.json")), ids=lambda path: path.stem
)
def test_every_cell_of_the_committed_grids(path):
    grid = json.loads(path.read_text(encoding="utf-8"))
    cells = cells_of([grid])
    assert len(cells) == 90
    for cell in cells:
        assert_cell(cell, grid)


def test_sentence_says_what_was_measured():
    grid = small(1200, 2)
    grid["hard_validation"] = [60.0, 61.0, 62.0, 63.0]
    grid["validation"][1][1] = [70.0, 71.0, 72.0, 73.5]
    (sentence,) = (c["sentence"] for c in cells_of([grid]) if (c["at_row"], c["at_column"]) == (1, 1))
    assert sentence == (
        "1,200 labels, T = 4, λ = 0.5: 71.6 % [69.2, 74.0]; minus hard labels +10.12 points [+9.73, +10.52], 4 pairs: "
        "better than hard labels."
    )


def test_page_shows_the_runs_of_every_cell(draw_chart):
    page = draw_chart(show.explorer_chart(SMALL))
    for size, grid in enumerate(SMALL):
        for cell in cells_of([grid]):
            row, column = cell["at_row"], cell["at_column"]
            shown, accuracies, chosen = page.evaluate(
                """async (signals) => {
                    for (const [name, value] of Object.entries(signals)) view.signal(name, value);
                    await view.runAsync();
                    const named = (item, name) =>
                        item.name === name ? item.items : (item.items ?? []).flatMap((each) => named(each, name));
                    const rows = (name) => named(view.scenegraph().root, name).map((mark) => mark.datum);
                    return [rows("differences_1_marks"), rows("accuracies_0_marks"), rows("map_0_marks")];
                }""",
                {"size": size, "row": row, "column": column},
            )
            runs, hard = grid["validation"][row][column], grid["hard_validation"]
            assert [each["seed"] for each in shown] == grid["seeds"]
            gaps = [each["gap_of_seed"] for each in shown]
            assert gaps == pytest.approx(np.subtract(runs, hard).tolist(), abs=1e-9)
            assert [each["here_words"] for each in shown] == [f"{run:.1f} %" for run in runs]
            assert sorted(each["accuracy"] for each in accuracies) == sorted(runs + hard)
            assert {each["sentence"] for each in shown} == {cell["sentence"]}
            assert len(chosen) == 6
            words = page.locator("svg").text_content()
            assert all(each["mean"] in words for each in cells_of([grid]))


def without(key):
    return [{name: value for name, value in SMALL[0].items() if name != key}]


@pytest.mark.parametrize(
    ("grids", "words"),
    [
        ([], "grids must hold at least one measured grid, got none"),
        (without("seeds"), "one lacks seeds"),
        ([SMALL[0], SMALL[1] | {"lams": [0.0, 0.5, 0.9]}], "must share their temperatures, lams and seeds"),
        ([SMALL[0] | {"hard_validation": [1.0]}], r"hard_validation \(4,\), got .* and \(1,\)"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(grids, words):
    with pytest.raises(CourseError, match=words):
        show.explorer_chart(grids)
