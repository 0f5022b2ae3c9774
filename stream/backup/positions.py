"""How far the states of a partition go in the events topic, and where that is in another copy of it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from stream.backup.archive import Kept
from stream.backup.manifest import Where
from stream.errors import InputFileError
from stream.state.log_mark import LOG_KEY, LogMark, read_log
from stream.state.record import fence_of
from stream.wire.codes import EPOCH_OFFSETS
from stream.wire.records import MAX_ID_BYTES

NO_ID: Final = b"\xf5"
"""No UTF-8 begins with this or what is behind it; the keys of all that is not a person's state do."""

WHERE_EVENTS: Final = 32
"""Events in a row by which a place is known: they differ in times and ids, and a copy has them in the same order."""


class Reach:
    """What the records of a changelog say of how far they go; to be told of all of them."""

    def __init__(self) -> None:
        self.mark: LogMark | None = None
        self._last_fence = -1

    def note(self, records: Iterable[Kept]) -> None:
        """The next records."""
        for record in records:
            if record.key == LOG_KEY and record.value is not None:
                self.mark = read_log(record.value)
            elif is_state(record):
                fence = fence_of(record.value or b"")
                self._last_fence = max(self._last_fence, -1 if fence is None else fence)

    @property
    def epoch(self) -> int:
        """Of the newest offset."""
        return max(0 if self.mark is None else self.mark.epoch, max(self._last_fence, 0) // EPOCH_OFFSETS)

    def reached(self, committed: int | None) -> int:
        """The offset of the log before which everything is in the states.

        The mark and the states are of one transaction. Changelogs of 0.1 have no mark: there it is the last event that changed
        a state. What was committed before the changelog was read is in it, and may be further: events that changed nothing.
        """
        reached = self._last_fence + 1 if self.mark is None else self.mark.reached
        return max(reached, committed or 0)


def is_state(record: Kept) -> bool:
    """Whether it is a person's interest state."""
    return (
        record.key is not None and record.value is not None and record.key < NO_ID and len(record.key) <= MAX_ID_BYTES
    )


def where_of(records: Sequence[Kept]) -> list[Where]:
    """Of the last `WHERE_EVENTS` of these."""
    return [Where(r.offset, r.timestamp_ms, fingerprint(r)) for r in records[-WHERE_EVENTS:]]


def fingerprint(record: Kept) -> str:
    """Of key and value: what a copy of the record has, too, wherever it lies."""
    digest = hashlib.sha256()
    for part in (record.key, record.value):
        digest.update(b"\0" if part is None else len(part).to_bytes(4, "big") + b"\1" + part)
    return digest.hexdigest()


def behind(last_events: Sequence[Where], copy: Iterable[list[Kept]], where: str) -> int:
    """The offset in a copy behind the last of `last_events`, which stand there in the same order one behind the other.

    Args:
        last_events: at least one.
        copy: of the partition, from before the last of them.
        where: for people.

    Raises:
        InputFileError: they are not in it, or more than once.
    """
    wanted = [each.sha256 for each in last_events]
    seen: deque[str] = deque(maxlen=len(wanted))
    found: list[int] = []
    for record in chain.from_iterable(copy):
        seen.append(fingerprint(record))
        if list(seen) == wanted:
            found.append(record.offset + 1)
    if len(found) == 1:
        return found[0]
    many = "more than once" if found else "not"
    raise InputFileError(
        f"{where}: the last {len(wanted)} events that its states include are {many} in this copy of the topic.",
        "say where to go on with --positions FILE, a JSON object of partitions and offsets",
    )
