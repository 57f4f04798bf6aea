"""The items of `course check`: what the course needs from its environment, and how to fix each one.

Every item looks by doing: it imports, loads, or starts the very thing that the notebooks will use.
"""

import importlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MINIMUM_PYTHON = (3, 11)
NEEDED_SPACE = 2e9  # bytes: the website, executed notebooks and the decoded CIFAR-10 with room to spare
_EXTRA = "Install what notebooks need, in the course's folder: pip install -e '.[course]'"
_BOOK = "Install what the website needs, in the course's folder: pip install -e '.[book]'"
_LAB_WIDGETS = "Install it again: pip install --force-reinstall jupyterlab_widgets"
_LIBRARY = "Install the library again, in the course's folder: pip install -e ."
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Item:
    """One checked thing; ``found`` says what is there, or what went wrong."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    required: bool = True


def checks() -> Iterator[Item]:
    """Check one thing after the other. What only a part of the course needs is not required."""
    yield _python()
    yield _item("PyTorch", _version_of("torch"), _LIBRARY)
    yield _item("torchvision", _torchvision, _LIBRARY)
    yield _item("Lightning Fabric", _version_of("lightning_fabric"), _LIBRARY)
    yield _item("digits", _digits, "Install scikit-learn again: pip install --force-reinstall scikit-learn")
    yield from lab_checks()
    yield _item("papermill", _version_of("papermill"), _EXTRA)
    yield _item("Altair, with its bundle", _altair, _EXTRA)
    yield _item("Jupyter Book", _version_of("jupyter_book"), _BOOK, required=False)
    yield _item(
        "Chromium", _chromium, "Only the tests of the website use it; install the package chromium.", False
    )
    yield _item("GPU", _gpu, "Only the profile full gains from one; README says how to run on a GPU.", False)
    yield from _data_sets()
    yield _item("writing", _writing, "Give yourself write permission for this folder, or go to another one.")
    yield _item("disk", _space, "Make room on this disk.")


def lab_checks() -> Iterator[Item]:
    """What JupyterLab needs to run a notebook and to show its widgets."""
    yield _item("JupyterLab", _version_of("jupyterlab"), _EXTRA)
    yield _item("kernel", _kernel, _EXTRA)
    yield _item("ipywidgets", _version_of("ipywidgets"), _EXTRA)
    yield _item("widgets in JupyterLab", _lab_widgets, _LAB_WIDGETS)


def _item(name: str, look: Callable[[], str], fix: str, required: bool = True) -> Item:
    try:
        return Item(name, True, look(), fix, required)
    except Exception as error:  # whatever stops a part from working is what the learner must read
        return Item(name, False, _sentence(error), fix, required)


def _sentence(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _python() -> Item:
    found = f"{sys.version.split()[0]} in {sys.executable}"
    fix = f"Install Python {'.'.join(map(str, MINIMUM_PYTHON))} or later and set up again."
    return Item("Python", sys.version_info >= MINIMUM_PYTHON, found, fix)


def _version_of(module: str) -> Callable[[], str]:
    return lambda: str(importlib.import_module(module).__version__)


def _torchvision() -> str:
    from course_lib._torchvision import torchvision

    return str(torchvision.__version__)


def _digits() -> str:
    from course_lib import data

    digits = data.load("digits")
    return f"{len(digits.train) + len(digits.validation) + len(digits.test)} images, part of scikit-learn"


def _kernel() -> str:
    """The kernel that JupyterLab starts for "python3" must be the Python that has course_lib."""
    from ipykernel._version import __version__
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    executable = Path(manager.format_kernel_cmd()[0])
    if not executable.exists() or not executable.samefile(sys.executable) or executable.parent != _bin():
        specification = manager.kernel_spec
        assert specification is not None  # the command comes from it
        raise RuntimeError(
            f"JupyterLab's python3 is {executable}, not {sys.executable}; "
            f"remove the specification in {specification.resource_dir}, or set JUPYTER_PREFER_ENV_PATH=1"
        )
    return f"python3 is {executable}, ipykernel {__version__}"


def _lab_widgets() -> str:
    """The half of ipywidgets that runs in the browser is a package of its own, and JupyterLab must find it."""
    from jupyter_core.paths import jupyter_path

    for folder in jupyter_path("labextensions"):
        package = Path(folder) / "@jupyter-widgets" / "jupyterlab-manager" / "package.json"
        if package.is_file():
            version = json.loads(package.read_text(encoding="utf-8"))["version"]
            return f"jupyterlab-manager {version}"
    raise RuntimeError("JupyterLab does not find the extension that shows widgets")


def _bin() -> Path:
    return Path(sys.executable).parent


def _altair() -> str:
    import altair
    import vl_convert

    bundle = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue]  # the stub forgets a default
    return f"{altair.__version__}, {len(bundle) / 1e6:.1f} MB of JavaScript"


def _chromium() -> str:
    for name in _CHROMIUM:
        if path := shutil.which(name):
            return path
    raise RuntimeError("not found")


def _gpu() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    if torch.backends.mps.is_available():
        return "Apple's GPU (mps)"
    raise RuntimeError("none; the course runs on the CPU")


def _data_sets() -> Iterator[Item]:
    try:
        from course_lib import data
    except ImportError:  # told by the items above
        return
    for record in data.available():
        if not record.required:  # the required one has been loaded above
            yield Item(f"data: {record.name}", record.ready, record.where, record.fix, required=False)


def _writing() -> str:
    folder = next(folder for folder in (Path("build"), Path.cwd()) if folder.is_dir())
    with tempfile.NamedTemporaryFile(dir=folder):
        return str(folder.resolve())


def _space() -> str:
    free = shutil.disk_usage(Path.cwd()).free
    if free < NEEDED_SPACE:
        raise RuntimeError(f"{free / 1e9:.1f} GB free, {NEEDED_SPACE / 1e9:.0f} GB are needed")
    return f"{free / 1e9:.1f} GB free"
