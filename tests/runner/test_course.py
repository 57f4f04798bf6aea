"""Running several notebooks: order, what stops a run, and a report that is complete at every moment."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from course_lib.errors import CourseError
from course_lib.runner import plan
from course_lib.runner.course import run_course
from course_lib.runner.folder import NEEDED_SPACE, occupied
from course_lib.runner.order import longest_first

FAILS = "raise KeyError('lost')"


class Silent:
    def __init__(self):
        self.begun = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def begin(self, name, cells):
        self.begun.append(name)

    def cell(self, *_):
        pass

    end = cell


@pytest.fixture
def run(make_notebook, tmp_path):
    def run(*sources, jobs=1, shown=None):
        plans = [plan(make_notebook(f"{i:02}_n", source)) for i, source in enumerate(sources)]
        report = run_course(plans, tmp_path / "build", shown or Silent(), jobs=jobs)
        return report, json.loads((tmp_path / "build" / "report.json").read_text())

    return run


def test_the_report_says_what_ran_and_on_what(run, tmp_path):
    report, written = run("1", "2")
    assert report.ok
    assert written["ok"]
    assert (written["state"], written["process"]) == ("finished", os.getpid())
    assert [entry["name"] for entry in written["notebooks"]] == ["00_n", "01_n"]
    entry = written["notebooks"][0]
    assert entry["profile"] == "quick"
    assert entry["parameters"] == {"profile": "quick", "seed": 0}
    assert entry["cells"] == 3
    assert entry["claims"] == []
    assert 0 < entry["seconds"] < written["seconds"]
    assert written["peak_memory_bytes"] >= entry["peak_memory_bytes"] > 1e6
    assert {"python", "torch", "papermill"} <= written["versions"].keys()
    assert {"system", "processor", "cores", "memory_bytes"} <= written["machine"].keys()
    assert (tmp_path / "build" / "notebooks" / "01_n.ipynb").is_file()


def test_an_error_stops_the_run_and_keeps_what_ran_before(run, tmp_path):
    report, written = run("1", FAILS, "3")
    assert not report.ok
    assert not written["ok"]
    assert [entry["ok"] for entry in written["notebooks"]] == [True, False]
    assert written["notebooks"][1]["failure"]["error"] == "KeyError: 'lost'"
    assert written["not_run"] == ["02_n"]
    assert sorted(path.name for path in (tmp_path / "build" / "notebooks").iterdir()) == [
        "00_n.ipynb",
        "01_n.ipynb",
    ]


def test_after_an_error_what_runs_is_finished_and_nothing_else_begins(run):
    _, written = run(FAILS, "import time; time.sleep(3)", "3", jobs=2)
    assert [(entry["name"], entry["ok"]) for entry in written["notebooks"]] == [
        ("00_n", False),
        ("01_n", True),
    ]
    assert written["not_run"] == ["02_n"]


def test_a_false_claim_fails_the_run_after_all_have_run(run):
    claim = {"application/vnd.course.claim+json": {"sentence": "s", "holds": False, "evidence": ""}}
    report, written = run(
        f"from IPython.display import publish_display_data\npublish_display_data({claim})", "2"
    )
    assert not report.ok
    assert [entry["ok"] for entry in written["notebooks"]] == [False, True]
    assert written["notebooks"][0]["claims"] == [
        {"cell": 3, "sentence": "s", "holds": False, "evidence": ""},
    ]


@pytest.mark.parametrize("jobs", [2, None])
def test_several_at_once_are_reported_in_order_and_share_the_cores(run, tmp_path, monkeypatch, jobs):
    monkeypatch.setattr("course_lib.runner.course.os.cpu_count", lambda: 6)
    waits = "import os, time; from pathlib import Path\nassert os.environ['OMP_NUM_THREADS'] == '3'\n"
    # Only where both run at once can the first one end.
    first = waits + "while not Path('second').exists(): time.sleep(0.02)\ntime.sleep(1)"
    report, written = run(first, waits + "Path('second').touch()", jobs=jobs)
    assert report.ok
    assert [entry["name"] for entry in written["notebooks"]] == ["00_n", "01_n"]
    assert written["jobs"] == 2
    summed = sum(entry["seconds"] for entry in written["notebooks"])
    assert written["notebook_seconds"] == pytest.approx(summed, abs=0.02)
    assert written["ratio"] == pytest.approx(written["seconds"] / summed, rel=0.02)
    assert written["ratio"] < 1


def test_by_default_there_are_never_more_at_once_than_cores(run, monkeypatch):
    monkeypatch.setattr("course_lib.runner.course.os.cpu_count", lambda: 1)
    _, written = run("1", "2", jobs=None)
    assert written["jobs"] == 1
    assert written["ratio"] >= 1


def test_one_notebook_alone_keeps_all_threads(run, monkeypatch):
    monkeypatch.setattr("course_lib.runner.course.os.cpu_count", lambda: 6)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")  # as the user set it
    report, written = run("import os\nassert os.environ['OMP_NUM_THREADS'] == '5'", jobs=None)
    assert report.ok
    assert written["jobs"] == 1


@pytest.mark.parametrize(("jobs", "last"), [(2, "01_n"), (1, "02_n")])
def test_the_longest_of_the_last_run_begin_first_where_several_run_at_once(run, tmp_path, jobs, last):
    write_times(tmp_path / "build" / "report.json", {"00_n": 2.0, "01_n": 1.0, "02_n": 3.0})
    shown = Silent()
    report, written = run("1", "2", "3", jobs=jobs, shown=shown)
    assert report.ok
    assert shown.begun[-1] == last
    assert [entry["name"] for entry in written["notebooks"]] == ["00_n", "01_n", "02_n"]


def write_times(path, seconds, **others):
    """A report as of a former run."""
    entry = {"profile": "quick", "failure": None} | others
    path.parent.mkdir(exist_ok=True)
    entries = [{"name": name, "seconds": value} | entry for name, value in seconds.items()]
    path.write_text(json.dumps({"notebooks": entries}))


@pytest.mark.parametrize(
    ("others", "order"),
    [
        ({}, ["03_n", "02_n", "00_n", "01_n"]),  # the one without a time, then by time
        ({"profile": "full"}, ["03_n", "02_n", "01_n", "00_n"]),  # by cells
        ({"failure": {"cell": 1}}, ["03_n", "02_n", "01_n", "00_n"]),
    ],
)
def test_what_is_not_known_begins_first_with_the_most_cells(make_notebook, tmp_path, others, order):
    plans = [plan(make_notebook(f"{i:02}_n", *["1"] * i)) for i in range(4)]
    write_times(tmp_path / "report.json", {"00_n": 2.0, "01_n": 1.0, "02_n": 3.0}, **others)
    assert [each.name for each in longest_first(plans, tmp_path / "report.json")] == order


@pytest.mark.parametrize("content", [None, "{", "[]", '{"notebooks": [{"name": "00_n"}]}'])
def test_without_times_the_number_of_cells_decides(make_notebook, tmp_path, content):
    plans = [plan(make_notebook(f"{i:02}_n", *["1"] * i)) for i in range(2)]
    if content:
        (tmp_path / "report.json").write_text(content)
    assert [each.name for each in longest_first(plans, tmp_path / "report.json")] == ["01_n", "00_n"]


def test_stale_results_of_a_notebook_that_fails_now_are_gone(run, tmp_path):
    run("print('old')")
    run(FAILS)
    assert "old" not in (tmp_path / "build" / "notebooks" / "00_n.ipynb").read_text()


def test_an_interrupt_ends_the_kernels_and_leaves_a_report(make_notebook, tmp_path):
    plans = [plan(make_notebook("00_n", "1")), plan(make_notebook("01_n", "import time; time.sleep(120)"))]

    class Interrupted(Silent):
        def end(self, *_):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_course(plans, tmp_path / "build", Interrupted(), jobs=2)
    written = json.loads((tmp_path / "build" / "report.json").read_text())
    assert (written["state"], written["ok"], written["running"]) == ("interrupted", False, [])


def test_the_notebooks_themselves_are_never_overwritten(make_notebook):
    path = make_notebook("00_n")
    before = path.read_bytes()
    with pytest.raises(CourseError, match="choose another"):
        run_course([plan(path)], path.parent.parent, Silent())
    assert path.read_bytes() == before


def test_jobs_must_be_positive(make_notebook, tmp_path):
    with pytest.raises(CourseError, match="jobs must be at least 1"):
        run_course([plan(make_notebook("00_n"))], tmp_path, Silent(), jobs=0)


def test_the_report_is_true_while_notebooks_run(run, tmp_path):
    shown = f"from pathlib import Path\nprint(Path({str(tmp_path / 'build' / 'report.json')!r}).read_text())"
    run("1", shown, "3")
    cells = nbformat.read(tmp_path / "build" / "notebooks" / "01_n.ipynb", as_version=4).cells
    seen = json.loads(cells[2].outputs[0].text)
    assert (seen["state"], seen["process"], seen["ok"]) == ("running", os.getpid(), False)
    assert [entry["name"] for entry in seen["notebooks"]] == ["00_n"]
    assert seen["running"] == ["01_n"]
    assert seen["not_run"] == ["01_n", "02_n"]
    assert seen["started"] <= seen["written"]


def test_a_folder_is_for_one_run_at_a_time(tmp_path):
    with occupied(tmp_path / "build"):
        with (
            pytest.raises(
                CourseError, match=r"another run is at work in .*build: wait for it, or name another"
            ),
            occupied(tmp_path / "build"),
        ):
            pytest.fail("entered")
        with occupied(tmp_path / "other"):
            pass
    with occupied(tmp_path / "build"):
        pass


def test_a_folder_that_cannot_be_made_is_refused_in_words(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(CourseError, match=r"cannot write to .*build: Not a directory; name another folder"),
        occupied(tmp_path / "file" / "build"),
    ):
        pytest.fail("entered")


def test_a_full_disk_is_told_before_anything_runs(tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=int(NEEDED_SPACE) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with (
        pytest.raises(CourseError, match=r"build has 100 MB left, and a run needs 100 MB: make room"),
        occupied(tmp_path / "build"),
    ):
        pytest.fail("entered")


@pytest.mark.usefixtures("used_up_quota")
def test_a_used_up_quota_is_told_before_anything_runs(tmp_path):
    message = r"cannot write to .*build: File too large; name another folder"
    with pytest.raises(CourseError, match=message), occupied(tmp_path / "build"):
        pytest.fail("entered")


def test_what_a_killed_run_left_unfinished_is_removed(tmp_path):
    notebooks = tmp_path / "build" / "notebooks"
    notebooks.mkdir(parents=True)
    for name in (".00_n.ipynb", ".part-x", "01_n.ipynb"):
        (notebooks / name).touch()
    with occupied(tmp_path / "build"):
        assert [each.name for each in notebooks.iterdir()] == ["01_n.ipynb"]


def test_the_runner_itself_does_without_pytorch():
    code = "import sys, course_lib.runner.course, course_lib.runner.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
