"""Running several notebooks: order, what stops a run, and a report that is complete at every moment."""

import json

import pytest

from course_lib.errors import CourseError
from course_lib.runner import plan
from course_lib.runner.course import run_course

FAILS = "raise KeyError('lost')"


class Silent:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def begin(self, *_):
        pass

    cell = end = begin


@pytest.fixture
def run(make_notebook, tmp_path):
    def run(*sources, jobs=1):
        plans = [plan(make_notebook(f"{i:02}_n", source)) for i, source in enumerate(sources)]
        report = run_course(plans, tmp_path / "build", Silent(), jobs=jobs)
        return report, json.loads((tmp_path / "build" / "report.json").read_text())

    return run


def test_the_report_says_what_ran_and_on_what(run, tmp_path):
    report, written = run("1", "2")
    assert report.ok
    assert written["ok"]
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


def test_several_at_once_are_reported_in_order_and_share_the_cores(run, tmp_path, monkeypatch):
    monkeypatch.setattr("course_lib.runner.course.os.cpu_count", lambda: 6)
    waits = "import os, time; from pathlib import Path\nassert os.environ['OMP_NUM_THREADS'] == '3'\n"
    # Only where both run at once can the first one end.
    first = waits + "while not Path('second').exists(): time.sleep(0.02)\ntime.sleep(1)"
    report, written = run(first, waits + "Path('second').touch()", jobs=2)
    assert report.ok
    assert [entry["name"] for entry in written["notebooks"]] == ["00_n", "01_n"]
    assert written["jobs"] == 2


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
    assert not json.loads((tmp_path / "build" / "report.json").read_text())["ok"]


def test_the_notebooks_themselves_are_never_overwritten(make_notebook):
    path = make_notebook("00_n")
    before = path.read_bytes()
    with pytest.raises(CourseError, match="choose another"):
        run_course([plan(path)], path.parent.parent, Silent())
    assert path.read_bytes() == before


def test_jobs_must_be_positive(make_notebook, tmp_path):
    with pytest.raises(CourseError, match="jobs must be at least 1"):
        run_course([plan(make_notebook("00_n"))], tmp_path, Silent(), jobs=0)
