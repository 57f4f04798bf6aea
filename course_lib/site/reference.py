"""Writes the library's reference: one page for each package, with every public name, from the code itself."""

import inspect
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGES = ("data", "models", "losses", "matrices", "training", "measure", "distillation", "tuning")
_LONGEST = 300  # characters of a constant's value
_SOURCE = "What the training loop hands to a loss for the argument of this name."
_CONSTANTS = {
    "NAMES": "The data sets that can be loaded by name.",
    "STRIDE": "Pixels from one place of a searcher's map to the next.",
    "WINDOW": "Pixels: the side of what a searcher looks at for one place of its map.",
    "NO_LABEL": "The label of an example, or of a position, whose class is unknown; as in PyTorch.",
    "BASELINES": "Names of the baselines without settings to tune.",
    "TUNABLE": "Names of the baselines whose settings are chosen on validation data.",
    "INDEX": _SOURCE + " The number of each example in the full data set, (N,).",
    "INPUTS": _SOURCE,
    "LABELS": _SOURCE,
    "LOSSES": "The registry: methods by name, for plans, the command line and searches. Add yours.",
    "SOFT_MATRIX": _SOURCE + " S of the teacher's cache.",
    "STUDENT_GRADIENTS": _SOURCE + " JᵀS at the input, (N, m, \\*input_shape).",
    "STUDENT_LOGITS": _SOURCE,
    "TEACHER_GRADIENTS": _SOURCE + " JᵀS at the input, (N, m, \\*input_shape).",
    "TEACHER_LOGITS": _SOURCE,
    "DEFAULT": "The setting that the course begins with.",
    "HARD": "Hard labels alone: the setting to compare with.",
    "LAMS": "The weights λ of a grid, unless others are given.",
    "METHODS": "The methods of the registry, by title.",
    "SEARCHED": "The methods that a search chooses from, unless others are given.",
    "TEMPERATURES": "The temperatures of a grid, unless others are given.",
}


def write_reference(folder: Path) -> None:
    """A page of reStructuredText in ``folder`` for each of PACKAGES; Sphinx fills in signatures and docstrings."""
    folder.mkdir()
    for name in PACKAGES:
        package = import_module(f"course_lib.{name}")
        (folder / f"{name}.rst").write_text(page(package), encoding="utf-8")


def public(package: ModuleType) -> dict[str, Any]:
    """The public names of ``package`` with what they stand for, in the order of the alphabet, capitals first."""
    return {name: getattr(package, name) for name in sorted(package.__all__)}


def address(package: ModuleType, name: str) -> str:
    """Where a public name of ``package`` is described: there, or in the other package that it comes from."""
    home = getattr(getattr(package, name), "__module__", None) or package.__name__
    return ".".join([*home.split(".")[:2], name])


def page(package: ModuleType) -> str:
    """The page of one package: what it is for, its names by theme, then each of them in full, constants last."""
    title, found = package.__name__.rpartition(".")[2], public(package)
    parts = [title, "=" * len(title), "", f"``from {package.__name__} import ...``", ""]
    parts += [inspect.cleandoc(package.__doc__ or ""), "", f".. currentmodule:: {package.__name__}", ""]
    themes = _themes(found)
    if len(themes) > 1:
        parts += _overview(package, themes)
    for names in themes.values():
        for name in names:
            parts += _entry(package, name)
    constants = {name: thing for name, thing in found.items() if not _is_documented(thing)}
    if constants:
        parts += ["Constants", "---------", ""]
    for name, thing in constants.items():
        parts += [
            f".. py:data:: {name}",
            f"   :value: {_value(thing)}",
            "",
            f"   {_CONSTANTS.get(name, '')}",
            "",
        ]
    return "\n".join(parts)


def _is_documented(thing: Any) -> bool:
    return inspect.isclass(thing) or inspect.isfunction(thing)


def _themes(found: dict[str, Any]) -> dict[str, list[str]]:
    """{module: its public names}, in the order of the modules' names."""
    themes: dict[str, list[str]] = {}
    for name, thing in found.items():
        if _is_documented(thing):
            themes.setdefault(thing.__module__, []).append(name)
    return dict(sorted(themes.items()))


def _overview(package: ModuleType, themes: dict[str, list[str]]) -> list[str]:
    lines = []
    for module, names in themes.items():
        sentence = inspect.cleandoc(sys.modules[module].__doc__ or "").splitlines()[0]
        links = (f":py:obj:`{name} <{address(package, name)}>`" for name in names)
        lines += [", ".join(links), f"   {sentence}", ""]
    return lines


def _entry(package: ModuleType, name: str) -> list[str]:
    full = f"{package.__name__}.{name}"
    if address(package, name) != full:
        return []
    if inspect.isclass(getattr(package, name)):
        return [f".. autoclass:: {full}", "   :members:", "   :member-order: bysource", ""]
    return [f".. autofunction:: {full}", ""]


def _value(thing: Any) -> str:
    """A constant as Python writes it; of a table only the keys, whose values are functions."""
    text = repr(list(thing)) if isinstance(thing, Mapping) else repr(thing)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"
