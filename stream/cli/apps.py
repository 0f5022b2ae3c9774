"""What the commands' apps have in common, and how a help text is put together."""

from __future__ import annotations

from typing import Final

import typer
from typer.core import TyperGroup

SETTINGS_NOTE: Final = (
    'Every other setting comes from the environment (PENCHANT_GROUP_ID=…) or from penchant.toml (group_id = "…"); '
    "a flag wins over the environment, the environment over the file. deploy/docs/settings.md lists them all."
)


def teach(summary: str, *examples: str, then: str, note: str = "") -> str:
    """A command's help: what it does, examples to copy, what to do next. `\\b` keeps the lines as they are."""
    shown = "\n".join(["\b", "Examples:", *(f"  {example.replace('[', chr(92) + '[')}" for example in examples)])
    return "\n\n".join(part for part in (summary, shown, f"Next: {then}", note) if part)


def command_app() -> typer.Typer:
    """For the one command of a file."""
    return typer.Typer(rich_markup_mode="rich", add_completion=False)


def group_app(help_: str, cls: type[TyperGroup] = TyperGroup) -> typer.Typer:
    """For several commands of one noun; without a word after the noun their list is shown."""
    app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", add_completion=False, help=help_, cls=cls)
    app.callback()(_no_options)
    return app


def _no_options() -> None:
    """Makes a group of the app even where it has one command, or none of its own."""
