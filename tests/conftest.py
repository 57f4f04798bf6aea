"""What all tests share: settings that keep them deterministic, a browser, and a maker of tiny notebooks."""

import functools
import shutil
import signal

import nbformat
import pytest
import torch
from hypothesis import settings
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

settings.register_profile("course", deadline=None, derandomize=True)
settings.load_profile("course")
torch.set_num_threads(1)  # tensors in tests are tiny, and sums do not depend on the machine's cores


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items):
    """Websites take long to build: the tests that look at one stay in one process."""
    for item in items:
        if {"small_site", "course_site"} & set(item.fixturenames):
            item.add_marker(pytest.mark.xdist_group("website"))


CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync "
    "--no-first-run"
)


@pytest.fixture(scope="session")
def chromium():
    """The one browser of the session: Playwright can be started only once in a thread."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium on this machine; install the package chromium for the tests in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def used_up_quota():
    """No file can grow beyond 100 kB."""
    resource = pytest.importorskip("resource", reason="needs limits of processes")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


@pytest.fixture
def make_notebook(make_notebook_in, tmp_path):
    """make_notebook("02_name", "code", ...): a notebook with a title, a parameters cell, then the given code cells.

    A cell given as (code, tags) is tagged. The file lies in notebooks/ of the test's folder.
    """
    return functools.partial(make_notebook_in, tmp_path)


@pytest.fixture(scope="session")
def make_notebook_in():
    """make_notebook_in(folder, "02_name", "code", ...): the same in notebooks/ of this folder."""

    def make(folder, name, *cells, parameters='profile = "quick"\nseed = 0'):
        path = folder / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        content = [new_markdown_cell("# Title"), _code((parameters, ["parameters"])), *map(_code, cells)]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(new_notebook(cells=content, metadata={"kernelspec": kernel}), path)
        return path

    return make


def _code(cell):
    source, tags = (cell, []) if isinstance(cell, str) else cell
    return new_code_cell(source, metadata={"tags": tags})


@pytest.fixture(scope="session")
def task():
    """A tuning task small enough for a test: the digits, an untrained teacher, few steps."""
    from course_lib.data import load
    from course_lib.matrices import class_soft_matrix
    from course_lib.models import small_mlp
    from course_lib.training import Recipe, cache_teacher, teacher_logits
    from course_lib.tuning import Task

    digits = load("digits", seed=0)
    torch.manual_seed(0)
    teacher = small_mlp()
    answers = teacher_logits(teacher, digits.train)
    matrix = class_soft_matrix(answers, digits.train.labels, 4.0, 10)
    return Task(digits, cache_teacher(teacher, digits.train, soft_matrix=matrix), 20, Recipe(steps=20))
