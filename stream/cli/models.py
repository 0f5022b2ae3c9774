"""`penchant models`: which versions rank, put another one in their place, go back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from stream.cli import options
from stream.cli.apps import group_app
from stream.cli.connection import connected
from stream.display.terminal import Cell, say, say_json, show_table, stderr, stdout
from stream.errors import InputFileError
from stream.refresh.sequence import sequence_version
from stream.refresh.versions import (
    KINDS,
    Kind,
    ModelRecord,
    kind_of,
    publish_model,
    ranker_model,
    read_versions,
    read_weights,
    roll_back,
)

app = group_app("What ranks: list its versions, publish another one to all workers, go back to the one before.")

_LIST_HELP = """\
Versions on the models topic, oldest first, with what they were measured at; the current ones are marked.

\b
Examples:
  penchant models list
  penchant models list --json

Next: `penchant models rollback ranker`, if the current one is no good."""

_PUBLISH_HELP = """\
Give it to all workers: each ranks with it from its next batch on and makes every list anew.

\b
Examples:
  penchant models publish weights.json
  penchant models publish models/sequence

Next: `penchant models list`."""

_ROLLBACK_HELP = """\
Make the version before the current one current, in every worker.

\b
Examples:
  penchant models rollback ranker
  penchant models rollback sequence

Next: `penchant models list`."""

_KIND = Annotated[str, typer.Argument(metavar="KIND", help="The kind of model: ranker or sequence.")]


@app.command("list", help=_LIST_HELP)
def list_versions(
    bootstrap_servers: options.BootstrapServers = None,
    json_: Annotated[bool, options.flag("--json", "One JSON object per version and line.")] = False,
) -> None:
    settings = connected(bootstrap_servers=bootstrap_servers)

    rows = []
    for kind, versions in read_versions(settings).items():
        for model in versions.known:
            is_current = versions.current is not None and versions.current.version == model.version
            if json_:
                say_json(stdout(), msgspec.json.decode(msgspec.json.encode(model)) | {"current": is_current})
            measured = ", ".join(f"{name} {value:.4f}" for name, value in model.metrics.items())
            made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(model.created_at / 1000))
            mark = Cell("current", "ok") if is_current else Cell("")
            rows.append((Cell(kind), Cell(model.version), mark, Cell(made), Cell(measured, "skip")))
    if json_:
        return
    if not rows:
        say(stdout(), "No version was ever published: workers rank with the weights they came with.")
        return
    show_table(stdout(), ("kind", "version", "", "made", "measured"), rows)
    say(stderr(), "Next: penchant models rollback ranker, if the current one is no good.", "dim")


@app.command("publish", help=_PUBLISH_HELP)
def publish(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A file of `train weights`, a directory of `train sequence`."),
    ],
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    if not file.exists():
        raise InputFileError(f"{file} does not exist.", "name a file of weights or a model directory")
    settings = connected(bootstrap_servers=bootstrap_servers)

    model = _read(file)
    publish_model(settings, model)
    _said("published", model)


@app.command("rollback", help=_ROLLBACK_HELP)
def rollback(kind: _KIND, bootstrap_servers: options.BootstrapServers = None) -> None:
    if kind not in KINDS:
        raise InputFileError(f"{kind!r} is neither ranker nor sequence.", "say which one to roll back")
    settings = connected(bootstrap_servers=bootstrap_servers)
    chosen: Kind = "ranker" if kind == "ranker" else "sequence"
    _said("now current:", roll_back(settings, chosen))


def _read(path: Path) -> ModelRecord:
    now_ms = time.time_ns() // 1_000_000
    return sequence_version(path, now_ms) if path.is_dir() else ranker_model(read_weights(path), now_ms)


def _said(what: str, model: ModelRecord) -> None:
    say(stdout(), f"{what} {kind_of(model)} {model.version}")
