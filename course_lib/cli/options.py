"""A command made of the fields of dataclasses, which are not imported before the command is used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from inspect import Parameter, Signature
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand


class Deferred(TyperCommand):
    """A stand-in for the list of commands; its function makes the command that is used in its place."""

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        assert self.callback is not None  # the function that is registered
        return self.callback().make_context(info_name, args, parent, **extra)


def command_of(function: Callable[..., None], help: str | None, options: Sequence[Parameter]) -> Any:
    """The command that calls a function with the options' values by name."""

    def call(**given: Any) -> None:
        function(**given)

    call.__signature__ = Signature(options)  # pyright: ignore[reportFunctionMemberAccess]  # inspect reads it
    app = typer.Typer(add_completion=False)
    app.command(help=help)(call)
    return typer.main.get_command(app)


def options_of(kind: type, **others: Parameter) -> list[Parameter]:
    """An option for each field of a dataclass, as Typer reads it.

    Args:
        kind: its fields are made by ``course_lib.fields.setting``.
        others: options in place of the fields of these names.
    """
    hints = get_type_hints(kind)
    return [
        others.get(each.name) or option(each.name, hints[each.name], each.default, each.metadata)
        for each in fields(kind)
    ]


def option(name: str, kind: Any, default: Any, about: Mapping[str, Any]) -> Parameter:
    """One option; ``about`` has its ``help`` and, where they are not its name, its ``flags`` and ``metavar``."""
    info = typer.Option(*about.get("flags", ()), help=about["help"], metavar=about.get("metavar"))
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])
