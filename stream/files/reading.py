"""Events and catalogue items from files: CSV, TSV, JSON lines and Parquet, also compressed. No Kafka here.

A file is read once, in order, in bounded memory: CSV and JSON lines row by row, Parquet in slices. `.gz`, `.bz2` and
`.xz` are unpacked while reading; `.zst` first into a temporary file (no library we use unpacks it piece by piece).

Every row goes through the worker's own `stream.wire.decode`, so what is refused here is what the worker would refuse. A bad
row is yielded as `BadRow` and the rest goes on; only a file that is not what it was said to be raises `InputFileError`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stream.errors import InputFileError
from stream.files.cells import Times, reads_ids
from stream.files.formats import NOT_UTF_8, Table, open_table
from stream.files.mapping import (
    EVENTS_AS_NAMED,
    ITEMS_AS_NAMED,
    Mapping,
    Row,
    Step,
    bind_columns,
    bind_keys,
    make_record,
)
from stream.wire.decode import DecodedEvent, DecodeLimits, Rejected, decode_event, decode_item
from stream.wire.records import encode_sparse
from stream.wire.times import TimeUnit, parse_timezone

_NEEDED = ("user_id", "item_id", "action", "title")
"""In a file that is not UTF-8 these would be spoilt in every row; the person who sends it can convert it."""

_encode = msgspec.json.Encoder().encode


class Change(NamedTuple):
    """A field that was not sent as the file has it."""

    field: str
    what: str


MENDED = "odd, so mended or left out"
FLOAT_ID = "whole, so 1.0 is sent as 1"


class FileRecord(NamedTuple):
    """One row, ready to produce. `value` is compact JSON of the fields that are there."""

    line: int
    """Line of the file where the row begins, from 1, header included; of Parquet the number of the row, from 1."""
    key: bytes
    value: bytes
    time_ms: int
    """When the event happened, ms since the epoch; of an item without `published_at`: `now_ms`."""
    bytes_read: int
    """How much of the file, as stored, has been read by now: at the end its size."""
    changes: tuple[Change, ...] = ()
    """What was changed of the row, for people."""


class BadRow(NamedTuple):
    """One row that the worker would refuse: a reason of `stream.wire.decode.REASONS` and a sentence for people."""

    line: int
    reason: str
    detail: str
    bytes_read: int


class _Accepted(NamedTuple):
    key: bytes
    value: bytes
    time_ms: int
    mended: tuple[str, ...]


_Decode = Callable[[dict[str, Any], bytes], _Accepted | Rejected]


def read_events(
    path: Path,
    mapping: Mapping = EVENTS_AS_NAMED,
    *,
    limits: DecodeLimits,
    now_ms: int,
    timezone: str = "UTC",
    time_unit: TimeUnit = "auto",
    time_pattern: str | None = None,
    format: str | None = None,  # noqa: A002  (the option's name)
) -> Iterator[FileRecord | BadRow]:
    """The rows of an event file as records of `interest.events`, in file order.

    `now_ms` stands for the Kafka timestamp that the records are going to get. `format` overrides the file's extensions,
    for instance `csv` or `jsonl.gz`. Times are read as `stream.files.cells.read_time_ms` says.

    Raises:
        InputFileError: at the call: the file, its first row or its columns are not usable; later: the file is broken.
    """

    def decode(record: dict[str, Any], value: bytes) -> _Accepted | Rejected:
        del record
        decoded = decode_event(None, value, now_ms, limits)
        if isinstance(decoded, DecodedEvent):
            value = encode_sparse(decoded.event) if decoded.mended else value
            return _Accepted(decoded.event.user_id.encode(), value, decoded.event_time_ms, decoded.mended)
        return decoded

    times = Times(parse_timezone(timezone), time_unit, time_pattern)
    return _start(_read(path, format, mapping, times, decode), path)


def read_items(
    path: Path,
    mapping: Mapping = ITEMS_AS_NAMED,
    *,
    limits: DecodeLimits,
    now_ms: int,
    timezone: str = "UTC",
    time_unit: TimeUnit = "auto",
    time_pattern: str | None = None,
    format: str | None = None,  # noqa: A002  (the option's name)
) -> Iterator[FileRecord | BadRow]:
    """The rows of a catalogue file as records of `interest.items`; everything else as in `read_events`."""

    def decode(record: dict[str, Any], value: bytes) -> _Accepted | Rejected:
        key = str(record.get("item_id", "")).encode(errors="replace")
        decoded = decode_item(key, value, limits)
        if isinstance(decoded, Rejected):
            return decoded
        item, published_ms, mended = decoded
        return _Accepted(key, encode_sparse(item) if mended else value, published_ms or now_ms, mended)

    times = Times(parse_timezone(timezone), time_unit, time_pattern)
    return _start(_read(path, format, mapping, times, decode), path)


def total_bytes(path: Path) -> int:
    """Size of the file as stored: what `bytes_read` grows to, for a progress bar.

    Raises:
        InputFileError: there is no such file.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputFileError(f"{path} cannot be read: {error.strerror}.", "name an existing file") from None


def _start(rows: Iterator[FileRecord | BadRow], path: Path) -> Iterator[FileRecord | BadRow]:
    """Reads the first row, so that a file that cannot be used is an error before anything else happens."""
    first = next(rows, None)
    if first is None:
        raise InputFileError(f"{path} holds no rows.", "name a file with at least one row of data")
    return chain((first,), rows)


def _read(
    path: Path, extensions: str | None, mapping: Mapping, times: Times, decode: _Decode
) -> Iterator[FileRecord | BadRow]:
    with open_table(path, extensions) as table:
        steps = _bind(table, mapping, times, path)
        ids = [step for step in steps if reads_ids(step.read)]
        for line, row, bytes_read in table.rows:
            result = row if isinstance(row, Rejected) else _decode_row(steps, row, decode)
            if isinstance(result, Rejected):
                yield BadRow(line, result.reason, result.detail, bytes_read)
            else:
                yield FileRecord(line, result.key, result.value, result.time_ms, bytes_read, _changes(ids, row, result))


def _bind(table: Table, mapping: Mapping, times: Times, path: Path) -> tuple[Step, ...]:
    bind = bind_keys if table.rows_are_dicts else bind_columns
    return bind(mapping, table.columns, times, str(path))


def _changes(ids: Iterable[Step], row: Row, accepted: _Accepted) -> tuple[Change, ...]:
    """`ids`: the steps that read ids."""
    mended = tuple(Change(field, MENDED) for field in accepted.mended)
    cells = ((step.field, step.get(row)) for step in ids)
    return mended + tuple(
        Change(field, FLOAT_ID) for field, cell in cells if isinstance(cell, float) and cell.is_integer()
    )


def _is_no_text(cell: Any) -> bool:
    try:
        return isinstance(cell, str) and not cell.encode()
    except UnicodeEncodeError:
        return True


def _decode_row(steps: tuple[Step, ...], row: Row, decode: _Decode) -> _Accepted | Rejected:
    try:
        record = make_record(steps, row)
        value = _encode(record)
    except UnicodeEncodeError:
        if not isinstance(row, dict) and any(_is_no_text(record.get(field)) for field in _NEEDED):
            return Rejected("not_json", NOT_UTF_8)
        value = json.dumps(record).encode()  # what is no character is escaped, and mended where it may be
    except (ValueError, TypeError, OverflowError) as error:
        return Rejected("schema", str(error))
    return decode(record, value)
