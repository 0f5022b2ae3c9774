"""How long a backup, and the move to another number of partitions, take for a million people.

    python -m benchmarks.repartition --users 1000000 --partitions 8 --to 12

Against a running Apache Kafka (`make kafka`). States are made up, of 40 behaviours each, in topics that are deleted at the end.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from confluent_kafka.admin import AdminClient

from models.arrays import I8
from stream.backup import roles
from stream.backup.make import make_backup
from stream.backup.places import DirectoryPlace
from stream.backup.repartition import repartitioned
from stream.backup.restore import Restore, verify
from stream.backup.target import commit_offsets, prepare
from stream.backup.writing import TopicWriter
from stream.kafka.partitioner import key_partition
from stream.kafka.read_to_end import read_messages
from stream.kafka.topics import create_topics
from stream.settings import Settings, load_settings
from stream.state.record import States

T = TypeVar("T")

BATCH_USERS = 10_000
BEHAVIOURS = 40


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=8)
    parser.add_argument("--to", type=int, default=12)
    parser.add_argument("--bootstrap-servers", default="127.0.0.1:9092")
    given = parser.parse_args()
    before = _settings(given.bootstrap_servers, "before", given.partitions)
    after = _settings(given.bootstrap_servers, "after", given.to)
    try:
        with tempfile.TemporaryDirectory() as directory:
            _measure(before, after, given.users, given.partitions, given.to, DirectoryPlace(Path(directory)))
    finally:
        admin = AdminClient(before.client_config())
        names = [topic for settings in (before, after) for topic in _topics(settings)]
        for future in admin.delete_topics(names).values():
            future.exception(60)


def _measure(before: Settings, after: Settings, users: int, old: int, new: int, place: DirectoryPlace) -> None:
    create_topics(before)
    _timed("states written", lambda: _write(before, users, old))
    manifest = _timed("backup", lambda: make_backup(before, place))
    print(f"  {sum(f.records for f in manifest.files):,} records, {sum(f.n_bytes for f in manifest.files):,} bytes")
    _timed("checked", lambda: verify(place, manifest))
    layout = repartitioned(after, manifest, new)
    prepare(after, manifest.partitions | {roles.CHANGELOG: new}, replace=False)
    restore = Restore(after, place, manifest, layout)
    done = _timed("moved", lambda: restore.run(dict.fromkeys(range(new), 0), with_items=True))
    print(f"  {done.records:,} records")
    found: Counter[bool] = Counter()
    for messages in read_messages(after, after.changelog_topic):
        found.update(
            message.partition() == key_partition(message.key(), new, after.partitioner)
            for message in messages
            if message.key().startswith(b"user-")
        )
    print(f"{found[True]:,} states where their events will be, {found[False]:,} elsewhere, of {users:,}")
    print(f"largest resident memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


def _write(settings: Settings, users: int, partitions: int) -> None:
    writer = TopicWriter(settings)
    for begin in range(0, users, BATCH_USERS):
        for key, value in zip(*_states(begin, min(BATCH_USERS, users - begin)), strict=True):
            writer.send(settings.changelog_topic, key, value, key_partition(key, partitions, settings.partitioner))
    writer.flush()
    commit_offsets(settings, {(settings.topic_events, partition): 0 for partition in range(partitions)})


def _states(begin: int, n: int) -> tuple[list[bytes], list[bytes]]:
    states, rng = States(n), np.random.default_rng(begin)
    columns = states.columns
    columns.fence[:n] = -1
    columns.events[:n] = BEHAVIOURS
    columns.n_ring[:n] = BEHAVIOURS
    columns.item[:n, :BEHAVIOURS] = rng.integers(1, 1 << 60, (n, BEHAVIOURS))
    columns.time_ms[:n, :BEHAVIOURS] = 1_700_000_000_000 + rng.integers(0, 1 << 30, (n, BEHAVIOURS))
    rows: I8 = np.arange(n)
    return [f"user-{begin + i}".encode() for i in range(n)], states.pack(rows)


def _settings(servers: str, name: str, partitions: int) -> Settings:
    prefix = f"bench-repartition-{name}-{time.time_ns():x}"
    names = {
        field: f"{prefix}.{field.removeprefix('topic_')}"
        for field in Settings.model_fields
        if field.startswith("topic_")
    }
    return load_settings(bootstrap_servers=servers, group_id=prefix, partitions=partitions, **names)


def _topics(settings: Settings) -> list[str]:
    return [
        *roles.topics_by_role(settings).values(),
        settings.topic_events,
        settings.topic_attributions,
        settings.topic_dead_letter,
    ]


def _timed(what: str, run: Callable[[], T]) -> T:
    began = time.monotonic()
    result = run()
    print(f"{what}: {time.monotonic() - began:.1f} s")
    return result


if __name__ == "__main__":
    main()
