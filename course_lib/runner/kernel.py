"""Starts notebook kernels in this very interpreter and measures their memory.

A kernel specification named "python3" in the user's home folder may point to another Python; the course's notebooks
must run where course_lib is installed, so the specification is made here.
"""

import contextlib
import threading
from collections.abc import Iterable
from typing import Any

import psutil
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from traitlets import Dict

# OpenMP's threads wait for each other spinning. On a busy machine the one that is waited for may not be running at all,
# and small networks then train ten times slower: spin briefly, then sleep.
SPIN_COUNT = "5000"
MEMORY_METHOD = "resident memory of each kernel and its child processes, sampled every 0.1 s"


class _ThisInterpreter(KernelSpecManager):
    environment = Dict()

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        # At its usual level the kernel warns on every start that the local connection is not encrypted.
        kernel = get_kernel_dict(extra_arguments=["--IPKernelApp.log_level=ERROR"])
        return KernelSpec(resource_dir=RESOURCES, env=self.environment, **kernel)


def kernel_manager(threads: int | None = None) -> AsyncKernelManager:
    """A manager of one kernel of this interpreter, whose numerical libraries use at most ``threads`` threads."""
    environment = {
        "COURSE_CLAIMS": "",  # a claim that fails is shown and reported; it does not stop the notebook
        "COURSE_PROGRESS": "0",  # bars are for live notebooks: nobody sees them here, and outputs are stored
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "GOMP_SPINCOUNT": SPIN_COUNT,
    }
    if threads is not None:
        environment |= dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads)
        )
    return AsyncKernelManager(kernel_spec_manager=_ThisInterpreter(environment=environment))


def stop(manager: AsyncKernelManager) -> None:
    """End the kernel and all processes that it has started."""
    end_trees([manager])
    if manager.has_kernel:
        run_sync(manager.shutdown_kernel)(now=True)


def end_trees(managers: Iterable[AsyncKernelManager], patience: float = 2.0) -> None:
    """End kernels and their children, also those in sessions of their own; what does not heed SIGTERM is killed.

    Args:
        managers: of kernels, whether or not they run.
        patience: seconds between the request and the kill.
    """
    processes = [process for manager in managers for process in _tree(manager)]
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _tree(manager: AsyncKernelManager) -> list[psutil.Process]:
    """The kernel's process and its children; none where it does not run."""
    pid = getattr(manager.provisioner, "pid", None)
    try:
        kernel = psutil.Process(pid) if pid else None
        return [kernel, *kernel.children(recursive=True)] if kernel else []
    except psutil.Error:  # the process has just ended
        return []


class MemoryMeter:
    """The peak memory of kernels, each alone and all together, in bytes; use it as a context manager."""

    def __init__(self, interval: float = 0.1) -> None:
        self.peak = 0
        self._interval = interval
        self._managers: dict[str, AsyncKernelManager] = {}
        self._peaks: dict[str, int] = {}
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "MemoryMeter":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._done.set()
        self._thread.join()

    def add(self, name: str, manager: AsyncKernelManager) -> None:
        with self._lock:
            self._managers[name] = manager

    def remove(self, name: str) -> int:
        """Stop watching; returns this kernel's peak."""
        with self._lock:
            self._managers.pop(name, None)
            return self._peaks.get(name, 0)

    def end(self) -> None:
        """End all kernels that are watched, and what they have started."""
        with self._lock:
            managers = list(self._managers.values())
        end_trees(managers)

    def _watch(self) -> None:
        while not self._done.wait(self._interval):
            with self._lock:
                now = {name: _resident(manager) for name, manager in self._managers.items()}
                for name, size in now.items():
                    self._peaks[name] = max(self._peaks.get(name, 0), size)
                self.peak = max(self.peak, sum(now.values()))


def _resident(manager: AsyncKernelManager) -> int:
    total = 0
    for process in _tree(manager):
        with contextlib.suppress(psutil.Error):  # it has just ended
            total += process.memory_info().rss
    return total
