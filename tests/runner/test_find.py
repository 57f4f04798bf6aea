"""Finding notebooks and judging the parameters asked for."""

import pytest

from course_lib.errors import CourseError
from course_lib.runner import course_root, list_notebooks, parse_parameters, plan, select


@pytest.fixture
def folder(make_notebook):
    for name in ("01_second", "00_first", "10_tenth", "00_first-Copy1", "notes"):
        path = make_notebook(name)
    return path.parent


def names(paths):
    return [path.stem for path in paths]


def test_only_numbered_notebooks_belong_to_the_course_in_order(folder):
    assert names(list_notebooks(folder)) == ["00_first", "01_second", "10_tenth"]
    assert select(folder) == list_notebooks(folder)


@pytest.mark.parametrize("word", ["01", "1", "01_second", "01_second.ipynb"])
def test_a_notebook_is_chosen_by_number_or_name(folder, word):
    assert names(select(folder, [word])) == ["01_second"]


def test_a_notebook_is_chosen_by_path(folder):
    assert names(select(folder, [str(folder / "notes.ipynb"), "00"])) == ["00_first", "notes"]


def test_the_order_is_the_courses_and_doubles_run_once(folder):
    assert names(select(folder, ["10", "0", "00_first"])) == ["00_first", "10_tenth"]


def test_an_unknown_notebook_is_told_with_the_list(folder):
    with pytest.raises(CourseError, match=r"'07'; the course has 00_first, 01_second, 10_tenth\.$"):
        select(folder, ["07"])


def test_an_empty_folder_is_told(tmp_path):
    with pytest.raises(CourseError, match="no notebook"):
        select(tmp_path)


def test_the_course_is_found_from_inside_its_notebooks(folder):
    assert course_root(folder) == folder.parent.resolve()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8", 8),
        ("5e-3", 0.005),
        ("true", True),
        ("True", True),
        ("None", None),
        ("null", None),
        ("adam", "adam"),
        ('"8"', "8"),
        ("[50, 100]", [50, 100]),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_values_of_parameters(text, value):
    assert parse_parameters([f"name={text}"]) == {"name": value}


@pytest.mark.parametrize("word", ["temperature", "=8", "two words=8"])
def test_a_parameter_without_name_or_value_is_told(word):
    with pytest.raises(CourseError, match="name=value"):
        parse_parameters([word])


def test_a_plan_tells_changed_values_from_defaults(make_notebook):
    path = make_notebook("00_first", parameters='profile = "quick"  # or full\nseed = 0\ntemperature = 4.0')
    default = plan(path, "quick", {"seed": 0})
    assert default.changed == {}
    assert default.parameters == {"profile": "quick", "seed": 0, "temperature": 4.0}
    other = plan(path, "full", {"temperature": 8})
    assert other.changed == {"profile": "full", "temperature": 8}
    assert other.parameters == {"profile": "full", "seed": 0, "temperature": 8}


def test_an_unknown_parameter_is_told_with_the_list(make_notebook):
    with pytest.raises(CourseError, match="no parameter 'lr'; its parameters are: profile, seed"):
        plan(make_notebook("00_first"), "quick", {"lr": 1})


@pytest.mark.parametrize("value", ["abc", True, [1]])
def test_a_value_of_another_kind_is_told(make_notebook, value):
    with pytest.raises(CourseError, match="seed must be a number like 0"):
        plan(make_notebook("00_first"), "quick", {"seed": value})


def test_the_profile_needs_a_parameter_only_where_it_changes_something(make_notebook):
    path = make_notebook("00_first", parameters="seed = 0")
    assert plan(path, "quick").changed == {}
    with pytest.raises(CourseError, match="no parameter 'profile'"):
        plan(path, "full")


def test_a_file_that_is_no_notebook_is_told(tmp_path):
    path = tmp_path / "00_broken.ipynb"
    path.write_text("{")
    with pytest.raises(CourseError, match=r"00_broken\.ipynb cannot be read as a notebook"):
        plan(path)
