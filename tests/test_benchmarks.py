"""The benchmarks fit the library as it is now; what they measure is not a test's business."""

import importlib
import json
import pkgutil
from types import SimpleNamespace

import pytest
import torch
from lightning_fabric import Fabric

import benchmarks

MODULES = [each.name for each in pkgutil.iter_modules(benchmarks.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_it_can_be_imported(name):
    importlib.import_module(f"benchmarks.{name}")


def test_the_throughput_is_measured_in_small():
    from benchmarks.throughput import Size, measure

    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    found = measure(Size(1 / 32, 1 / 64, images=256, matrix=64), fabric, rounds=2)
    assert set(found["images_per_second"]) == {"hard labels", "teacher kept", "teacher live", "usual loop"}
    assert all(speed > 0 for speed in found["images_per_second"].values())
    assert found["share_of_peak, teacher kept"] > 0


def test_the_row_of_the_course_states_wall_clock_over_the_sum(tmp_path, monkeypatch):
    from benchmarks import __main__ as bench

    path = tmp_path / "report.json"
    monkeypatch.setattr(bench, "COURSE_REPORT", path)
    assert "not measured" in bench.told(bench.course_seconds())
    report = {
        "seconds": 130.0,
        "notebook_seconds": 250.0,
        "ratio": 0.52,
        "jobs": 2,
        "notebooks": [{}, {}, {}],
    }
    path.write_text(json.dumps(report))
    targets = {"seconds": "≤ 300", "ratio": "≤ 0.6"}
    assert bench.course_seconds() == report | {"notebooks": 3, "targets": targets}
    told = bench.told(bench.course_seconds())
    assert told.startswith("whole course, 3 notebooks, 2 at once: 130 s")
    assert "0.52 (target ≤ 0.6)" in told
    path.write_text(json.dumps(report | {"notebooks": [{}]}))
    assert bench.course_seconds() is None  # the last run was of one notebook


@pytest.mark.parametrize(
    ("one", "every", "best"), [([2.0] * 3, [4.0] * 3, "one"), ([4.0] * 3, [2.0] * 3, "all")]
)
def test_the_default_is_compared_with_the_better_of_one_thread_and_all(one, every, best):
    from benchmarks.threads import row

    made = row("small MLP", {"default": [3.0, 3.0, 3.0], "one": one, "all": every}, busy=False)
    assert made["ratio"].median == 1.5
    assert made["what"].endswith(f"({best})")
    assert made["target"] == "≤ 1.1"


def test_a_training_is_timed_with_the_default_one_and_all_threads(monkeypatch):
    from benchmarks import threads

    monkeypatch.setattr(threads.threads, "ALL_THREADS_FROM", 5.0)  # put back afterwards
    seen = []

    def noted(*_, **__):
        seen.append((torch.get_num_threads(), threads.threads.ALL_THREADS_FROM))
        return SimpleNamespace(seconds=1.0)

    monkeypatch.setattr(threads, "fit", noted)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        ways = threads.contestants(None, None, None)
        assert [run() for run in ways.values()] == [1.0, 1.0, 1.0]
    finally:
        torch.set_num_threads(before)
    assert dict(zip(ways, seen, strict=True)) == {"default": (3, 5.0), "one": (1, 5.0), "all": (3, 0)}
