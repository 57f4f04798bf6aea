"""Where a measured number comes from: the versions, the machine, the commit and the date, as they go into reports."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from course_lib.files import LIBRARY

_PACKAGES = ("torch", "torchvision", "lightning-fabric", "numpy", "scikit-learn")


def provenance(*packages: str) -> dict[str, Any]:
    """Date, commit, versions and machine of this process.

    Args:
        packages: to be named with their versions, besides those that training depends on.
    """
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "versions": versions(*packages),
        "machine": machine(),
    }


def versions(*packages: str) -> dict[str, str | None]:
    """Of Python and of the packages, by name; None where a package came as a part of another one."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in (*_PACKAGES, *packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def machine() -> dict[str, Any]:
    """System, processor, cores, memory in bytes where psutil is installed, and GPUs where there are any."""
    found = {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()}
    if (memory := _memory()) is not None:
        found["memory_bytes"] = memory
    if query := shutil.which("nvidia-smi"):
        answer = _said([query, "--query-gpu=name", "--format=csv,noheader"])
        found["gpus"] = [] if answer is None else answer.splitlines()
    return found


def peak_memory() -> int | None:
    """The most resident memory that this process has had so far, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def commit() -> str | None:
    """The commit of the course's folder, with "+" where files differ from it; None where it is not a git checkout."""
    root = str(LIBRARY.parent)
    if shutil.which("git") is None or not (LIBRARY.parent / ".git").exists():
        return None
    name = _said(["git", "-C", root, "rev-parse", "--short=12", "HEAD"])
    changed = _said(["git", "-C", root, "status", "--porcelain", "--untracked-files=no"])
    return name and name.strip() + ("+" if changed else "")


def _said(command: list[str]) -> str | None:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.stdout if answer.returncode == 0 else None


def _memory() -> int | None:
    try:
        import psutil
    except ImportError:
        return None
    return psutil.virtual_memory().total


def _processor() -> str:
    information = Path("/proc/cpuinfo")  # Linux: platform.processor() says no more than the architecture
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
