"""Event and catalogue files as arrays for fine-tuning; read as `penchant replay` and `penchant items load` read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.encoder.text import clean_text, item_text
from models.items.catalog import CatalogItem
from models.training.engagements import Engagements, engagements
from stream.errors import InputFileError
from stream.files.mapping import Mapping as Columns
from stream.files.reading import BadRow, FileRecord, read_events, read_items
from stream.wire.decode import DecodeLimits
from stream.wire.records import event_decoder, item_decoder


class Texts(NamedTuple):
    """The distinct clean texts of a catalogue, and the place of each item's; items that read the same share one."""

    texts: list[str]
    place: dict[str, int]


class Read(NamedTuple):
    """What came of an event file."""

    engagements: Engagements
    rows: int
    refused: int
    """Rows that the worker would refuse."""
    unknown: int
    """Engagements with items that have no text."""


def read_texts(
    path: Path, columns: Columns, max_tokens: int, *, limits: DecodeLimits, now_ms: int, reading: Mapping[str, Any]
) -> Texts:
    """The catalogue as the encoder would get it; of an id that comes twice the later row counts.

    Raises:
        InputFileError: the file cannot be used, or nothing in it has a text.
    """
    clean: dict[str, str] = {}
    for row in _good(read_items(path, columns, limits=limits, now_ms=now_ms, **reading)):
        item = item_decoder.decode(row.value)
        known = CatalogItem(item.item_id, item.title, item.categories, item.description, media_text=item.media_text)
        clean[item.item_id] = clean_text(item_text(known), max_tokens)
    texts = list(dict.fromkeys(filter(None, clean.values())))
    if not texts:
        raise InputFileError(f"{path} holds no item with a text.", "map the title to its column: --items-map")
    place = {text: number for number, text in enumerate(texts)}
    return Texts(texts, {item_id: place[text] for item_id, text in clean.items() if text})


def read_engagements(
    path: Path,
    columns: Columns,
    texts: Texts,
    strengths: Mapping[str, float],
    *,
    limits: DecodeLimits,
    now_ms: int,
    reading: Mapping[str, Any],
) -> Read:
    """First engagements: events with an item whose action shows interest (`strengths` above 0).

    Raises:
        InputFileError: the file cannot be used, or no event in it is about an item of the catalogue.
    """
    users: dict[str, int] = {}
    user, item, time_ms = [], [], []
    rows = refused = unknown = 0
    for row in read_events(path, columns, limits=limits, now_ms=now_ms, **reading):
        rows += 1
        if isinstance(row, BadRow):
            refused += 1
            continue
        event = event_decoder.decode(row.value)
        if event.item_id is None or strengths[event.action] <= 0:
            continue
        place = texts.place.get(event.item_id)
        if place is None:
            unknown += 1
            continue
        user.append(users.setdefault(event.user_id, len(users)))
        item.append(place)
        time_ms.append(row.time_ms)
    if not item:
        raise InputFileError(f"No event in {path} is about an item of the catalogue.", "see that the item ids agree")
    found = engagements(np.array(user, np.int32), np.array(item, np.int32), np.array(time_ms, np.int64))
    return Read(found, rows, refused, unknown)


def _good(rows: Iterator[FileRecord | BadRow]) -> Iterator[FileRecord]:
    return (row for row in rows if isinstance(row, FileRecord))
