"""The reasons of last lists, and what lists have earned, from the topic of attributions.

Keys: `u` + user: ids of the lists whose reasons are kept; `r` + id: the record of reasons; `e` + user: outcomes, newest last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from stream.kafka.replica import Replicated
from stream.serve.followed.table import FollowedTable
from stream.wire.reasons import Reasons
from stream.wire.records import OutcomeAttribution, read_attribution, reasons_decoder

LISTS_KEPT: Final = 4
"""Of a person: of each placement one, and of the list before, which somebody may still be looking at."""

OUTCOMES_KEPT: Final = 20

_ID_BYTES: Final = 16


class _Reasons(msgspec.Struct, frozen=True, tag_field="kind", tag="reasons"):
    recommendation_id: str
    user_id: str


class _Outcome(msgspec.Struct, frozen=True, tag_field="kind", tag="outcome"):
    user_id: str


_heads = msgspec.json.Decoder(_Reasons | _Outcome)


class LastReasons:
    """Kept as they were published."""

    def __init__(self, table: FollowedTable) -> None:
        self._table = table

    def position(self, partition: int) -> int | None:
        """See `stream.kafka.follower.Taker`."""
        return self._table.position(partition)

    def take(self, partition: int, records: list[Replicated]) -> None:
        """See `stream.kafka.follower.Taker`."""
        changed: dict[bytes, bytes | None] = {}
        lists: dict[str, list[tuple[bytes, bytes]]] = {}
        outcomes: dict[str, list[bytes]] = {}
        for record in records:
            head = _head(record.value)
            if isinstance(head, _Reasons) and (list_id := _id(head.recommendation_id)) is not None:
                lists.setdefault(head.user_id, []).append((list_id, record.value or b""))
            elif isinstance(head, _Outcome):
                outcomes.setdefault(head.user_id, []).append(record.value or b"")
        for user, before in zip(lists, self._values(b"u", lists), strict=True):
            changed |= _of_lists(user, before or b"", lists[user])
        for user, before in zip(outcomes, self._values(b"e", outcomes), strict=True):
            kept = [*(before or b"").split(b"\n"), *outcomes[user]][-OUTCOMES_KEPT:]
            changed[b"e" + user.encode()] = b"\n".join(each for each in kept if each)
        self._table.write(partition, changed.items(), records[-1].offset + 1)

    def begin_anew(self) -> None:
        """See `stream.kafka.follower.Taker`."""
        self._table.drop_all()

    def forget(self, users: Sequence[bytes]) -> None:
        """Keep nothing of these people. From any thread."""
        lists = self._table.store.get_many([b"u" + user for user in users])
        gone = [b"r" + list_id for ids in lists for list_id in _ids(ids or b"")]
        gone += [prefix + user for user in users for prefix in (b"u", b"e")]
        self._table.store.write([(key, None) for key in gone], None)

    def of_list(self, recommendation_id: str) -> Reasons | None:
        """The record of reasons of a list; None: it has none, or none that is kept."""
        list_id = _id(recommendation_id)
        value = None if list_id is None else self._table.get(b"r" + list_id)
        try:
            return None if value is None else reasons_decoder.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def earned(self, user: bytes) -> list[OutcomeAttribution]:
        """The newest outcomes of a person, the newest first."""
        found = []
        for value in reversed((self._table.get(b"e" + user) or b"").split(b"\n")):
            try:
                record = read_attribution(value)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(record, OutcomeAttribution):
                found.append(record)
        return found

    def _values(self, prefix: bytes, users: Iterable[str]) -> list[bytes | None]:
        return self._table.store.get_many([prefix + user.encode() for user in users])


def _of_lists(user: str, before: bytes, new: list[tuple[bytes, bytes]]) -> dict[bytes, bytes | None]:
    """What changes when these lists of a person come: the oldest are forgotten."""
    ids = _ids(before)
    changed: dict[bytes, bytes | None] = {}
    for list_id, value in new:
        changed[b"r" + list_id] = value
        ids = [each for each in ids if each != list_id] + [list_id]
    for gone in ids[:-LISTS_KEPT]:
        changed[b"r" + gone] = None
    changed[b"u" + user.encode()] = b"".join(ids[-LISTS_KEPT:])
    return changed


def _ids(joined: bytes) -> list[bytes]:
    return [joined[at : at + _ID_BYTES] for at in range(0, len(joined), _ID_BYTES)]


def _head(value: bytes | None) -> _Reasons | _Outcome | None:
    try:
        found: _Reasons | _Outcome = _heads.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):  # of before 0.3, or of a later release: passed over
        return None
    return found


def _id(recommendation_id: str) -> bytes | None:
    try:
        found = bytes.fromhex(recommendation_id)
    except ValueError:
        return None
    return found if len(found) == _ID_BYTES else None
