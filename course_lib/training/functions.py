"""The user's functions and modules in words: a checkpoint compares no code, but the numbers that are put into it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from types import FunctionType, MethodType
from typing import Any

import numpy as np
from torch import Tensor, nn

from course_lib.errors import CourseError
from course_lib.files import content_hash


def name_of_function(setting: str, function: Callable) -> str:
    """Where a function is defined, and what a ``functools.partial`` gives it.

    Raises:
        CourseError: it has no name.
    """
    return _named(setting, function, lambda value: "")


def words_of_function(setting: str, function: Callable) -> str:
    """The same with what the function holds besides its code, such as the numbers that it was made with.

    Raises:
        CourseError: it has no name.
    """
    return _named(setting, function, lambda each: _held(each, ()))


def words_of_module(module: nn.Module) -> str:
    """A module with all its layers, and the plain attributes of those that are not PyTorch's own, in one line."""
    words = [" ".join(repr(module).split())]
    for name, each in module.named_modules():
        if not type(each).__module__.startswith("torch."):
            words += [f"{name}.{key}={word(value)}" for key, value in _attributes(each).items()]
    return " ".join(words)


def held_by(function: Callable) -> dict[str, Any]:
    """What a function holds besides its code, by name: defaults, variables around it, attributes of its object."""
    if isinstance(function, MethodType):
        return _attributes(function.__self__) | held_by(function.__func__)
    if not isinstance(function, FunctionType):
        return {}
    code, defaults = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    held = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    held |= function.__kwdefaults__ or {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # a variable without a value
            held[name] = cell.cell_contents
    return held


def word(value: Any, inside: tuple[Any, ...] = ()) -> str:
    """A value in words that are the same in every process; of an object that has none, its type.

    Args:
        inside: functions that hold the value, which may hold each other.
    """
    if any(value is each for each in inside):
        return "..."
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {content_hash(value)[:12]}"
    if isinstance(value, nn.Module):
        return words_of_module(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key!r}: {word(each, inside)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(word(each, inside) for each in value)}]"
    if value is None or isinstance(value, str | int | float | np.generic):
        return repr(value)
    if isinstance(value, partial) or hasattr(value, "__qualname__"):
        return _named("", value, lambda each: _held(each, (*inside, value)))
    return type(value).__qualname__


def _named(setting: str, function: Callable, more: Callable[[Callable], str]) -> str:
    """A name, followed by what ``more`` says about the function."""
    if isinstance(function, partial):
        given = [word(each) for each in function.args]
        given += [f"{key}={word(each)}" for key, each in function.keywords.items()]
        return f"{_named(setting, function.func, more)}({', '.join(given)})"
    if hasattr(function, "__qualname__"):
        return f"{function.__module__}.{function.__qualname__}{more(function)}"
    raise CourseError(
        f"{setting} must be a function with a name, which a checkpoint can recognise, got {type(function).__name__}"
    )


def _held(function: Callable, inside: tuple[Any, ...]) -> str:
    held = held_by(function)
    within = (*inside, function)
    return f"[{', '.join(f'{key}={word(value, within)}' for key, value in held.items())}]" if held else ""


def _attributes(owner: object) -> dict[str, Any]:
    """Numbers and words that an object has as attributes."""
    plain = {} if isinstance(owner, type) else getattr(owner, "__dict__", {})
    return {
        key: value
        for key, value in plain.items()
        if not key.startswith("_") and key != "training" and isinstance(value, str | int | float | tuple)
    }
