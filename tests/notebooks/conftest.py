"""The runs of the notebooks take minutes of one core: they begin with the first test, beside all the others."""

import pytest
from notebook_runs import WORK, begin

_STARTED = pytest.StashKey()


def pytest_collection_finish(session):
    chosen = [
        (item.originalname, item.callspec.params["path"])
        for item in session.items
        if getattr(item, "originalname", None) in WORK and "path" in item.callspec.params
    ]
    if chosen and not session.config.option.collectonly:
        session.config.stash[_STARTED] = begin(chosen)


def pytest_sessionfinish(session):
    if _STARTED in session.config.stash:
        session.config.stash[_STARTED][0].shutdown(cancel_futures=True)


@pytest.fixture
def outcomes(request):
    """By test and notebook, the run that was begun for it."""
    return request.config.stash[_STARTED][1]
