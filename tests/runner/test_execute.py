"""Running one notebook: its outcome, its kernel, its claims, and every way in which it can fail."""

import sys

import nbformat
import psutil
import pytest

from course_lib.mime import CLAIM as CLAIM_TYPE
from course_lib.runner import plan
from course_lib.runner.execute import run_notebook
from course_lib.runner.kernel import MemoryMeter

CLAIM = "from course_lib.measure import claim\nclaim('the seed is zero', seed == 0, f'seed {seed}')"


@pytest.fixture
def run(make_notebook, tmp_path):
    def run(*cells, changed=None, **options):
        path = make_notebook("00_tiny", *cells)
        return run_notebook(plan(path, parameters=changed), tmp_path / "build {seed}" / path.name, **options)

    return run


def streams(result):
    cells = nbformat.read(result.output, as_version=4).cells
    return "".join(output.text for cell in cells for output in cell.get("outputs", []) if "text" in output)


def publish(*sentences, holds="True"):
    """Claims without the library, which takes long to import; they hold where the expression ``holds`` is true."""
    lines = ["from IPython.display import publish_display_data"]
    for each in sentences:
        claim = f"{{'sentence': {each!r}, 'holds': {holds}, 'evidence': f'seed {{seed}}'}}"
        lines.append(f"publish_display_data({{{CLAIM_TYPE!r}: {claim}}})")
    return "\n".join(lines)


def test_the_kernel_is_this_interpreter_in_the_notebooks_folder(run, tmp_path, monkeypatch):
    spec = tmp_path / "data" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        '{"argv": ["/no/such/python", "-f", "{connection_file}"], "display_name": "x"}'
    )
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    monkeypatch.setenv("COURSE_CLAIMS", "strict")
    names = ["COURSE_CLAIMS", "OMP_NUM_THREADS", "COURSE_PROGRESS"]
    code = f"import os, sys; print(sys.executable, os.getcwd(), *map(os.environ.get, {names}))"
    result = run(code, threads=3)
    assert result.failure is None
    assert streams(result) == f"{sys.executable} {tmp_path / 'notebooks'}  3 0\n"


def test_a_claim_is_collected_with_its_cell(run):
    result = run("", CLAIM)
    assert result.claims == [{"cell": 4, "sentence": "the seed is zero", "holds": True, "evidence": "seed 0"}]
    assert result.ok


def test_a_false_claim_fails_the_defaults_and_is_only_reported_elsewhere(run):
    default = run(publish("the seed is one", holds="seed == 1"))
    assert not default.ok
    assert default.failure is None
    assert len(default.false_claims) == 1
    other = run(publish("the seed is zero", holds="seed == 0"), changed={"seed": 5})
    assert other.ok
    assert other.false_claims == [
        {"cell": 3, "sentence": "the seed is zero", "holds": False, "evidence": "seed 5"}
    ]


def test_parameters_are_injected_below_their_defaults(run):
    assert streams(run("print(profile, seed)", changed={"seed": 5, "profile": "full"})) == "full 5\n"


@pytest.mark.parametrize("changed", [None, {"seed": 5}])
def test_an_error_is_located_and_what_ran_before_is_kept(run, changed):
    result = run("print('before')", "\nvalue = 1 / 0\nmore = 2", "print('after')", changed=changed)
    assert not result.ok
    assert (result.failure.cell, result.failure.source) == (4, "value = 1 / 0")
    assert str(result.failure) == "cell 4, 'value = 1 / 0': ZeroDivisionError: division by zero"
    assert "\x1b" not in result.failure.traceback
    assert streams(result) == "before\n"


def test_an_error_inside_a_widgets_callback_is_found(run):
    result = run("from ipywidgets import interact\n\n@interact(a=(0, 3))\ndef show(a):\n    return [][a]")
    assert not result.ok
    assert "widget's callback raised IndexError" in result.failure.error


def test_a_widget_that_works_is_no_failure(run):
    result = run("from ipywidgets import interact\n\n@interact(a=(0, 3))\ndef show(a):\n    return a")
    assert result.ok


@pytest.mark.parametrize("changed", [None, {"seed": 2}])
def test_a_kernel_that_dies_is_a_failure_of_its_cell(run, changed):
    result = run("print('before')", "import os; os._exit(1)", changed=changed)
    assert result.failure.cell == 4
    assert "kernel died" in result.failure.error


@pytest.mark.parametrize("with_child", [False, True])
def test_the_peak_memory_of_the_kernel_and_its_children_is_measured(run, with_child):
    code = "block = bytearray(b'a') * 300_000_000\nimport time; time.sleep(1.5)"
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}], check=True)"
    with MemoryMeter(interval=0.02) as meter:
        result = run(code, child if with_child else "", "del block; time.sleep(0.1)", meter=meter)
    expected = 600e6 if with_child else 300e6
    assert expected < result.peak_memory < expected + 250e6
    assert meter.peak == result.peak_memory


def test_every_cell_is_announced(run):
    seen = []
    run("1", "2", on_cell=seen.append)
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize("changed", [None, {"seed": 2}])
def test_a_cell_that_ends_the_notebook_without_an_error_is_a_failure(run, changed):
    result = run("print('before')", "import sys; sys.exit()", "print('after')", changed=changed)
    assert not result.ok
    assert str(result.failure) == (
        "cell 4, 'import sys; sys.exit()': SystemExit: the cell ended the notebook, and no cell below it ran"
    )
    assert streams(result).startswith("before\n")
    assert "after" not in streams(result)


@pytest.mark.parametrize("changed", [None, {"seed": 2}])
def test_a_claim_that_is_stored_and_no_longer_made_is_missed(make_notebook, tmp_path, changed):
    path = make_notebook("00_tiny", "1", publish("a", "b"), publish("c"))
    stored = run_notebook(plan(path), tmp_path / "out" / path.name)
    assert stored.ok
    notebook = nbformat.read(stored.output, as_version=4)
    notebook.cells[3].source = publish("a")
    notebook.cells[4].source = publish("c", "d")
    nbformat.write(notebook, path)
    result = run_notebook(plan(path, parameters=changed), stored.output)
    assert not result.ok
    assert result.failure is None
    assert result.lost_claims == [
        "cell 4, 'from IPython.display import publish_display_data': claims are missing, 1 of the 2 stored with the "
        "notebook; if that is meant, clear the cell's outputs"
    ]
    assert result.record()["lost_claims"] == result.lost_claims
    notebook.cells[3].outputs = []
    nbformat.write(notebook, path)
    assert run_notebook(plan(path), stored.output).ok


def test_while_it_runs_nothing_lies_in_its_place_and_then_the_whole(run, tmp_path):
    output = tmp_path / "build {seed}" / "00_tiny.ipynb"
    output.parent.mkdir()
    output.write_text("of the last run")
    code = f"import os; print(sorted(os.listdir({str(output.parent)!r})))"
    assert streams(run(code)) == "['.00_tiny.ipynb']\n"
    assert [each.name for each in output.parent.iterdir()] == ["00_tiny.ipynb"]


def test_outputs_that_cannot_be_written_are_a_failure_and_no_traceback(run, tmp_path):
    result = run(f"import shutil; shutil.rmtree({str(tmp_path / 'build {seed}')!r})")
    assert str(result.failure).startswith("its outputs cannot be written: ")
    assert not result.ok


@pytest.mark.parametrize("heeds", [True, False])
def test_what_a_kernel_has_started_ends_with_it(run, tmp_path, heeds):
    ignore = "" if heeds else "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    child = f"import signal, time; {ignore}print(flush=True); time.sleep(300)"
    code = f"""import subprocess, sys
command = [sys.executable, "-c", {child!r}]
child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
child.stdout.readline()
print(child.pid)"""
    assert not alive(int(streams(run(code))))


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
