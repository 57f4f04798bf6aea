"""Executed notebooks, made fit to be committed."""

import base64

import nbformat
import pytest

from course_lib.runner import plan
from course_lib.runner.clean import store
from course_lib.runner.execute import run_notebook

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CELLS = (
    "import time\nprint('a', flush=True)\ntime.sleep(0.3)\nprint('b')",
    "",
    "from ipywidgets import IntSlider\nIntSlider()",
    "from course_lib import show\nshow.predict('Is it?', ['yes', 'no'], key='it')",
    (f"from IPython.display import Image\nimport base64\nImage(data=base64.b64decode('{PIXEL}'))", ["cover"]),
)

pytestmark = pytest.mark.xdist_group("stored")  # the notebook is run once


@pytest.fixture(scope="module")
def stored(make_notebook_in, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    path = make_notebook_in(folder, "00_n", *CELLS)
    before = nbformat.read(path, as_version=4)
    result = run_notebook(plan(path), folder / "build" / path.name)
    store(result.output, path, folder / "book" / "cover.png")
    return before, nbformat.read(path, as_version=4), path


def test_nothing_of_the_run_itself_is_stored(stored):
    _, after, path = stored
    assert after.metadata.keys() == {"kernelspec", "language_info"}
    assert "version" not in after.metadata.language_info
    assert all(cell.metadata.keys() <= {"tags"} for cell in after.cells)
    text = path.read_text()
    for trace in ("papermill", "injected", "widget-view", "widget-state", str(path.parent.parent)):
        assert trace not in text


def test_sources_and_ids_stay(stored):
    before, after, _ = stored
    assert [(cell.id, cell.source) for cell in after.cells] == [
        (cell.id, cell.source) for cell in before.cells
    ]


def test_cells_are_numbered_in_order_and_prints_are_one_output(stored):
    cells = [cell for cell in stored[1].cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == [1, 2, None, 3, 4, 5]
    assert cells[5].outputs[0].execution_count == 5
    assert [output.text for output in cells[1].outputs] == ["a\nb\n"]


def test_a_widget_that_has_a_form_as_html_is_stored_in_that_form(stored):
    slider, question = [cell.outputs for cell in stored[1].cells if cell.cell_type == "code"][3:5]
    assert slider == []
    assert [output.data.keys() for output in question] == [{"text/plain", "text/html"}]


def test_the_cover_is_written(stored):
    assert (stored[2].parents[1] / "book" / "cover.png").read_bytes() == base64.b64decode(PIXEL)


def test_a_second_run_changes_nothing(stored, tmp_path):
    path = stored[2]
    before = path.read_bytes()
    store(run_notebook(plan(path), tmp_path / "build" / path.name).output, path, tmp_path / "cover.png")
    assert path.read_bytes() == before


def test_injected_parameters_stay_in_a_learners_copy_but_no_record_of_the_run(make_notebook, tmp_path):
    path = make_notebook("00_n", "print(seed)")
    output = run_notebook(plan(path, parameters={"seed": 5}), tmp_path / "build" / path.name).output
    after = nbformat.read(output, as_version=4)
    assert [cell.metadata.tags for cell in after.cells[1:3]] == [["parameters"], ["injected-parameters"]]
    assert "papermill" not in after.metadata
