"""`penchant repartition`: what a backup holds, in another number of partitions."""

from __future__ import annotations

from typing import Annotated

from stream.backup import roles
from stream.backup.manifest import read_manifest
from stream.backup.places import place_of
from stream.backup.reading import PartitionReader
from stream.backup.repartition import repartitioned
from stream.backup.restore import Restore, verify
from stream.backup.target import prepare
from stream.cli import options
from stream.cli.apps import SETTINGS_NOTE, command_app, teach
from stream.cli.connection import connected
from stream.cli.restore import show_restored
from stream.display.bars import Bars
from stream.display.terminal import stderr
from stream.files.stopping import stop_signals

app = command_app()


@app.command(
    "repartition",
    help=teach(
        "Change the number of partitions: people's states, from a backup, into new topics, each person where the producers' "
        "partitioner will put their events. The settings name the new topics and a new group.",
        "penchant repartition /backups/2026-01-31 --partitions 24 --group-id penchant-24",
        "penchant repartition s3://bucket/penchant/2026-01-31 --partitions 24 --replace",
        then="start workers with the new settings and empty data directories.",
        note=f"The procedure, step by step: deploy/docs/backup.md. {SETTINGS_NOTE}",
    ),
)
def repartition(
    place: options.BackupPlace,
    n_partitions: Annotated[
        int,
        options.option("Partitions of events, and so of states and lists.", None, "N", "--partitions", min=1, max=1024),
    ],
    replace: options.ReplaceTopics = False,
    replication_factor: options.ReplicationFactor = None,
    group_id: options.GroupId = None,
    bootstrap_servers: options.BootstrapServers = None,
) -> None:
    source = place_of(place)
    settings = connected(bootstrap_servers=bootstrap_servers, group_id=group_id, replication_factor=replication_factor)
    manifest = read_manifest(source)
    layout = repartitioned(settings, manifest, n_partitions)
    with stop_signals() as stop, Bars(stderr()) as bars:
        verify(source, manifest, bars.step)
        prepare(settings, manifest.partitions | {roles.CHANGELOG: n_partitions}, replace=replace)
        with PartitionReader(settings, stop.check) as reader:
            going_on = {p: reader.bounds(settings.topic_events, p)[0] for p in range(n_partitions)}
        done = Restore(settings, source, manifest, layout, bars.step, stop.check).run(going_on, with_items=True)
    show_restored(manifest, done, settings.topic_events)
