"""`penchant backup`: everything that Penchant knows, copied to files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from stream.backup.make import make_backup
from stream.backup.places import place_of
from stream.cli import options
from stream.cli.apps import SETTINGS_NOTE, command_app, teach
from stream.cli.connection import connected
from stream.display.bars import Bars
from stream.display.terminal import clean, count, say, stderr, stdout
from stream.files.stopping import stop_signals

app = command_app()


@app.command(
    "backup",
    help=teach(
        "Copy everything that Penchant knows to files, while workers go on: states, statistics, lists, rules, models, the "
        "catalogue, and how far they go in the events topic.",
        "penchant backup /backups/2026-01-31",
        "penchant backup s3://bucket/penchant/2026-01-31",
        then="`penchant restore PLACE`, on this cluster or another one.",
        note="A place is a directory, or a prefix in an object store. Events, reasons and dead letters are not in a backup; "
        f"deploy/docs/backup.md says what is. {SETTINGS_NOTE}",
    ),
)
def backup(
    place: options.BackupPlace,
    work_dir: Annotated[
        Path | None,
        options.optional(
            "Room for the largest partition while it is read. Default: the system's directory for temporary files.",
            None,
            "DIRECTORY",
        ),
    ] = None,
    group_id: options.GroupId = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    to = place_of(place)
    settings = connected(bootstrap_servers=bootstrap_servers, group_id=group_id)
    began = time.monotonic()
    with stop_signals() as stop, Bars(stderr()) as bars:
        manifest = make_backup(settings, to, work_dir, bars.step, stop.check)
    records, n_bytes = sum(file.records for file in manifest.files), sum(file.n_bytes for file in manifest.files)
    say(
        stdout(),
        f"{count(records, 'record')} in {n_bytes:,} bytes copied to {clean(to.name, 300)} in {time.monotonic() - began:.1f} s.",
        "bold",
    )
    for each in manifest.positions:
        say(
            stdout(),
            f"partition {each.partition}: everything before offset {each.reached:,} of {manifest.events_topic}",
        )
    if not records:
        raise typer.Exit(0)
