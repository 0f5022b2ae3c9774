"""Event and catalogue files as the arrays of an evaluation; read as `penchant replay` and `penchant items load` read them."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.contract import ALWAYS_MS, NEVER_MS, NO_ITEM_NUMBER, Known, Stream
from models.evaluation.questions import first_of_pairs
from models.items.catalog import CatalogItem
from models.vocabulary import ACTIONS
from stream.errors import InputFileError
from stream.files.mapping import ITEMS_AS_NAMED
from stream.files.mapping import Mapping as Columns
from stream.files.reading import BadRow, read_events, read_items
from stream.kafka.read_to_end import read_to_end
from stream.settings import Settings
from stream.wire.codes import context_bucket, event_id_hash
from stream.wire.decode import DecodedEvent, DecodedItem, DecodeLimits, decode_event, decode_item
from stream.wire.records import Event, Item, event_decoder, item_decoder
from stream.wire.requests import read_request
from stream.wire.times import published_ms

MINUTE_MS = 60_000
_ACTION_CODE = {action: code for code, action in enumerate(ACTIONS)}


class Data(NamedTuple):
    """What was read, and what of."""

    stream: Stream
    known: Known
    counts: dict[str, int]
    """Rows, refused rows, events, .. as the report names them."""
    refused: dict[str, int]
    """Refused rows of the event file by reason."""
    sha256: dict[str, str]
    """Of the files, by their role: `events`, `items`."""


class Rows(NamedTuple):
    """Accepted events in the order of the file; users, items and texts numbered in that order. `(n,)` each."""

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    time_ms: NDArray[np.int64]
    action: NDArray[np.uint8]
    dwell_ms: NDArray[np.int64]
    context: NDArray[np.uint8]
    event_id: NDArray[np.uint32]
    slot: NDArray[np.uint8]
    text: NDArray[np.int32]

    def take(self, index: NDArray[np.int64]) -> Rows:
        """The events at these positions."""
        return Rows._make(column[index] for column in self)


def read_data(
    events: Path,
    columns: Columns,
    items: Path | None,
    item_columns: Columns = ITEMS_AS_NAMED,
    *,
    strengths: tuple[float, ...],
    limits: DecodeLimits,
    now_ms: int,
    reading: Mapping[str, Any],
    shuffle_seed: int | None = None,
) -> Data:
    """Everything that an evaluation needs of the files.

    Args:
        events, columns: the event file and its mapping.
        items, item_columns: the catalogue, if there is one; of an id that comes twice the later row counts.
        strengths: by action code; an event about an item is positive where they are above 0.
        limits, now_ms, reading: as `stream.files.reading.read_events` takes them.
        shuffle_seed: if given, what one user did within one minute is put in an order of chance.

    Raises:
        InputFileError: a file cannot be used, or there is nothing in it to judge by.
    """
    described = {} if items is None else _read_catalogue(items, item_columns, limits, now_ms, reading)
    found, refused = _read_file(events, columns, limits, now_ms, reading)
    return _data(found, refused, described, strengths, str(events), shuffle_seed, _hashes(events, items))


def read_topics(settings: Settings, limits: DecodeLimits) -> Data:
    """The same of the events and items topics, as they are now.

    Raises:
        InputFileError: there is nothing in them to learn from.
        TopicsError, BrokerUnreachableError: as `stream.kafka.read_to_end.read_to_end`.
    """
    described = read_catalogue_topic(settings, limits)
    found, refused = _read_topic(settings, limits)
    return _data(found, refused, described, settings.strengths(), settings.topic_events, None, {})


def read_catalogue_topic(settings: Settings, limits: DecodeLimits) -> dict[str, CatalogItem]:
    """The catalogue as it is on its topic now, by item_id; records that are no items are passed over.

    Raises:
        TopicsError, BrokerUnreachableError: as `stream.kafka.read_to_end.read_to_end`.
    """
    described: dict[str, CatalogItem] = {}
    for records in read_to_end(settings, settings.topic_items):
        for record in records:
            item = None if record.value is None else decode_item(record.key, record.value, limits)
            if isinstance(item, DecodedItem):
                described[item.item.item_id] = _catalogue_item(item.item)
            elif record.value is None:
                described.pop((record.key or b"").decode(errors="replace"), None)
    return described


def _data(
    found: _Events,
    refused: Counter[str],
    described: dict[str, CatalogItem],
    strengths: tuple[float, ...],
    where: str,
    shuffle_seed: int | None,
    hashes: dict[str, str],
) -> Data:
    rows = found.rows()
    total = rows.user.size + sum(refused.values())
    rows = rows.take(np.argsort(rows.time_ms, kind="stable"))
    if shuffle_seed is not None:
        rows = shuffle_minutes(rows, shuffle_seed)
    user, users = _by_first_appearance(rows.user, list(found.users))
    item, seen = _by_first_appearance(rows.item, list(found.items))
    known_already = set(seen)
    all_items = seen + [item_id for item_id in described if item_id not in known_already]
    positive = (rows.item != NO_ITEM_NUMBER) & (np.array(strengths)[rows.action] > 0)
    if not positive.any():
        raise InputFileError(
            f"No event in {where} shows interest in an item.", "map action to view, click, purchase, .."
        )
    first = first_of_pairs(user, item, positive)
    stream = Stream(user, item, *rows[2:], positive=positive, first=first)
    catalogue = [described.get(item_id) for item_id in all_items]
    known = Known(users, all_items, catalogue, _listed_from(catalogue), list(found.texts))
    counts = {
        "rows": total,
        "refused": sum(refused.values()),
        "events": stream.n_events,
        "positive_events": int(positive.sum()),
        "first_engagements": int(first.sum()),
        "users": len(users),
        "items_in_events": len(seen),
        "items_in_catalogue": len(described),
    }
    return Data(stream, known, counts, dict(refused), hashes)


def shuffle_minutes(rows: Rows, seed: int) -> Rows:
    """What each user did within a minute, in an order of chance; the times and who acts when stay where they are.

    For data whose lines within a minute have an order that no user chose, such as the lines of an invoice.
    """
    n = rows.time_ms.size
    chance = np.random.default_rng(seed).random(n)
    minute = rows.time_ms // MINUTE_MS
    slots = np.lexsort((np.arange(n), minute, rows.user))
    drawn = np.lexsort((chance, minute, rows.user))
    source = np.empty(n, np.int64)
    source[slots] = drawn
    return rows.take(source)._replace(time_ms=rows.time_ms)


class _Events:
    """Accepted events as they come; users, items and texts numbered in that order."""

    def __init__(self) -> None:
        self.users: dict[str, int] = {}
        self.items: dict[str, int] = {}
        self.texts: dict[str, int] = {}
        self._columns = tuple(array(kind) for kind in "iiqBqBIBi")
        self._erased: dict[int, int] = {}
        """By user: how many events there were when they were erased."""

    def add(self, event: Event, time_ms: int) -> None:
        """One more."""
        about, asked = event.item_id, event.text if event.item_id is None else None
        row = (
            self.users.setdefault(event.user_id, len(self.users)),
            NO_ITEM_NUMBER if about is None else self.items.setdefault(about, len(self.items)),
            time_ms,
            _ACTION_CODE[event.action],
            event.dwell_ms or 0,
            context_bucket(event.context) if event.context else 0,
            event_id_hash(event.event_id) if event.event_id else 0,
            min(max(event.slot or 0, 0), 255),
            -1 if asked is None else self.texts.setdefault(asked, len(self.texts)),
        )
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)

    def forget(self, user_id: str) -> None:
        """Of this person nothing that was added before counts: they were erased."""
        if (code := self.users.get(user_id)) is not None:
            self._erased[code] = len(self._columns[0])

    def rows(self) -> Rows:
        """All of them."""
        if self._erased:
            users = np.array(self._columns[0], np.int64)
            until = np.array([self._erased.get(code, 0) for code in range(len(self.users))], np.int64)
            kept = np.flatnonzero(np.arange(len(users)) >= until[users]).tolist()
            self._columns = tuple(array(column.typecode, [column[k] for k in kept]) for column in self._columns)
            self._erased = {}
        kinds = (np.int32, np.int32, np.int64, np.uint8, np.int64, np.uint8, np.uint32, np.uint8, np.int32)
        return Rows(*(np.array(column, kind) for column, kind in zip(self._columns, kinds, strict=True)))


def _read_file(
    path: Path, columns: Columns, limits: DecodeLimits, now_ms: int, reading: Mapping[str, Any]
) -> tuple[_Events, Counter[str]]:
    found, refused = _Events(), Counter[str]()
    for row in read_events(path, columns, limits=limits, now_ms=now_ms, **reading):
        if isinstance(row, BadRow):
            refused[row.reason] += 1
        else:
            found.add(event_decoder.decode(row.value), row.time_ms)
    if not found.users:
        reason, number = refused.most_common(1)[0]
        raise InputFileError(
            f"Every row of {path} is refused, {number} of them: {reason}.", "correct the rows or the --map"
        )
    return found, refused


def _read_topic(settings: Settings, limits: DecodeLimits) -> tuple[_Events, Counter[str]]:
    found, refused = _Events(), Counter[str]()
    for records in read_to_end(settings, settings.topic_events):
        for record in records:
            if (request := read_request(record.value)) is not None:
                if request.request in ("erase", "object"):
                    found.forget(request.user_id)
                continue
            decoded = decode_event(record.key, record.value, record.timestamp, limits)
            if isinstance(decoded, DecodedEvent):
                found.add(decoded.event, decoded.event_time_ms)
            else:
                refused[decoded.reason] += 1
    if not found.users:
        raise InputFileError(f"No event in topic {settings.topic_events} can be read.", "run `penchant replay FILE`")
    return found, refused


def _read_catalogue(
    path: Path, columns: Columns, limits: DecodeLimits, now_ms: int, reading: Mapping[str, Any]
) -> dict[str, CatalogItem]:
    found: dict[str, CatalogItem] = {}
    for row in read_items(path, columns, limits=limits, now_ms=now_ms, **reading):
        if isinstance(row, BadRow):
            continue
        item = item_decoder.decode(row.value)
        found[item.item_id] = _catalogue_item(item)
    if not found:
        raise InputFileError(f"{path} holds no usable item.", "map item_id and title to their columns: --items-map")
    return found


def _catalogue_item(item: Item) -> CatalogItem:
    return CatalogItem(
        item.item_id,
        item.title,
        item.categories,
        item.description,
        item.language,
        item.media_text,
        item.available,
        item.price,
        None if item.published_at is None else published_ms(item.published_at),
        tuple((item.attributes or {}).items()),
    )


def _by_first_appearance(codes: NDArray[np.int32], names: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """`(numbers, names in the order of the numbers)`: numbered in the order in which the codes come; -1 stays."""
    distinct, first_at = np.unique(codes, return_index=True)
    order = distinct[np.argsort(first_at)]
    order = order[order >= 0]
    number = np.full(len(names) + 1, NO_ITEM_NUMBER, np.int32)  # the last place is that of code -1
    number[order] = np.arange(order.size, dtype=np.int32)
    return number[codes], [names[code] for code in order.tolist()]


def _listed_from(catalogue: list[CatalogItem | None]) -> NDArray[np.int64]:
    times = [
        NEVER_MS if item is None else ALWAYS_MS if item.published_at_ms is None else item.published_at_ms
        for item in catalogue
    ]
    return np.array(times, np.int64)


def _hashes(events: Path, items: Path | None) -> dict[str, str]:
    found = {}
    for role, path in (("events", events), ("items", items)):
        if path is not None:
            with path.open("rb") as file:
                digest = sha256()
                while block := file.read(1 << 20):
                    digest.update(block)
            found[role] = digest.hexdigest()
    return found
