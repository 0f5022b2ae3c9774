"""Events and catalogue items from files: CSV, TSV, JSON lines and Parquet, also compressed. No Kafka here.

A file is read once, in order, in bounded memory: CSV and JSON lines row by row, Parquet in slices. `.gz`, `.bz2` and
`.xz` are unpacked while reading; `.zst` first into a temporary file (no library we use unpacks it piece by piece).

Every row goes through the worker's own `stream.wire.decode`, so what is refused here is what the worker would refuse. A bad
row is yielded as `BadRow` and the rest goes on; only a file that is not what it was said to be raises `InputFileError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stream.errors import InputFileError
from stream.files.cells import Times, TimeUnit
from stream.files.formats import Table, open_table
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
from stream.wire.times import parse_timezone

_encode = msgspec.json.Encoder().encode


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
            return _Accepted(decoded.event.user_id.encode(), value, decoded.event_time_ms)
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
        key = str(record.get("item_id", "")).encode()
        decoded = decode_item(key, value, limits)
        if isinstance(decoded, Rejected):
            return decoded
        published = decoded.published_at
        return _Accepted(key, value, published if isinstance(published, int) else now_ms)

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
        for line, row, bytes_read in table.rows:
            result = row if isinstance(row, Rejected) else _decode_row(steps, row, decode)
            if isinstance(result, Rejected):
                yield BadRow(line, result.reason, result.detail, bytes_read)
            else:
                yield FileRecord(line, result.key, result.value, result.time_ms, bytes_read)


def _bind(table: Table, mapping: Mapping, times: Times, path: Path) -> tuple[Step, ...]:
    bind = bind_keys if table.rows_are_dicts else bind_columns
    return bind(mapping, table.columns, times, str(path))


def _decode_row(steps: tuple[Step, ...], row: Row, decode: _Decode) -> _Accepted | Rejected:
    try:
        record = make_record(steps, row)
        value = _encode(record)
    except UnicodeEncodeError:
        return Rejected("not_json", "the row is not UTF-8 (to convert a file: iconv -f LATIN1 -t UTF-8)")
    except (ValueError, TypeError, OverflowError) as error:
        return Rejected("schema", str(error))
    return decode(record, value)
