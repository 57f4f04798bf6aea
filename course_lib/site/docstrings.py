"""Turns the library's docstrings, which are written to be read as plain text, into the markup that Sphinx reads."""

import inspect
import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import import_module
from itertools import takewhile
from typing import Any

from course_lib.site.reference import PACKAGES, address, public

_CODE = re.compile(r"``(.+?)``")
_TOGETHER = re.compile(r" {4}(\w+(?:, \w+)+): (.*)")
_MARKUP = re.compile(r"[\\*|`]|_(?!\w)")  # would begin or end emphasis, a substitution, a reference


def as_markup(lines: Iterable[str]) -> list[str]:
    """The lines of a docstring with plain text escaped, public names linked, and examples left as they are.

    What stands between double backticks is code. The section "Returns:" becomes a field of its own, because Sphinx
    would take the words before its first colon for a type.
    """
    result, returns = [], False
    for line, is_code in _with_code(_one_by_one(list(lines))):
        text = line if is_code else _escaped(line)
        if line == "Returns:":
            returns = True
        elif returns:
            result += ["", f":returns: {text.strip()}"]
            returns = False
        else:
            result.append(text)
    return result


def _with_code(lines: Iterable[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is code: part of an example, or of a block that is announced by "::"."""
    example, announced, outside = False, False, 0
    for line in lines:
        indent = len(line) - len(line.lstrip())
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if line.strip() and announced and indent <= outside:
            announced = False
        yield line, example or announced
        if not announced and line.endswith("::"):
            announced, outside = True, indent


def _one_by_one(lines: list[str]) -> list[str]:
    """Several arguments that are described together, "low, high: ...", described one after the other.

    Sphinx would take "low," for the type of "high".
    """
    result = []
    for number, line in enumerate(lines):
        if together := _TOGETHER.match(line):
            rest = list(takewhile(lambda text: text.startswith(" " * 8), lines[number + 1 :]))
            names = together[1].split(", ")
            for name in names[:-1]:
                result += [f"    {name}: {together[2]}", *rest]
            line = f"    {names[-1]}: {together[2]}"
        result.append(line)
    return result


def _escaped(line: str) -> str:
    # Every second part stands between double backticks.
    parts = _CODE.split(line)
    return "".join(
        _code(part) if number % 2 else _MARKUP.sub(r"\\\g<0>", part) for number, part in enumerate(parts)
    )


def _code(text: str) -> str:
    where = _addresses().get(text)
    return f":py:obj:`{text} <{where}>`" if where else f"``{text}``"


@cache
def _addresses() -> dict[str, str]:
    """Where the names lead that can only mean a function or a class, such as ``soft_target_loss``.

    A name that two packages have, or that is also a parameter's or an ordinary word, such as ``teacher_logits`` or
    ``fit``, is left as code; its full name is linked.
    """
    short: dict[str, set[str]] = {}
    parameters = set()
    for package in map(import_module, (f"course_lib.{name}" for name in PACKAGES)):
        for name, thing in public(package).items():
            short.setdefault(name, set()).add(address(package, name))
            if callable(thing):
                parameters.update(_parameters(thing))
    full = {where: where for found in short.values() for where in found}
    telling = {
        name: next(iter(found))
        for name, found in short.items()
        if len(found) == 1 and name not in parameters and ("_" in name or name[0].isupper())
    }
    return full | telling


def _parameters(thing: Any) -> Iterable[str]:
    try:
        return inspect.signature(thing).parameters
    except ValueError:
        return ()
