"""Where workers go on in the events topic that they will find, which may not be the one that was backed up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from stream.backup.manifest import Manifest, Position
from stream.backup.positions import behind, fingerprint
from stream.backup.reading import PartitionReader
from stream.errors import InputFileError
from stream.kafka.log_ends import LogEnds
from stream.settings import Settings

Inputs = Literal["empty", "same", "mirrored"]
"""`empty`: none of the events that the states include are in the topic; what is in it is new. `same`: it is the topic that was
backed up, or a copy with the same offsets. `mirrored`: the same events with other offsets."""

LOOK_BACK_MS: Final = 1000


def positions_of(
    settings: Settings, manifest: Manifest, inputs: Inputs, given: Mapping[int, int], reader: PartitionReader
) -> dict[int, int]:
    """By partition the offset from which workers go on.

    Args:
        settings: whose topic.
        manifest: of the backup.
        inputs: what is in the topic.
        given: offsets that a person says, instead of what `inputs` would have.
        reader: of the events topic.

    Raises:
        InputFileError: the topic does not have that place.
    """
    found = {}
    for position in manifest.positions:
        low, end = reader.bounds(settings.topic_events, position.partition)
        where = f"{settings.topic_events} partition {position.partition}"
        if position.partition in given:
            at = given[position.partition]
            _check(where, at, low, end)
        elif inputs == "empty":
            at = low
        elif inputs == "same":
            at = position.reached
            _check(where, at, low, end)
            _check_same(settings, position, where, low, reader)
        else:
            at = _mirrored(settings, position, where, reader)
        found[position.partition] = at
    return found


def _check(where: str, at: int, low: int, end: int) -> None:
    if not low <= at <= end:
        raise InputFileError(
            f"{where} holds offsets {low} to {end}, and the states go up to {at}.",
            "--inputs empty where its events are all new, --inputs mirrored where it is a copy with others, or --positions",
        )


def _check_same(settings: Settings, position: Position, where: str, low: int, reader: PartitionReader) -> None:
    """The last events before that place are those that the states know, as far as the topic still has them."""
    known = {each.offset: each.sha256 for each in position.last_events if each.offset >= low}
    if not known:
        return
    found = {
        record.offset: fingerprint(record)
        for records in reader.read_span(settings.topic_events, position.partition, min(known), position.reached)
        for record in records
    }
    if any(found.get(offset) != sha256 for offset, sha256 in known.items()):
        raise InputFileError(
            f"{where} holds other events before offset {position.reached} than those that the states include.",
            "--inputs mirrored where the same events have other offsets, --inputs empty where all of them are new",
        )


def _mirrored(settings: Settings, position: Position, where: str, reader: PartitionReader) -> int:
    topic, partition = settings.topic_events, position.partition
    low, end = reader.bounds(topic, partition)
    if not position.last_events:
        if position.reached == 0:
            return low
        raise InputFileError(
            f"{where}: the events before the states' end were gone when the backup was made.",
            "say it with --positions FILE",
        )
    # Copies keep timestamps; those of a partition need not ascend.
    oldest_ms = min(each.timestamp_ms for each in position.last_events) - LOOK_BACK_MS
    start = max(low, reader.offset_at(topic, partition, oldest_ms, end))
    return behind(position.last_events, reader.read_span(topic, partition, start, end), where)


def ends_of(settings: Settings, topic: str, partitions: int) -> dict[int, tuple[int, int]]:
    """Oldest offset and end by partition."""
    ends = LogEnds(settings)
    try:
        bounds = ends.bounds_of([(topic, partition) for partition in range(partitions)])
    finally:
        ends.close()
    return {partition: bound for (_, partition), bound in bounds.items()}
