"""Which column of a file becomes which field of a wire record, and how its cells are read. Pure.

A mapping is text: `field=source` pairs separated by commas (quote a pair that holds a comma, as in CSV).

| written | meaning |
|---|---|
| `user_id=CustomerID` | the field's value is the column's |
| `user_id=CustomerID:int` | the same, written as a whole number: `17850.0` becomes `17850` |
| `action=:purchase` | the constant `purchase` in every row |
| `context.device=Device` | one key of an object field (`context.*` of events, `attributes.*` of items) |

Without a mapping every column whose name is a field is taken as that field.

Ids are text and are never changed unless `:int` asks for it; only where a file has them as floats (Parquet, JSON) is 1.0 the
id 1. With `:int` a cell that is no whole number refuses its
row, so two different ids cannot quietly become one. An empty cell is a missing field. `|` separates `categories`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from stream.errors import InputFileError
from stream.files.cells import Times, cell_reader
from stream.wire.records import Event, Item

Kind = Literal["event", "item"]
Row = Any
"""A sequence of cells (CSV, Parquet) or a dict (JSON lines)."""

_FIELDS: dict[Kind, tuple[str, ...]] = {"event": Event.__struct_fields__, "item": Item.__struct_fields__}
_OBJECT: dict[Kind, str] = {"event": "context", "item": "attributes"}
_REQUIRED: dict[Kind, tuple[str, ...]] = {"event": ("user_id", "action"), "item": ("item_id", "title")}


class Pair(NamedTuple):
    """One field of a mapping: it comes from `column`, or is `constant` where there is no column."""

    field: str
    column: str | None
    constant: str | None = None
    as_int: bool = False


class Mapping(NamedTuple):
    """Where the fields of one kind of record come from; no pairs: from the columns of the same names."""

    kind: Kind
    pairs: tuple[Pair, ...] = ()


EVENTS_AS_NAMED = Mapping("event")
ITEMS_AS_NAMED = Mapping("item")


class Step(NamedTuple):
    """How one field of a record is made from a row: `read(get(row))`, under `key` of an object field."""

    field: str
    key: str | None
    get: Callable[[Row], Any]
    read: Callable[[Any], Any]


def parse_mapping(text: str, kind: Kind = "event") -> Mapping:
    """`"user_id=CustomerID:int,item_id=StockCode,action=:purchase"` -> `Mapping`. Empty text: columns as named.

    Raises:
        InputFileError: a pair is malformed, a field unknown, repeated, or a required one missing; names it and the fix.
    """
    try:
        written = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise InputFileError(f"The mapping cannot be read: {error}.", "quote a whole pair or nothing") from None
    pairs = tuple(_parse_pair(part.strip(), kind) for part in written if part.strip())
    named = [pair.field for pair in pairs]
    for field in named:
        if named.count(field) > 1:
            raise InputFileError(f"The mapping gives {field} twice.", "name each field once")
    for field in _REQUIRED[kind]:
        if pairs and field not in named:
            raise InputFileError(
                f"The mapping leaves out {field}, which every {kind} needs.",
                f"add {field}=COLUMN, or {field}=:VALUE for the same value in every row",
            )
    return Mapping(kind, pairs)


def bind_columns(mapping: Mapping, columns: Sequence[str], times: Times, where: str) -> tuple[Step, ...]:
    """The steps that make a record from a row whose cells stand in the order of `columns`.

    Raises:
        InputFileError: a column is not there; the message, starting with `where`, lists those that are.
    """
    mapping = mapping if mapping.pairs else _as_named(mapping.kind, columns, where)
    for pair in mapping.pairs:
        if pair.column is not None and columns.count(pair.column) != 1:
            found = "no" if pair.column not in columns else "more than one"
            raise _bad_columns(f"{where} has {found} column {pair.column!r}", pair.field, columns)
    return _steps(mapping, lambda column: _cell_at(columns.index(column)), times)


def bind_keys(mapping: Mapping, keys: Sequence[str], times: Times, where: str) -> tuple[Step, ...]:
    """As `bind_columns` for rows that are dicts; a key may be a path such as `user.id`.

    `keys` are those of the first rows. A key that is absent there is an error only for a required field.
    """
    if not mapping.pairs:
        mapping = _as_named(mapping.kind, keys, where, every_field=True)
    for pair in mapping.pairs:
        required = pair.field in _REQUIRED[mapping.kind] and pair.column is not None
        if required and pair.column not in keys and str(pair.column).partition(".")[0] not in keys:
            raise _bad_columns(f"{where} has no key {pair.column!r} in its first rows", pair.field, keys)
    return _steps(mapping, _value_at, times)


def make_record(steps: Iterable[Step], row: Row) -> dict[str, Any]:
    """The wire record of one row without its missing fields. A cell that cannot be read stays as it is, for decode.

    Raises:
        ValueError: a cell under `:int` is no whole number.
    """
    record: dict[str, Any] = {}
    for field, key, get, read in steps:
        cell = get(row)
        if cell is None or cell == "" or (cell != cell):  # noqa: PLR0124  (NaN: how pandas writes "missing" to Parquet)
            continue
        value = read(cell)
        if value is None:
            continue
        if key is None:
            record[field] = value
        else:
            record.setdefault(field, {})[key] = value
    return record


def _parse_pair(text: str, kind: Kind) -> Pair:
    field, equals, source = (part.strip() for part in text.partition("="))
    if not equals or not source:
        raise InputFileError(f"{text!r} in the mapping is not field=column.", "write field=COLUMN or field=:VALUE")
    parent, _, key = field.partition(".")
    if field not in _FIELDS[kind] and not (parent == _OBJECT[kind] and key):
        fields = ", ".join((*_FIELDS[kind], f"{_OBJECT[kind]}.*"))
        raise InputFileError(f"The mapping names {field!r}, which is no field of an {kind}.", f"use one of {fields}")
    if source.startswith(":"):
        return Pair(field, None, source[1:])
    column = source.removesuffix(":int")
    return Pair(field, column, as_int=column != source)


def _as_named(kind: Kind, columns: Sequence[str], where: str, *, every_field: bool = False) -> Mapping:
    for field in _REQUIRED[kind]:
        if field not in columns:
            raise _bad_columns(f"{where} has no column {field!r}", field, columns)
    fields = _FIELDS[kind] if every_field else tuple(column for column in columns if _is_field(column, kind))
    return Mapping(kind, tuple(Pair(field, field) for field in fields))


def _is_field(column: str, kind: Kind) -> bool:
    return column in _FIELDS[kind] or (column.startswith(f"{_OBJECT[kind]}.") and not column.endswith("."))


def _steps(mapping: Mapping, getter: Callable[[str], Callable[[Row], Any]], times: Times) -> tuple[Step, ...]:
    order = _FIELDS[mapping.kind]
    steps = []
    for pair in sorted(mapping.pairs, key=lambda pair: order.index(pair.field.partition(".")[0])):
        field, _, key = pair.field.partition(".")
        get = _always(pair.constant) if pair.column is None else getter(pair.column)
        steps.append(Step(field, key or None, get, cell_reader(field, key, times, as_int=pair.as_int)))
    return tuple(steps)


def _cell_at(position: int) -> Callable[[Row], Any]:
    return lambda row: row[position]


def _always(constant: str | None) -> Callable[[Row], Any]:
    return lambda row: constant  # noqa: ARG005


def _value_at(path: str) -> Callable[[Row], Any]:
    """The value under a key; if there is none and the key has dots, under that path."""
    first, _, rest = path.partition(".")
    if not rest:
        return lambda row: row.get(path)
    inner = _value_at(rest)

    def get(row: Row) -> Any:
        if path in row:
            return row[path]
        nested = row.get(first)
        return inner(nested) if isinstance(nested, dict) else None

    return get


def _bad_columns(problem: str, field: str, columns: Sequence[str]) -> InputFileError:
    there = ", ".join(repr(column[:40]) for column in columns[:40])
    return InputFileError(f"{problem}; it has {there}.", f"map {field} to one of them: {field}=COLUMN")
