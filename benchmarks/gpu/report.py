"""One file of results, written whenever a part is known, from which a stopped run goes on."""

import gc
import json
import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.card import Size
from course_lib.files import write_json
from course_lib.provenance import provenance

log = logging.getLogger(__name__)


class Report:
    """The results of all parts.

    Args:
        path: of the file; what it holds of the same sizes is not measured again.
        size: of everything.
        seconds: of the whole run; a part that would come too late is left for the next one.
        commit: of the code, where the folder cannot tell.
    """

    def __init__(self, path: Path, size: Size, seconds: float, commit: str | None):
        self._path, self._until = path, time.perf_counter() + seconds
        self.content: dict[str, Any] = {
            "what": "AlexNet on CIFAR-10 in full on one GPU: speed, the article's recipe, photographs without labels",
            "command": "python -m benchmarks.gpu",
            "size": json.loads(json.dumps(asdict(size))),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
            "parts": {},
        }
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if all(kept.get(key) == self.content[key] for key in ("size", "device")):
                self.content["parts"] = kept["parts"]
        own = provenance()
        self.content |= own | {"commit": commit or own["commit"]}

    @property
    def left(self) -> float:
        """Seconds."""
        return self._until - time.perf_counter()

    def part(self, name: str, make: Callable[[], dict], needs: float = 0.0) -> dict | None:
        """What ``make`` measures, kept under the name; None where time is short or it fails.

        Args:
            name: of the part.
            make: measures it.
            needs: seconds it may take.
        """
        parts = self.content["parts"]
        if name in parts and "error" not in parts[name]:
            return parts[name]
        if self.left < needs:
            log.info("%s: left out, %.0f s left", name, self.left)
            return None
        start = time.perf_counter()
        try:
            found = make()
        except Exception as error:  # the parts after it do not depend on it
            log.info("%s", traceback.format_exc())
            parts[name] = {"error": f"{type(error).__name__}: {error}"}
            self.write()
            return None
        parts[name] = found | {"seconds": round(time.perf_counter() - start, 2)}
        if torch.cuda.is_available():
            parts[name]["peak_memory_bytes"] = torch.cuda.max_memory_reserved()
            gc.collect()  # a graph and its memory go with the fleet, which refers to itself
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        self.write()
        log.info("%s: %.1f s, %.0f s left", name, parts[name]["seconds"], self.left)
        return parts[name]

    def write(self) -> None:
        """All that is known."""
        write_json(self._path, self.content)
