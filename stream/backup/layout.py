"""Where each record of the states goes, in as many partitions as they had or in others; and what it becomes there. Pure.

Offsets in states stay as they are. The log that is gone on with counts as the next one after all that there were (its epoch is
larger), so whatever comes from it is behind everything that the states include, wherever its offsets begin: the fences need no
translation but that of their number, see `stream.state.log_mark`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from stream.backup.archive import Kept
from stream.backup.manifest import Manifest, Position
from stream.backup.positions import NO_ID, is_state
from stream.errors import InputFileError
from stream.kafka.partitioner import key_partition
from stream.outcomes.clicks import CLICKS_KEY
from stream.outcomes.newcomers import NEWCOMERS_KEY
from stream.outcomes.strategy_totals import TOTALS_PREFIX
from stream.state.contributions import CLOSED_PREFIX, OPEN_PREFIX, user_of_closed
from stream.state.ledger import LEDGER_PREFIX
from stream.state.log_mark import LOG_PREFIX
from stream.state.owed import OWED_PREFIX, pack_mark
from stream.state.record import fence_of, last_event_ms
from stream.state.standing import ERASED_PREFIX, STANDING_PREFIX
from stream.state.told import TOLD_PREFIX
from stream.wire.codes import EPOCH_OFFSETS

_OF_PEOPLE: Final = (OWED_PREFIX, LEDGER_PREFIX, OPEN_PREFIX, STANDING_PREFIX)
_OF_PARTITIONS: Final = (TOTALS_PREFIX, CLICKS_KEY, NEWCOMERS_KEY)


class Layout(NamedTuple):
    """Partitions as they were, and as they are to be."""

    before: int
    now: int
    partitioner: str
    keeps_told: bool = False
    """Whether the catalogue is the same topic: which of its records were told of holds."""

    @property
    def moves(self) -> bool:
        """Whether people change partitions."""
        return self.before != self.now

    @property
    def passes(self) -> int:
        """How often the states of a partition are read. Of a person who has a state in two partitions, since something once
        produced with another partitioner, the one where events arrive counts: it is written last."""
        return 2 if self.moves else 1


def layout_of(manifest: Manifest, role: str, partitions: int, *, keeps_told: bool = False) -> Layout:
    """From what was backed up to so many."""
    return Layout(manifest.partitions[role], partitions, manifest.partitioner, keeps_told)


def next_epoch(manifest: Manifest) -> int:
    """Of the log that is gone on with."""
    return 1 + max((each.epoch for each in manifest.positions), default=0)


def placed(
    records: Iterable[Kept], position: Position, layout: Layout, nth: int
) -> Iterator[tuple[int, bytes, bytes | None, int]]:
    """`(partition, key, value, Kafka timestamp ms)` of what becomes of records of one partition of the changelog, in the nth
    pass."""
    for record in records:
        if record.key is None or record.value is None or _is_dropped(record.key, layout):
            continue
        for partition in _partitions(record.key, position.partition, layout, nth):
            yield partition, record.key, record.value, record.timestamp_ms
            if is_state(record) and _is_unanswered(record.value, position):
                # The worker that went on where it was would read the event again, and make the list then.
                yield partition, OWED_PREFIX + record.key, pack_mark(last_event_ms(record.value) or 0), 0


def _is_dropped(key: bytes, layout: Layout) -> bool:
    # Who was erased has no id to be found by in other partitions, and the events of before are not in those.
    if layout.moves and key.startswith(ERASED_PREFIX):
        return True
    return key.startswith(LOG_PREFIX) or (key.startswith(TOLD_PREFIX) and not (layout.keeps_told and not layout.moves))


def _is_unanswered(value: bytes, position: Position) -> bool:
    fence = fence_of(value)
    return fence is not None and fence >= position.epoch * EPOCH_OFFSETS + position.answered


def _partitions(key: bytes, source: int, layout: Layout, nth: int) -> list[int]:
    if not layout.moves:
        return [source]
    if key.startswith(_OF_PARTITIONS):
        return _of_partition(key, source, layout) if nth == 0 else []
    user = user_of_closed(key) if key.startswith(CLOSED_PREFIX) else key[1:] if key.startswith(_OF_PEOPLE) else key
    if user >= NO_ID:
        raise InputFileError(
            f"the backup has something in the states that this release does not know: {key[:40]!r}.",
            "repartition with the release that wrote it",
        )
    is_home = key_partition(user, layout.before, layout.partitioner) == source
    return [key_partition(user, layout.now, layout.partitioner)] if is_home == (nth == layout.passes - 1) else []


def _of_partition(key: bytes, source: int, layout: Layout) -> list[int]:
    """What a partition knows of all its people together.

    Totals and evidence are added up over partitions wherever they are used, so they stay where they are; of a partition that is
    no more, what it published stays published and does not grow. Click models are of nobody in particular: new partitions
    begin with a copy.
    """
    if key == CLICKS_KEY:
        return list(range(source, layout.now, layout.before))
    return [source] if source < layout.now else []
