"""A backup made, while workers go on: see `stream.backup.roles` for why what is in it fits together."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from models.items.record import delta_source
from stream import __version__
from stream.backup import roles
from stream.backup.archive import ArchiveWriter, Kept
from stream.backup.compaction import Newest
from stream.backup.manifest import FORMAT_VERSION, NAME, File, Manifest, Position, Where, write_manifest
from stream.backup.places import Place
from stream.backup.positions import WHERE_EVENTS, Reach, where_of
from stream.backup.reading import PartitionReader, committed_offsets
from stream.errors import InputFileError
from stream.kafka.log_rules import missing
from stream.kafka.logs import TopicLogs
from stream.kafka.specs import topic_specs
from stream.settings import Settings
from stream.wire.codes import EPOCH_OFFSETS

OnProgress = Callable[[str, int, int], None]
"""What is read, how many of its partitions are done, and of how many."""


class Work(NamedTuple):
    """What a backup or a restore is done with."""

    settings: Settings
    place: Place
    reader: PartitionReader
    work_dir: Path
    on_progress: OnProgress = lambda *_: None
    check: Callable[[], None] = lambda: None


def make_backup(
    settings: Settings,
    place: Place,
    work_dir: Path | None = None,
    on_progress: OnProgress = lambda *_: None,
    check: Callable[[], None] = lambda: None,
) -> Manifest:
    """Copy everything that Penchant knows to `place`.

    Args:
        settings: whose topics.
        place: must not hold a backup; what an interrupted one left there is written over.
        work_dir: room for the largest partition; None: the system's directory for temporary files.
        on_progress: called after each partition.
        check: called often; raises where the backup is to end. What is there then is no backup.

    Raises:
        UsageError: a topic is missing, the broker does not answer, the place cannot be written.
    """
    if place.has(NAME):
        raise InputFileError(f"{place.name} holds a backup already.", "name another place, one for each backup")
    logs = TopicLogs(settings).ask()
    if (wrong := missing(topic_specs(settings), logs)) is not None:
        raise wrong
    topics = roles.topics_by_role(settings)
    partitions = {role: logs[topic].partitions for role, topic in topics.items()}
    with ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penchant-backup-", dir=work_dir)))
        reader = stack.enter_context(PartitionReader(settings, check))
        work = Work(settings, place, reader, room, on_progress, check)
        files, positions = _copy_all(work, topics, partitions)
        manifest = Manifest(
            FORMAT_VERSION,
            __version__,
            datetime.now(UTC).isoformat(timespec="seconds"),
            settings.group_id,
            settings.partitioner,
            settings.topic_events,
            logs[settings.topic_events].topic_id,
            topics,
            partitions,
            positions,
            files,
        )
        write_manifest(manifest, place, room)
    return manifest


def _copy_all(work: Work, topics: dict[str, str], partitions: dict[str, int]) -> tuple[list[File], list[Position]]:
    settings, files, positions = work.settings, list[File](), list[Position]()
    # Asked before anything is read: what was committed by then is in what is read.
    n_events, n_deltas = partitions[roles.CHANGELOG], partitions[roles.ITEM_DELTAS]
    answered = committed_offsets(settings, settings.topic_events, n_events)
    applied = committed_offsets(settings, settings.topic_item_deltas, n_deltas)
    for role, topic in topics.items():
        for partition in range(partitions[role]):
            if role == roles.CHANGELOG:
                file, position = _copy_states(work, topic, partition, answered.get(partition))
                positions.append(position)
            elif role == roles.ITEM_DELTAS:
                file = _copy_deltas(work, topic, partition, applied.get(partition, 0), positions)
            else:
                file = _copy_newest(work, role, topic, partition)
            files.append(file)
            work.on_progress(role, partition + 1, partitions[role])
    return files, positions


def _copy_newest(
    work: Work, role: str, topic: str, partition: int, note: Callable[[list[Kept]], None] = lambda _: None
) -> File:
    with Newest(work.work_dir / "newest") as newest:
        for records in work.reader.read_all(topic, partition):
            newest.add(records)
            note(records)
        return _write(work, role, partition, newest)


def _copy_states(work: Work, topic: str, partition: int, committed: int | None) -> tuple[File, Position]:
    reach = Reach()
    file = _copy_newest(work, roles.CHANGELOG, topic, partition, reach.note)
    reached = reach.reached(committed)
    low, end = work.reader.bounds(work.settings.topic_events, partition)
    answered = min(reached, reached if committed is None else committed)
    last = _last_events(work, partition, max(low, reached - 4 * WHERE_EVENTS), min(reached, end))
    return file, Position(partition, reach.epoch, reached, answered, end, last)


def _last_events(work: Work, partition: int, start: int, end: int) -> list[Where]:
    last: list[Kept] = []
    for records in work.reader.read_span(work.settings.topic_events, partition, start, end):
        last = (last + records)[-WHERE_EVENTS:]
    return where_of(last)


def _copy_deltas(work: Work, topic: str, partition: int, applied: int, positions: list[Position]) -> File:
    """Those that the statistics may not include yet, of events that the states include: the others are made again."""
    end = work.reader.settled_end(topic, partition)
    start = max(applied, work.reader.bounds(topic, partition)[0])
    before = {each.partition: each.epoch * EPOCH_OFFSETS + each.reached for each in positions}

    def included() -> Iterator[Kept]:
        for records in work.reader.read_span(topic, partition, start, end):
            for record in records:
                source = None if record.value is None else delta_source(record.value)
                # What cannot be read as a delta is for the worker to refuse, and to tell of.
                if source is None or source[1] < before.get(source[0], 0):
                    yield record

    return _write(work, roles.ITEM_DELTAS, partition, included())


def _write(work: Work, role: str, partition: int, records: Iterable[Kept]) -> File:
    name = f"{role.replace('/', '.')}-{partition:05d}.pbk"
    path = work.work_dir / "file"
    with ArchiveWriter(path) as writer:
        for n, record in enumerate(records):
            if n % 1000 == 0:
                work.check()
            writer.add(record)
    work.place.put(name, path)
    return File(name, role, partition, writer.records, writer.n_bytes, writer.sha256)
