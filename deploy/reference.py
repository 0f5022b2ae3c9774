"""Make the parts of the documentation that follow from the code: `python deploy/reference.py [--check]`.

`docs/commands.md` comes from the tree of commands, the tables of `docs/architecture.md` from the docstring of every room.
With `--check` nothing is written: exit code 1 and one line if a page is not what the code says.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "deploy" / "docs"
COMMANDS_PAGE, ROOMS_PAGE = DOCS / "commands.md", DOCS / "architecture.md"

COMMANDS_HEAD = """\
# Command line

<!-- Made by `make reference` from the commands themselves. Do not edit. -->

Every setting that has no flag comes from the environment or from `penchant.toml`: see [settings](settings.md).
A mistake that you can mend is one line that names the fix, with exit code 2. Any other failure is exit code 1. Ctrl-C is 130.
"""


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` compare them."""
    made = {COMMANDS_PAGE: commands_page(), ROOMS_PAGE: rooms_page(ROOMS_PAGE.read_text(encoding="utf-8"))}
    if "--check" in arguments:
        stale = [
            path.name for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text
        ]
        if stale:
            sys.stderr.write(f"deploy/docs: {', '.join(stale)} out of date; run make reference\n")
        return 1 if stale else 0
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return 0


# --- the command line -------------------------------------------------------------------------------------------------


def commands_page() -> str:
    """One section per command, in the order in which `penchant --help` lists them."""
    sections = [_section(path, command, context) for path, command, context in commands()]
    return "\n".join([COMMANDS_HEAD, *sections])


def commands() -> Iterator[tuple[str, Any, Any]]:
    """`("penchant topics create", command, context)` of every command and group that is not hidden, groups first."""
    # Typer ships a click of its own, so nothing here asks for a class of click's; only for what every command has.
    from typer.main import get_command  # noqa: PLC0415

    from stream.cli.main import app  # noqa: PLC0415

    root = get_command(app)
    yield from _walk("penchant", root, root.make_context("penchant", [], resilient_parsing=True))


def _walk(path: str, command: Any, context: Any) -> Iterator[tuple[str, Any, Any]]:
    yield path, command, context
    if not hasattr(command, "list_commands"):
        return
    for name in command.list_commands(context):
        shown = command.get_command(context, name)
        if shown is not None and not shown.hidden:
            below = command.load(name) if hasattr(command, "load") else shown  # a lazy group shows a summary only
            yield from _walk(f"{path} {name}", below, type(context)(below, info_name=name, parent=context))


def _section(path: str, command: Any, context: Any) -> str:
    records = [(param.param_type_name, param.get_help_record(context)) for param in command.params]
    # click leaves arguments to the usage line; typer lists them like options. Hidden ones have no record.
    shown = sorted((record for record in records if record[1]), key=lambda record: record[0] != "argument")
    rows = [f"| `{_escaped(name)}` | {_meaning(text)} |" for _, (name, text) in shown if not name.startswith("--help")]
    parts = [f"## `{path}`", *_help(command.help or "")]
    if rows:
        parts.append("\n".join(["| Argument or option | Meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _help(text: str) -> Iterator[str]:
    """The paragraphs of a command's help; its examples as a block of code."""
    for paragraph in text.replace("\\[", "[").split("\n\n"):
        lines = [line for line in paragraph.splitlines() if line.strip() not in {"", "\b"}]
        if lines and lines[0].strip() == "Examples:":
            examples = "\n".join(line.removeprefix("  ") for line in lines[1:])
            yield f"```sh\n{examples}\n```"
        elif lines:
            text = " ".join(line.strip() for line in lines)
            yield re.sub(r"deploy/docs/([\w-]+\.md)", r"[\1](\1)", text)


def _meaning(text: str) -> str:
    """Its help, with what click adds in brackets (default, bounds, whether it is required) in italics."""
    said, added, rest = " ".join(text.split()).partition(" [") if text.endswith("]") else (text, "", "")
    if added and " [" in rest:
        raise ValueError(f"two brackets in the help of an option: {text}")
    return _escaped(" ".join(part for part in (said, f"*({rest.removesuffix(']')})*" if added else "") if part))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


# --- the rooms --------------------------------------------------------------------------------------------------------


def rooms_page(page: str) -> str:
    """`page` with the tables of today between their markers."""
    for package in ("stream", "models"):
        begin, end = f"<!-- rooms of {package}: begin, made by make reference -->", f"<!-- rooms of {package}: end -->"
        if begin not in page or end not in page:
            raise ValueError(f"{ROOMS_PAGE.name} lacks the markers of {package}")
        page = f"{page.partition(begin)[0]}{begin}\n{rooms_table(package)}\n{end}{page.partition(end)[2]}"
    return page


def rooms_table(package: str) -> str:
    """One row per room, top floor first; below a room the rooms in it."""
    rows = ["| Room | What it is for | What it must not |", "|---|---|---|"]
    for name in _floors(package):
        path = ROOT / package / name
        inside = sorted(path.glob("*/**/__init__.py"))
        for init in [path / "__init__.py", *inside] if path.is_dir() else [path.with_suffix(".py")]:
            docstring = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8")))
            if docstring is None:
                raise ValueError(f"{init} does not say what it is for")
            label = (
                init.parent.relative_to(ROOT / package).as_posix() + "/" if init.name == "__init__.py" else init.name
            )
            rows.append(f"| `{label}` | {' | '.join(_told(docstring, of_a_room=path.is_dir()))} |")
    return "\n".join(rows)


def _floors(package: str) -> list[str]:
    """The rooms in the order that import-linter enforces: what stands above may import what stands below."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (layers,) = (
        contract["layers"]
        for contract in linter["contracts"]
        if contract["type"] == "layers" and contract["containers"] == [package]
    )
    return [name.strip() for floor in layers for name in floor.split("|")]


def _told(docstring: str, *, of_a_room: bool) -> tuple[str, str]:
    """What it is for (the first paragraph) and, of a room, what it must not (the second)."""
    paragraphs = [_escaped(" ".join(paragraph.split())) for paragraph in docstring.split("\n\n")]
    return paragraphs[0], paragraphs[1] if of_a_room and len(paragraphs) > 1 else ""


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
