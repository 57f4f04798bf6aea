"""The table says of each comparison exactly what was measured."""

import pytest
import torch
from scipy import stats

from course_lib import show
from course_lib.errors import CourseError
from course_lib.measure import Comparison, Diagnosis

COMPARISONS = {
    "50 <labels>": Comparison(7.6234, 6.1, 9.1, "BEATS", 20),
    "1200 labels": Comparison(-0.0712, -0.2, 0.05, "NO DIFFERENCE", 20),
    "worse": Comparison(-3.0, -4.0, -2.0, "WORSE", 5),
}


def test_plain_text_has_an_aligned_row_per_comparison():
    head, *rows = repr(show.comparison_table(COMPARISONS)).splitlines()
    assert head.split() == ["mean", "difference", "interval", "pairs", "verdict"]
    assert [" ".join(row.split()) for row in rows] == [
        "50 <labels> +7.62 [+6.1, +9.1] 20 BEATS",
        "1200 labels -0.0712 [-0.2, +0.05] 20 NO DIFFERENCE",
        "worse -3 [-4, -2] 5 WORSE",
    ]
    starts = {
        row.index(verdict) for row, verdict in zip(rows, ("BEATS", "NO DIFFERENCE", "WORSE"), strict=True)
    }
    assert starts == {head.index("verdict")}


def test_margins_have_a_column_where_one_is_stated():
    stated = Comparison(0.1, -0.4, 0.6, "NO DIFFERENCE", 20, margin=1.0)
    open_ = Comparison(0.1, -0.4, 1.6, "UNDECIDED", 20)
    head, *rows = repr(show.comparison_table({"a": stated, "b": open_})).splitlines()
    assert head.split() == ["mean", "difference", "interval", "margin", "pairs", "verdict"]
    assert [" ".join(row.split()) for row in rows] == [
        "a +0.1 [-0.4, +0.6] ±1 20 NO DIFFERENCE",
        "b +0.1 [-0.4, +1.6] 20 UNDECIDED",
    ]
    assert "? UNDECIDED" in show.comparison_table({"b": open_})._repr_html_()


def diagnosis(**changed):
    values = {
        "train": torch.tensor([1.0, 0.98]),
        "test": torch.tensor([0.80, 0.82]),
        "agreement": torch.tensor([0.9, 0.9]),
        "confidence_gap": torch.tensor([0.05, -0.01]),
    }
    return Diagnosis(**values | changed)


def test_diagnoses_are_means_over_students_with_intervals_in_per_cent():
    one = {name: torch.tensor([0.5]) for name in ("train", "test", "confidence_gap")}
    table = show.diagnosis_table({"few": diagnosis(), "one": diagnosis(agreement=None, **one)})
    _, first, second = repr(table).splitlines()
    half = stats.t.ppf(0.975, 1)  # times the standard error, 1 point for values 2 points apart
    words = f"few 99.0 [{99 - half:.1f}, {99 + half:.1f}] 81.0 [{81 - half:.1f}, {81 + half:.1f}] 90.0 [90.0, 90.0] "
    words += f"+2.0 [{2 - 3 * half:+.1f}, {2 + 3 * half:+.1f}]"
    assert " ".join(first.split()) == words
    assert second.split() == ["one", "50.0", "50.0", "–", "+50.0"]
    page = table._repr_html_()
    assert "agrees with the teacher, %" in page
    assert "90.0 [90.0, 90.0]" in page


def test_diagnosis_table_refuses_other_things():
    for wrong in ({}, {"a": 1.0}, [diagnosis()]):
        with pytest.raises(CourseError, match="diagnoses must"):
            show.diagnosis_table(wrong)


def test_page_has_the_same_words_and_escapes_names():
    page = show.comparison_table(COMPARISONS)._repr_html_()
    assert page.count("<tr>") == 4
    assert "50 &lt;labels&gt;" in page
    for words in ("+7.62", "[+6.1, +9.1]", ">20<", "BEATS", "NO DIFFERENCE", "WORSE"):
        assert words in page


@pytest.mark.parametrize("wrong", [{}, [COMPARISONS["worse"]], {"a": 3.0}], ids=["empty", "list", "number"])
def test_refuses_other_things(wrong):
    with pytest.raises(CourseError, match="comparisons must"):
        show.comparison_table(wrong)
