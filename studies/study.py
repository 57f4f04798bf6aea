"""What every study shares: results kept one by one, a log, and one file in the end that says where it comes from."""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from course_lib.files import write_json
from course_lib.provenance import commit, machine, provenance

ROOT = Path(__file__).resolve().parents[1]


class Study:
    """One long experiment.

    Args:
        name: of its module in ``studies``, of its folder in ``build/studies`` and of its result.
        what: one sentence.
        settings: all numbers that the results depend on; with other settings nothing kept is used.
        root: of the course.
    """

    def __init__(self, name: str, what: str, settings: Mapping[str, Any], root: Path = ROOT):
        self.name, self.what, self.settings = name, what, json.loads(json.dumps(settings))
        self._commit = commit()  # of the code that runs; a file that is written on the way changes the folder
        mark = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:12]
        self._folder = root / "build" / "studies" / name / mark
        self._result = root / "data" / "results" / f"{name}.json"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = logging.getLogger(f"studies.{name}.{mark}.{id(self)}")
        self._log.setLevel(logging.INFO)
        for handler in (
            logging.StreamHandler(),
            logging.FileHandler(self._folder / "log.txt", encoding="utf-8"),
        ):
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            self._log.addHandler(handler)

    def kept(self, key: str, make: Callable[[], Any]) -> Any:
        """What ``make`` returns, made of lists, mappings, words and numbers; made once, then read back.

        Args:
            key: names the result within the study.
            make: measures it.
        """
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))["value"]
        start = time.perf_counter()
        value = make()
        seconds = round(time.perf_counter() - start, 1)
        write_json(path, {"key": key, "seconds": seconds, "machine": machine(), "value": value})
        self._log.info("%s: %.1f s", key, seconds)
        return json.loads(json.dumps(value))

    def write(self, **results: Any) -> Path:
        """Write the study's file, with the command, the settings, the date, the versions and the machine."""
        seconds = sum(
            json.loads(each.read_text(encoding="utf-8"))["seconds"] for each in self._folder.glob("*.json")
        )
        write_json(
            self._result,
            {
                "what": self.what,
                "command": f"python -m studies.{self.name}",
                "settings": self.settings,
                **results,
                "seconds": round(seconds),
                **provenance() | {"commit": self._commit},
            },
        )
        self._log.info("written to %s", self._result)
        return self._result
