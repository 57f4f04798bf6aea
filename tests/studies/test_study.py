"""A long experiment that is stopped goes on where it was, and its file says where it comes from."""

import json

import pytest

from studies.study import Study


def test_what_is_kept_is_not_measured_again_and_other_settings_are(tmp_path):
    calls = []

    def measure():
        calls.append(1)
        return {"values": (1.5, 2.0)}

    for _ in range(2):
        assert Study("one", "What.", {"steps": 3}, tmp_path).kept("a", measure) == {"values": [1.5, 2.0]}
    assert len(calls) == 1
    Study("one", "What.", {"steps": 4}, tmp_path).kept("a", measure)
    assert len(calls) == 2


def test_a_measurement_that_fails_keeps_nothing(tmp_path):
    study = Study("one", "What.", {}, tmp_path)
    with pytest.raises(ZeroDivisionError):
        study.kept("a", lambda: 1 / 0)
    assert study.kept("a", lambda: 3) == 3


def test_the_file_tells_command_settings_versions_and_machine(tmp_path):
    study = Study("one", "What.", {"seeds": range(2).stop}, tmp_path)
    study.kept("a", lambda: 1)
    written = json.loads(study.write(results=[1, 2]).read_text(encoding="utf-8"))
    assert study.write(results=[]) == tmp_path / "data" / "results" / "one.json"
    assert written["command"] == "python -m studies.one"
    assert (written["what"], written["settings"], written["results"]) == ("What.", {"seeds": 2}, [1, 2])
    assert {"versions", "machine", "commit", "date", "seconds"} <= written.keys()
    assert "a: " in next((tmp_path / "build" / "studies" / "one").glob("*/log.txt")).read_text()
