"""`course run` as a process: how it ends when it is asked to, and what is left of one that is killed."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

WAITS = """import subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
Path("child").write_text(str(child.pid))
Path("child").rename("started")
time.sleep(300)"""


@pytest.fixture
def started(make_notebook, tmp_path):
    """A running `course run` in a course of one notebook that waits, with a child of its kernel."""
    make_notebook("00_waits", WAITS)
    command = [sys.executable, "-m", "course_lib.cli", "run", "--jobs", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            mark = tmp_path / "notebooks" / "started"
            while not mark.exists():
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            family = [psutil.Process(process.pid).children()[0], psutil.Process(int(mark.read_text()))]
            yield process, family, lambda: json.loads((tmp_path / "build" / "report.json").read_text())
        finally:
            process.kill()


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_sigterm_ends_the_kernel_and_its_children_and_the_report_says_so(started):
    process, family, report = started
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Interrupted. " in out
    assert " lists what had run." in " ".join(out.split())
    assert "Traceback" not in err
    for each in family:
        assert not each.is_running() or each.status() == psutil.STATUS_ZOMBIE
    written = report()
    assert (written["state"], written["not_run"]) == ("interrupted", ["00_waits"])


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_killed_run_is_known_by_its_report_and_told_by_the_next(started, make_notebook, tmp_path):
    process, family, report = started
    second = [sys.executable, "-m", "course_lib.cli", "run"]
    answer = subprocess.run(second, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr.startswith("another run is at work in ")
    process.kill()
    process.wait()
    for each in family:
        each.kill()
    written = report()
    assert (written["state"], written["process"]) == ("running", process.pid)
    make_notebook("00_waits", "1")
    answer = subprocess.run(second, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"(process {process.pid}) was killed before its end; 0 of 1 notebooks had run." in answer.stdout
    assert answer.returncode == 0
    assert report()["state"] == "finished"


def test_an_output_that_cannot_be_written_is_one_sentence(make_notebook, tmp_path):
    make_notebook("00_n", "1")
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "course_lib.cli", "run", "--output", "file"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stderr == "cannot write to file: File exists; name another folder with --output\n"
