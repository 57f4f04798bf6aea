"""Where a measured number comes from: machine, versions, date and commit, to stand in every file of results."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_PACKAGES = ("torch", "numpy", "scikit-learn")


def provenance(command: str) -> dict[str, Any]:
    """What a file of results says of its making: "date", "command", "machine", "versions", "commit"."""
    return {
        "date": datetime.date.today().isoformat(),
        "command": command,
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            **{package: importlib.metadata.version(package) for package in _PACKAGES},
        },
        "commit": _commit(),
    }


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    information = Path("/proc/cpuinfo")  # Linux: platform.processor() says no more than the architecture
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of the course's folder, marked where files differ from it; "unknown" outside a repository."""
    command = ["git", "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent
        )
    except OSError:  # no git
        return "unknown"
    return answer.stdout.strip() or "unknown"
