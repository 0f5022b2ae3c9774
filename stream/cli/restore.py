"""`penchant restore`: a backup put back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from stream.backup.inputs import Inputs, positions_of
from stream.backup.manifest import Manifest, read_manifest
from stream.backup.places import place_of
from stream.backup.reading import PartitionReader
from stream.backup.restore import Restore, Restored, same_layout, verify
from stream.backup.target import prepare
from stream.cli import options
from stream.cli.apps import SETTINGS_NOTE, command_app, teach
from stream.cli.connection import connected
from stream.display.bars import Bars
from stream.display.terminal import clean, count, say, stderr, stdout
from stream.errors import InputFileError, UsageError
from stream.files.stopping import stop_signals

app = command_app()


@app.command(
    "restore",
    help=teach(
        "Put a backup back into the topics that the settings name, on any cluster: workers that start afterwards know what "
        "those of before knew, and go on where those stopped. Every file is checked before anything is written.",
        "penchant restore /backups/2026-01-31 --inputs same",
        "penchant restore s3://bucket/penchant/2026-01-31 --inputs mirrored --replace",
        then="start workers with empty data directories.",
        note=SETTINGS_NOTE,
    ),
)
def restore(
    place: options.BackupPlace,
    inputs: Annotated[
        Inputs | None,
        options.optional(
            "What the events topic holds: `same` events at the offsets of before; `mirrored`, the same events at others; "
            "`empty`, none of those that the states include, so that whatever it holds is new. Must be said.",
            None,
            "WHAT",
        ),
    ] = None,
    positions: Annotated[
        Path | None,
        options.optional(
            'Offsets of the events topic from which to go on, by partition: {"0": 17}. Default: as --inputs says.',
            None,
            "FILE",
        ),
    ] = None,
    replace: options.ReplaceTopics = False,
    replication_factor: options.ReplicationFactor = None,
    group_id: options.GroupId = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    if inputs is None:
        raise UsageError("--inputs says what the events topic holds.", "say --inputs same, mirrored or empty")
    given = {} if positions is None else _given(positions)
    source = place_of(place)
    settings = connected(bootstrap_servers=bootstrap_servers, group_id=group_id, replication_factor=replication_factor)
    manifest = read_manifest(source)
    with stop_signals() as stop, Bars(stderr()) as bars:
        verify(source, manifest, bars.step)
        prepare(settings, manifest.partitions, replace=replace)
        with PartitionReader(settings, stop.check) as reader:
            going_on = positions_of(settings, manifest, inputs, given, reader)
        layout = same_layout(manifest, keeps_told=inputs == "same")
        # From here on it is not to be stopped half way by a signal: see `Restore`.
        done = Restore(settings, source, manifest, layout, bars.step, stop.check).run(
            going_on, with_items=inputs == "empty"
        )
    show_restored(manifest, done, settings.topic_events)


def show_restored(manifest: Manifest, done: Restored, events_topic: str) -> None:
    """What came of it, and what to do next."""
    say(stdout(), f"{count(done.records, 'record')} of the backup of {manifest.made_at} restored.", "bold")
    for partition, at in sorted(done.positions.items()):
        say(stdout(), f"partition {partition}: workers go on from offset {at:,} of {events_topic}")
    for line in done.left_out:
        say(stdout(), f"left as it is: {clean(line, 300)}")
    say(stdout(), "Start workers with empty data directories: what older ones hold is of other topics.")


def _given(path: Path) -> dict[int, int]:
    """What `--positions` names.

    Raises:
        InputFileError: it cannot be read as that.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[int, int])
    except (OSError, msgspec.DecodeError) as error:
        raise InputFileError(
            f"--positions {path}: {error}.", 'give a JSON object of partitions and offsets, such as {"0": 17}'
        ) from None
