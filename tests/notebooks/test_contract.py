"""Every committed notebook keeps the contract, rule by rule, and all of them together make the course."""

import nbformat
import pytest
import yaml
from contract import FOLDER, NOTEBOOKS, RULES, tagged


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path, rule):
    assert rule(nbformat.read(path, as_version=4)), rule.__doc__


def test_notebooks_are_the_chapters_announced_and_begin_at_zero():
    """In the order of their numbers; a chapter that is still to come may leave a gap."""
    announced = [
        chapter["name"] for chapter in yaml.safe_load((FOLDER.parent / "book" / "chapters.yml").read_text())
    ]
    names = [path.stem for path in NOTEBOOKS]
    assert names[0].startswith("00_")
    assert names == [name for name in announced if name in names]


def test_only_one_notebook_makes_the_cover():
    assert [path.stem for path in NOTEBOOKS if tagged(nbformat.read(path, as_version=4), "cover")] == [
        "02_soft_targets"
    ]
