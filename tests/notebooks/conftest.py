"""Runs of whole notebooks begin before all other tests, the longest first: else one would be left over at the end."""

import pytest
from notebook_runs import ROOT

from course_lib.runner import plan
from course_lib.runner.order import longest_first

RUNS = ("test_outputs_are_as_committed", "test_small_with_other_parameters")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    runs = [item for item in items if getattr(item, "originalname", None) in RUNS]
    paths = {item.callspec.params["path"] for item in runs}
    report = ROOT / "build" / "report.json"
    order = [each.path for each in longest_first([plan(path) for path in sorted(paths)], report)]
    runs.sort(key=lambda item: (RUNS.index(item.originalname), order.index(item.callspec.params["path"])))
    items[:] = runs + [item for item in items if item not in set(runs)]
