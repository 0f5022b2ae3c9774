"""A group of commands whose files are imported when one of them is run, so that `--help` is there at once.

As in click's documentation, "Lazily Loading Subcommands"; a summary per command keeps the list of commands from importing them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


class Lazy(NamedTuple):
    """A command that is not imported yet."""

    module: str
    """Its `app` is the command, or a group of commands."""
    summary: str
    """The first paragraph of the command's own help (a test compares)."""


class LazyGroup(TyperGroup):
    """A subclass says which commands there are; `stream.cli.apps.group_app` makes an app of it."""

    table: ClassVar[Mapping[str, Lazy]] = {}
    renamed: ClassVar[Mapping[str, str]] = {}
    """Old names and today's: for one release the old ones work, and say so, but are not listed."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=each.summary) for name, each in self.table.items()}
        self.commands |= {old: TyperCommand(old, hidden=True) for old in self.renamed}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command itself, in place of the summary that `self.commands` holds."""
        name, found, rest = super().resolve_command(ctx, args)
        if found is None or name is None:
            return name, found, rest
        if name in self.renamed:
            say_renamed(f"{ctx.command_path} {name}", f"{ctx.command_path} {self.renamed[name]}")
        return self.renamed.get(name, name), self.load(self.renamed.get(name, name)), rest

    def load(self, name: str) -> Any:
        """The command of this name, imported."""
        return get_command(import_module(self.table[name].module).app)


def say_renamed(old: str, new: str) -> None:
    """One line on stderr."""
    typer.echo(f"penchant: `{old}` is called `{new}` now; the old spelling goes with the next release.", err=True)
