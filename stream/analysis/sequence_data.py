"""What a sequence model is trained on: first engagements and items' texts, from files or from the topics themselves."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Encoder
from models.encoder.text import clean_text, item_text
from models.items.catalog import CatalogItem
from models.items.names import ItemNames
from models.training.engagements import Engagements, engagements
from stream.errors import InputFileError
from stream.files.mapping import Mapping as Columns
from stream.files.reading import BadRow, read_events, read_items
from stream.kafka.read_to_end import read_to_end
from stream.params import encoder_choice
from stream.settings import Settings
from stream.texts.options import batch_tokens, open_encoder_of
from stream.wire.decode import DecodeLimits, Rejected, decode_item
from stream.wire.records import Item, event_decoder, item_decoder
from stream.worker.intake import read_chunk

_ENCODED_AT_ONCE = 4096
"""Texts tokenised together."""


class Read(NamedTuple):
    """What came of the events."""

    ids: list[str]
    """Of the items that an engagement is about, in the order of their first one."""
    events: Engagements
    """An item's number is its place in `ids`."""
    rows: int
    refused: int
    """Rows that the worker would refuse."""


Catalogue = Mapping[str, CatalogItem]
"""By item id."""


class Texts(NamedTuple):
    """What the texts of items say, or why nothing."""

    vectors: NDArray[np.float32] | None
    """(n, dims), zeros where an item has no text."""
    model: str | None
    """Version of the encoder."""
    why_none: str = ""


class _Rows:
    """Engagements as they come, users and items numbered."""

    def __init__(self) -> None:
        self.users: dict[bytes, int] = {}
        self.items: dict[str, int] = {}
        self.user, self.item, self.time_ms = array("i"), array("i"), array("q")

    def add(self, user: bytes, item: str, time_ms: int) -> None:
        """One engagement."""
        self.user.append(self.users.setdefault(user, len(self.users)))
        self.item.append(self.items.setdefault(item, len(self.items)))
        self.time_ms.append(time_ms)

    def read(self, rows: int, refused: int, where: str) -> Read:
        """All of them.

        Raises:
            InputFileError: there is none.
        """
        if not self.user:
            raise InputFileError(
                f"No event in {where} shows interest in an item.", "map action to view, click, purchase, .."
            )
        columns = np.array(self.user, np.int32), np.array(self.item, np.int32), np.array(self.time_ms, np.int64)
        return Read(list(self.items), engagements(*columns), rows, refused)


def events_of_file(
    path: Path,
    columns: Columns,
    strengths: Mapping[str, float],
    *,
    limits: DecodeLimits,
    now_ms: int,
    reading: Mapping[str, Any],
) -> Read:
    """First engagements: events with an item whose action shows interest (`strengths` above 0).

    Raises:
        InputFileError: the file cannot be used, or there is no such event in it.
    """
    found, rows, refused = _Rows(), 0, 0
    for row in read_events(path, columns, limits=limits, now_ms=now_ms, **reading):
        rows += 1
        if isinstance(row, BadRow):
            refused += 1
            continue
        event = event_decoder.decode(row.value)
        if event.item_id is not None and strengths[event.action] > 0:
            found.add(event.user_id.encode(), event.item_id, row.time_ms)
    return found.read(rows, refused, str(path))


def events_of_topic(settings: Settings, limits: DecodeLimits) -> Read:
    """The same of the events topic, read to where it ends now, as a worker reads it.

    Events without a key are passed over: the worker produces them again under their user_id.

    Raises:
        InputFileError: there is no such event in it.
        TopicsError, BrokerUnreachableError: as `stream.kafka.read_to_end.read_to_end`.
    """
    strengths = np.array(settings.strengths())
    found, names, rows, refused = _Rows(), ItemNames(), 0, 0
    for records in read_to_end(settings, settings.topic_events):
        chunk = read_chunk(records, limits, names)
        rows += len(records)
        refused += len(chunk.refused)
        columns = chunk.columns
        for i in np.flatnonzero(strengths[columns.action] > 0).tolist():
            item = names.id_of(int(columns.item[i]))
            if item is not None:  # None: a query
                found.add(chunk.keys[i], item, int(columns.time_ms[i]))
    return found.read(rows, refused, f"topic {settings.topic_events}")


def items_of_file(
    path: Path, columns: Columns, *, limits: DecodeLimits, now_ms: int, reading: Mapping[str, Any]
) -> dict[str, CatalogItem]:
    """The catalogue by item id; of an id that comes twice the later row counts.

    Raises:
        InputFileError: the file cannot be used, or there is no item in it.
    """
    found = {}
    for row in read_items(path, columns, limits=limits, now_ms=now_ms, **reading):
        if not isinstance(row, BadRow):
            item = item_decoder.decode(row.value)
            found[item.item_id] = _described(item)
    if not found:
        raise InputFileError(f"{path} holds no usable item.", "map item_id and title to their columns: --items-map")
    return found


def items_of_topic(settings: Settings, limits: DecodeLimits) -> dict[str, CatalogItem]:
    """The same of the items topic; it may be empty.

    Raises:
        TopicsError, BrokerUnreachableError: as `stream.kafka.read_to_end.read_to_end`.
    """
    found: dict[str, CatalogItem] = {}
    for records in read_to_end(settings, settings.topic_items):
        for record in records:
            if record.value is None:
                found.pop((record.key or b"").decode(errors="replace"), None)
                continue
            decoded = decode_item(record.key, record.value, limits)
            if not isinstance(decoded, Rejected):
                found[decoded.item.item_id] = _described(decoded.item)
    return found


def of_catalogue(read: Read, catalogue: Catalogue) -> Read:
    """The same with the ids of the catalogue, all of them in their order, and the engagements with these.

    For private training: which items people had is theirs, which items there are is not.

    Raises:
        InputFileError: nobody had any of them.
    """
    ids = sorted(catalogue)
    place = {item: number for number, item in enumerate(ids)}
    number = np.array([place.get(item, -1) for item in read.ids], np.int32)[read.events.item]
    inside = number >= 0
    if not inside.any():
        raise InputFileError("No event is about an item of the catalogue.", "--dp-epsilon needs --items")
    events = Engagements(read.events.user[inside], number[inside], read.events.time_ms[inside])
    return read._replace(ids=ids, events=events)


def texts_of(
    ids: list[str], catalogue: Catalogue, settings: Settings, on_done: Callable[[int, int], None] = lambda *_: None
) -> Texts:
    """`text_vectors` by the encoder of the settings.

    Raises:
        ModelUnusableError: it cannot be had.
    """
    choice = encoder_choice(settings)
    if choice is None:
        return Texts(None, None, "encoder_model is `none`")
    if not any(item in catalogue for item in ids):
        return Texts(None, None, "there is no catalogue")
    opened = open_encoder_of(choice)
    try:
        budget = settings.encoder_batch_tokens or batch_tokens(opened.provider)
        vectors = text_vectors(ids, catalogue, opened, budget, on_done)
        return Texts(vectors, None if vectors is None else opened.model_version)
    finally:
        opened.close()


def text_vectors(
    ids: list[str],
    catalogue: Catalogue,
    encoder: Encoder,
    max_tokens: int,
    on_done: Callable[[int, int], None] = lambda *_: None,
) -> NDArray[np.float32] | None:
    """(n, dims) vectors of the items' texts, zeros where there is none; None if none has one.

    The texts are what the worker encodes. `max_tokens`: of a batch, padded. `on_done` hears (texts done, of how many).
    """
    texts = [clean_text(item_text(catalogue[i]), encoder.max_tokens) if i in catalogue else "" for i in ids]
    distinct = list(dict.fromkeys(filter(None, texts)))
    if not distinct:
        return None
    vectors = np.zeros((len(distinct) + 1, encoder.dims), np.float32)  # the last row: no text
    for start in range(0, len(distinct), _ENCODED_AT_ONCE):
        prepared = encoder.prepare(distinct[start : start + _ENCODED_AT_ONCE], "passage")
        order = sorted(range(len(prepared)), key=lambda row: prepared[row].tokens)
        while order:  # the longest first, as many as fit beside it
            longest = max(1, prepared[order[-1]].tokens)
            some = order[-max(1, max_tokens // longest) :]
            del order[-len(some) :]
            vectors[[start + row for row in some]] = encoder.encode([prepared[row] for row in some])
        on_done(min(start + _ENCODED_AT_ONCE, len(distinct)), len(distinct))
    place = {text: number for number, text in enumerate(distinct)}
    return vectors[[place.get(text, -1) for text in texts]]


def _described(item: Item) -> CatalogItem:
    return CatalogItem(item.item_id, item.title, item.categories, item.description, media_text=item.media_text)
