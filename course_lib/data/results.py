"""Results of long measurements made elsewhere, which come with the course as small files."""

import json
from typing import Any

from course_lib.data import places
from course_lib.errors import CourseError


def measured(name: str) -> dict[str, Any]:
    """The content of ``data/results/<name>.json``; each file says how, when and where it was measured.

    Raises:
        CourseError: there is no such result, or only the library is installed, which comes without them.
    """
    folder = places.course_folder() / "results"
    if not folder.is_dir():
        raise CourseError(
            f"There are no results in {folder}: go to the course's folder; pip installs only the library, without them"
        )
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.json"))) or "none"
        raise CourseError(f"name must be a result in {folder} ({known}), got {name!r}")
    return json.loads(path.read_text(encoding="utf-8"))
