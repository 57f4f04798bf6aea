"""Settings declared once, at a field of a dataclass, with default, help and check; a command line is made of them."""

from collections.abc import Callable
from dataclasses import field, fields
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound=type)


def setting(default: Any, help: str, check: Callable[..., object] | None = None, **about: Any) -> Any:
    """A field of a dataclass.

    Args:
        default: its value if none is given. Where it is None, None is not checked.
        help: a sentence for the command line and for ``described``.
        check: called with the value by the field's name; raises a ``CourseError``.
        about: further metadata: ``flags`` and ``metavar`` of the command line.
    """
    return field(default=default, metadata={"help": help, "check": check, **about})


def check_settings(given: Any) -> None:
    """Let each field of a dataclass refuse its value, in their order."""
    for each in fields(given):
        check, value = each.metadata.get("check"), getattr(given, each.name)
        if check and not (value is None and each.default is None):
            check(**{each.name: value})


def described(kind: Kind) -> Kind:
    """A class decorator: the docstring of a dataclass with the help of each field."""
    lines = [f"        {each.name}: {each.metadata['help']}" for each in fields(kind)]
    kind.__doc__ = f"{(kind.__doc__ or '').rstrip()}\n\n    Attributes:\n" + "\n".join(lines) + "\n"
    return kind
