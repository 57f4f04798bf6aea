"""The table says of each comparison exactly what was measured."""

import pytest

from course_lib import show
from course_lib.errors import CourseError
from course_lib.measure import Comparison

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
