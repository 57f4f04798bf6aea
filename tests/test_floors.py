"""Which package may import which: one way only, and private modules stay within their package."""

import ast
from pathlib import Path

import pytest

import course_lib

ROOT = Path(course_lib.__file__).parent
# Each may import those before it, and what belongs to no floor, such as errors.
FLOORS = ("data", "models", "losses", "matrices", "training", "measure", "show")


def imported(path):
    """What a file imports from the library when it runs: ("course_lib.losses.common", its name), and so on."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("course_lib"):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("course_lib."))


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_point_one_way(floor):
    above = FLOORS[FLOORS.index(floor) + 1 :]
    files = [ROOT / f"{floor}.py"] if floor == "matrices" else sorted((ROOT / floor).glob("*.py"))
    assert files
    found = {
        f"{path.relative_to(ROOT)} imports {module}.{name}"
        for path in files
        for module, name in imported(path)
        if f"{module}.{name}.".split(".")[1] in above
    }
    assert not found


def test_private_modules_and_names_stay_within_their_package():
    found = set()
    for path in sorted(ROOT.rglob("*.py")):
        package = ".".join(("course_lib", *path.parent.relative_to(ROOT).parts))
        for module, name in imported(path):
            parts = f"{module}.{name}".split(".")
            private = next(
                (place for place, part in enumerate(parts) if part.startswith("_") and part[1:2] != "_"), None
            )
            if private is not None and not f"{package}.".startswith(".".join(parts[:private]) + "."):
                found.add(f"{path.relative_to(ROOT)} imports {module}.{name}")
    assert not found
