"""A backup put back, into topics of the same partitions or of others: workers that start afterwards know what those of before
knew, and go on where those stopped, each event once.

Until everything is there each partition of the changelog says that it is being restored, and workers refuse it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from stream.backup import roles
from stream.backup.archive import Kept, damaged, read_archive
from stream.backup.inputs import ends_of
from stream.backup.layout import Layout, layout_of, next_epoch, placed
from stream.backup.manifest import File, Manifest, files_of
from stream.backup.places import Place
from stream.backup.target import commit_offsets
from stream.backup.writing import TopicWriter
from stream.errors import InvariantError
from stream.kafka.logs import TopicLogs
from stream.settings import Settings
from stream.state.log_mark import LOG_KEY, RESTORING, LogMark, pack_log

OnProgress = Callable[[str, int, int], None]
"""What is done, how many files of it, and of how many."""


class Restored(NamedTuple):
    """What came of it."""

    records: int
    positions: Mapping[int, int]
    """Of the events topic, by partition: from where workers go on."""
    left_out: tuple[str, ...]
    """For people: what of the backup was not written."""


def verify(place: Place, manifest: Manifest, on_progress: OnProgress = lambda *_: None) -> None:
    """Whether every file is there, byte for byte.

    Raises:
        InputFileError: one is not.
    """
    for n, file in enumerate(manifest.files):
        digest, n_bytes = hashlib.sha256(), 0
        for chunk in place.read(file.name):
            digest.update(chunk)
            n_bytes += len(chunk)
        if n_bytes != file.n_bytes or digest.hexdigest() != file.sha256:
            raise damaged(f"{place.name}/{file.name}")
        on_progress("checking", n + 1, len(manifest.files))


class Restore:
    """Of a backup that has been verified, into topics that have been prepared."""

    def __init__(
        self,
        settings: Settings,
        place: Place,
        manifest: Manifest,
        layout: Layout,
        on_progress: OnProgress = lambda *_: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings, self._place, self._manifest, self._layout = settings, place, manifest, layout
        self._on_progress, self._check = on_progress, check
        self._writer = TopicWriter(settings, check)
        self._item_partitions = manifest.partitions[roles.ITEM_STATS]

    def run(self, positions: Mapping[int, int], *, with_items: bool) -> Restored:
        """Write everything; workers go on from `positions`. `with_items`: the catalogue, too, if its topic is empty.

        Raises:
            DeliveryError: the broker did not take a record; to be run again, with what was written deleted.
            InvariantError: interrupted in such a way that not everything was written.
        """
        settings = self._settings
        self._mark(
            {partition: LogMark(RESTORING, 0, 0, self._layout.now, self._item_partitions) for partition in positions}
        )
        self._write_states()
        left_out = self._write_others(with_items)
        self._writer.flush()
        topic_id = TopicLogs(settings).ask()[settings.topic_events].topic_id
        epoch = next_epoch(self._manifest)
        offsets = {(settings.topic_events, partition): at for partition, at in positions.items()}
        deltas = ends_of(settings, settings.topic_item_deltas, self._item_partitions)
        offsets |= {(settings.topic_item_deltas, partition): low for partition, (low, _) in deltas.items()}
        commit_offsets(settings, offsets)
        self._mark(
            {p: LogMark(topic_id, epoch, at, self._layout.now, self._item_partitions) for p, at in positions.items()}
        )
        return Restored(self._writer.written, positions, tuple(left_out))

    def _mark(self, marks: Mapping[int, LogMark]) -> None:
        for partition, mark in marks.items():
            self._writer.send(self._settings.changelog_topic, LOG_KEY, pack_log(mark), partition)
        self._writer.flush()

    def _write_states(self) -> None:
        topic, layout = self._settings.changelog_topic, self._layout
        files = files_of(self._manifest, roles.CHANGELOG)
        position_of = {each.partition: each for each in self._manifest.positions}
        for nth in range(layout.passes):
            for n, file in enumerate(files):
                for partition, key, value, at_ms in placed(
                    self._records(file), position_of[file.partition], layout, nth
                ):
                    self._writer.send(topic, key, value, partition, at_ms)
                self._on_progress("states", nth * len(files) + n + 1, layout.passes * len(files))

    def _write_others(self, with_items: bool) -> list[str]:
        topics, left_out = roles.topics_by_role(self._settings), []
        for role in self._manifest.partitions:
            if role == roles.CHANGELOG:
                continue
            if role not in topics:
                left_out.append(f"{self._manifest.topics[role]}: the settings have no such placement")
                continue
            if role == roles.ITEMS and not (with_items and self._is_empty(topics[role])):
                left_out.append(f"{self._manifest.topics[role]}: {topics[role]} has the catalogue")
                continue
            self._write_topic(role, topics[role])
        return left_out

    def _write_topic(self, role: str, topic: str) -> None:
        logs = TopicLogs(self._settings).ask()
        is_alike = logs[topic].partitions == self._manifest.partitions[role]
        files = files_of(self._manifest, role)
        for n, file in enumerate(files):
            for record in self._records(file):
                # Deltas are kept by age, and some may be read only in a while.
                at_ms = 0 if role == roles.ITEM_DELTAS else record.timestamp_ms
                self._writer.send(topic, record.key, record.value, file.partition if is_alike else -1, at_ms)
            self._on_progress(role, n + 1, len(files))

    def _is_empty(self, topic: str) -> bool:
        partitions = TopicLogs(self._settings).ask()[topic].partitions
        return all(low == end for low, end in ends_of(self._settings, topic, partitions).values())

    def _records(self, file: File) -> Iterator[Kept]:
        n = 0
        for block in read_archive(self._place.read(file.name), file.name):
            self._check()
            n += len(block)
            yield from block
        if n != file.records:  # its hash was right a moment ago
            raise InvariantError(f"{file.name} has {n} records, and not {file.records}: it was changed meanwhile")


def same_layout(manifest: Manifest, *, keeps_told: bool) -> Layout:
    """Partitions stay as they are."""
    return layout_of(manifest, roles.CHANGELOG, manifest.partitions[roles.CHANGELOG], keeps_told=keeps_told)
