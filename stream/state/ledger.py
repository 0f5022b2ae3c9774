"""What must be known of a user to say which recommendations earned an outcome: their last lists, what they were shown of any
list, and their last purchases with the credits that a refund takes back.

Kept apart from the interest state, under a key of its own in the same changelog: when a list is published is a matter of
timing, and the state must come out to the byte however the topic was cut. One transaction writes both.

Packed record, version 1, little endian; at most `MAX_PACKED_BYTES`, and only what is used is stored:

    header     4 B  version u8, numbers of lists, touches, purchases u8 each
    list      25 B  x <= 6, oldest first; then of each its 20 places, 9 B each
    touch     36 B  x <= 48, oldest first
    purchase  34 B  x <= 8, oldest first; then of each its 8 credits, 39 B each

The records are those of the dtypes below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.items.growing import GrowingArray
from stream.errors import CorruptStateError
from stream.state.record import RESERVED_ROWS

LEDGER_PREFIX = b"\xff"
"""Before the user's id in the key of a ledger: no id begins like that, since none is UTF-8."""

LEDGER_VERSION = 1
LISTS, PLACES = 6, 20
LISTS_SEEN = 3
"""Of the lists, so many that were seen are kept before those that were not: while a person looks at one, every step of theirs
has another one published."""

TOUCHES = 48
PURCHASES = 8
PATH = 8
"""Touches that one outcome is divided among, at most: the first and the latest."""

LIST = np.dtype([("id0", "<u8"), ("id1", "<u8"), ("ms", "<i8"), ("seen", "u1")])
"""A published list: the two halves of its id, when it went out, ms of event time, and whether an event showed it to be seen."""

PLACE = np.dtype([("item", "<u4"), ("strategy", "u1"), ("propensity", "<f4")])
"""A place of a list; of the item's hash the upper half, as it is only ever compared. Propensity 0: behind the last item."""

TOUCH = np.dtype(
    [("id0", "<u8"), ("id1", "<u8"), ("item", "<u4"), ("ms", "<i8"), ("rank", "u1"), ("strategy", "u1"),
     ("flags", "u1"), ("context", "u1"), ("propensity", "<f4")]
)  # fmt: skip
"""An item of a list that the person saw, or that earned something."""

PURCHASE = np.dtype(
    [("offset", "<i8"), ("item", "<u4"), ("ms", "<i8"), ("value", "<f8"), ("refund", "<u4"), ("flags", "u1"),
     ("credits", "u1")]
)  # fmt: skip
"""`value` NaN: the event had none; `refund`: event-id hash of what took it back, 0 = it had none; `credits`: how many."""

CREDIT = np.dtype(
    [("id0", "<u8"), ("id1", "<u8"), ("rank", "u1"), ("strategy", "u1"), ("context", "u1"), ("ms", "<i8"),
     ("share", "<f8"), ("propensity", "<f4")]
)  # fmt: skip
"""What one touch earned."""


class LedgerColumns(NamedTuple):
    """The arrays of `Ledgers`; the first axis of each is the user's row. Compiled loops take them as they are.

    Entries of a kind stand oldest first, the first `n_...` are in use.
    """

    n_lists: NDArray[np.int64]
    n_touches: NDArray[np.int64]
    n_purchases: NDArray[np.int64]
    lists: NDArray[Any]
    """(rows, LISTS) of `LIST`; the others are named alike."""
    places: NDArray[Any]
    """(rows, LISTS, PLACES)."""
    touches: NDArray[Any]
    purchases: NDArray[Any]
    credits: NDArray[Any]
    """(rows, PURCHASES, PATH)."""


_COUNTS = ("n_lists", "n_touches", "n_purchases")
_MOST = (LISTS, TOUCHES, PURCHASES)
_SHAPES: dict[str, tuple[int, tuple[int, ...], np.dtype[Any]]] = {
    "lists": (0, (LISTS,), LIST),
    "places": (0, (LISTS, PLACES), PLACE),
    "touches": (1, (TOUCHES,), TOUCH),
    "purchases": (2, (PURCHASES,), PURCHASE),
    "credits": (2, (PURCHASES, PATH), CREDIT),
}
"""By column: position in `_COUNTS` of the number of its entries, shape of a row, dtype."""

_ENTRY_BYTES = {name: kind.itemsize * int(np.prod(shape[1:])) for name, (_, shape, kind) in _SHAPES.items()}
_HEADER_BYTES = 4
MAX_PACKED_BYTES = _HEADER_BYTES + sum(_MOST[of] * _ENTRY_BYTES[name] for name, (of, _, _) in _SHAPES.items())


class Ledgers:
    """Ledgers of many users as arrays, one row a user."""

    row_bytes = MAX_PACKED_BYTES - _HEADER_BYTES + 8 * len(_COUNTS)
    """Memory of one row."""

    def __init__(self, capacity: int) -> None:
        reserved_rows = max(capacity, RESERVED_ROWS)
        counts: list[GrowingArray[Any]] = [GrowingArray(np.int64, reserved_rows=reserved_rows) for _ in _COUNTS]
        entries = [GrowingArray(kind, *shape, reserved_rows=reserved_rows) for _, shape, kind in _SHAPES.values()]
        self._growing = dict(zip((*_COUNTS, *_SHAPES), counts + entries, strict=True))
        self.grow(capacity)

    @property
    def capacity(self) -> int:
        """Rows there are."""
        return len(self.columns.n_lists)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows; what is there stays, and where it is."""
        for column in self._growing.values():
            column.grow(capacity)
        self.columns = LedgerColumns(**{name: column.values for name, column in self._growing.items()})

    def clear(self, row: int) -> None:
        """Nothing is known of the user of this row."""
        for column in self.columns:
            column[row] = 0

    def take(self, rows: NDArray[np.int64], capacity: int) -> Ledgers:
        """A copy with these rows first, in that order, and empty ones up to `capacity`."""
        taken = Ledgers(capacity)
        for name in LedgerColumns._fields:
            getattr(taken.columns, name)[: len(rows)] = getattr(self.columns, name)[rows]
        return taken

    def pack(self, rows: NDArray[np.int64]) -> list[bytes]:
        """Packed records of `rows (m,)`, in that order."""
        counts = np.stack([getattr(self.columns, name)[rows] for name in _COUNTS], axis=1).tolist()
        stored = [(getattr(self.columns, name), of) for name, (of, _, _) in _SHAPES.items()]
        return [
            b"".join([bytes((LEDGER_VERSION, *used)), *(column[row, : used[of]].tobytes() for column, of in stored)])
            for row, used in zip(rows.tolist(), counts, strict=True)
        ]

    def unpack(self, rows: NDArray[np.int64], values: Sequence[bytes]) -> None:
        """Write packed records into `rows (m,)`, which are empty.

        Raises:
            CorruptStateError: bytes that are no ledger, or of a later version; all rows stay empty then.
        """
        for value in values:
            self._check(value)
        for row, value in zip(rows.tolist(), values, strict=True):
            self._unpack(row, value)

    def _check(self, value: bytes) -> None:
        used = tuple(value[1:_HEADER_BYTES])
        if len(value) < _HEADER_BYTES or value[0] != LEDGER_VERSION:
            raise CorruptStateError(f"a user's ledger of version {value[:1].hex() or 'none'} is not known here")
        size = _HEADER_BYTES + sum(used[of] * _ENTRY_BYTES[name] for name, (of, _, _) in _SHAPES.items())
        if len(value) != size or any(n > most for n, most in zip(used, _MOST, strict=True)):
            raise CorruptStateError(f"a user's ledger has {len(value)} bytes instead of {size}")

    def _unpack(self, row: int, value: bytes) -> None:
        used = tuple(value[1:_HEADER_BYTES])
        for name, n in zip(_COUNTS, used, strict=True):
            getattr(self.columns, name)[row] = n
        at = _HEADER_BYTES
        for name, (of, shape, kind) in _SHAPES.items():
            end = at + used[of] * _ENTRY_BYTES[name]
            getattr(self.columns, name)[row, : used[of]] = np.frombuffer(value[at:end], kind).reshape(-1, *shape[1:])
            at = end
