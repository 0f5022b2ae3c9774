"""What must be known of a user to say which recommendations earned an outcome: their last lists, what they were shown of any
list, and their last purchases with the credits that a refund takes back.

Kept apart from the interest state, under a key of its own in the same changelog: when a list is published is a matter of
timing, and the state must come out to the byte however the topic was cut. One transaction writes both.

Packed record, version 1, little endian; at most `MAX_PACKED_BYTES`, and only what is used is stored:

    header     4 B  version u8, numbers of lists, touches, purchases u8 each
    list     204 B  x <= 4, oldest first: id 2 x u64, time i64 ms, 20 places: item u32 (hash's upper half: it is only ever
                    compared), strategy u8, propensity f32
    touch     36 B  x <= 48, oldest first: id 2 x u64, item u32, time i64 ms, rank u8, strategy u8, flags u8, context u8,
                    propensity f32
    purchase 346 B  x <= 8, oldest first: offset i64, item u32, time i64 ms, value f64, event-id hashes u32 of the refund,
                    flags u8, credits u8 and 8 of them: id 2 x u64, rank u8, strategy u8, context u8, time i64 ms, share f64,
                    propensity f32

It is stored column by column, all records of one kind beside each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.errors import CorruptStateError

LEDGER_PREFIX = b"\xff"
"""Before the user's id in the key of a ledger: no id begins like that, since none is UTF-8."""

LEDGER_VERSION = 1
LISTS, PLACES = 4, 20
TOUCHES = 48
PURCHASES = 8
PATH = 8
"""Touches that one outcome is divided among, at most: the first and the latest."""


class Columns(NamedTuple):
    """The arrays of `Ledgers`; the first axis of each is the user's row. Compiled loops take them as they are.

    Entries of a kind stand oldest first, the first `n_...` are in use.
    """

    n_lists: NDArray[np.int64]
    n_touches: NDArray[np.int64]
    n_purchases: NDArray[np.int64]
    list_id: NDArray[np.uint64]
    list_ms: NDArray[np.int64]
    list_item: NDArray[np.uint32]
    list_strategy: NDArray[np.uint8]
    list_propensity: NDArray[np.float32]
    touch_id: NDArray[np.uint64]
    touch_item: NDArray[np.uint32]
    touch_ms: NDArray[np.int64]
    touch_rank: NDArray[np.uint8]
    touch_strategy: NDArray[np.uint8]
    touch_flags: NDArray[np.uint8]
    touch_context: NDArray[np.uint8]
    touch_propensity: NDArray[np.float32]
    purchase_offset: NDArray[np.int64]
    purchase_item: NDArray[np.uint32]
    purchase_ms: NDArray[np.int64]
    purchase_value: NDArray[np.float64]
    """NaN: the event had none."""
    purchase_refund: NDArray[np.uint32]
    """Event-id hash of the refund that took it back; 0 = it had none."""
    purchase_flags: NDArray[np.uint8]
    purchase_credits: NDArray[np.uint8]
    credit_id: NDArray[np.uint64]
    credit_rank: NDArray[np.uint8]
    credit_strategy: NDArray[np.uint8]
    credit_context: NDArray[np.uint8]
    credit_ms: NDArray[np.int64]
    credit_share: NDArray[np.float64]
    credit_propensity: NDArray[np.float32]


_COUNTS = ("n_lists", "n_touches", "n_purchases")
_LIST, _TOUCH, _PURCHASE, _CREDIT = (LISTS,), (TOUCHES,), (PURCHASES,), (PURCHASES, PATH)
_SHAPES: dict[str, tuple[tuple[int, ...], str]] = {
    "list_id": ((LISTS, 2), "<u8"),
    "list_ms": (_LIST, "<i8"),
    "list_item": ((LISTS, PLACES), "<u4"),
    "list_strategy": ((LISTS, PLACES), "u1"),
    "list_propensity": ((LISTS, PLACES), "<f4"),
    "touch_id": ((TOUCHES, 2), "<u8"),
    "touch_item": (_TOUCH, "<u4"),
    "touch_ms": (_TOUCH, "<i8"),
    "touch_rank": (_TOUCH, "u1"),
    "touch_strategy": (_TOUCH, "u1"),
    "touch_flags": (_TOUCH, "u1"),
    "touch_context": (_TOUCH, "u1"),
    "touch_propensity": (_TOUCH, "<f4"),
    "purchase_offset": (_PURCHASE, "<i8"),
    "purchase_item": (_PURCHASE, "<u4"),
    "purchase_ms": (_PURCHASE, "<i8"),
    "purchase_value": (_PURCHASE, "<f8"),
    "purchase_refund": (_PURCHASE, "<u4"),
    "purchase_flags": (_PURCHASE, "u1"),
    "purchase_credits": (_PURCHASE, "u1"),
    "credit_id": ((PURCHASES, PATH, 2), "<u8"),
    "credit_rank": (_CREDIT, "u1"),
    "credit_strategy": (_CREDIT, "u1"),
    "credit_context": (_CREDIT, "u1"),
    "credit_ms": (_CREDIT, "<i8"),
    "credit_share": (_CREDIT, "<f8"),
    "credit_propensity": (_CREDIT, "<f4"),
}
_KIND_OF = {name: 0 if name.startswith("list") else 1 if name.startswith("touch") else 2 for name in _SHAPES}
"""Position in `_COUNTS` of the number of entries."""

_ENTRY_BYTES = {
    name: int(np.dtype(kind).itemsize * np.prod(shape[1:], dtype=np.int64)) for name, (shape, kind) in _SHAPES.items()
}
_HEADER_BYTES = 4
_MOST = (LISTS, TOUCHES, PURCHASES)
MAX_PACKED_BYTES = _HEADER_BYTES + sum(_MOST[_KIND_OF[name]] * size for name, size in _ENTRY_BYTES.items())


class Ledgers:
    """Ledgers of many users as arrays, one row a user."""

    row_bytes = sum(int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in _SHAPES.values()) + 24
    """Memory of one row."""

    def __init__(self, capacity: int) -> None:
        self.columns = _empty(capacity)

    @property
    def capacity(self) -> int:
        """Rows there are."""
        return len(self.columns.n_lists)

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows; what is there stays."""
        old, self.columns = self.columns, _empty(capacity)
        for name in Columns._fields:
            getattr(self.columns, name)[: len(old.n_lists)] = getattr(old, name)

    def take(self, rows: NDArray[np.int64], capacity: int) -> Ledgers:
        """A copy with these rows first, in that order, and empty ones up to `capacity`."""
        taken = Ledgers(capacity)
        for name in Columns._fields:
            getattr(taken.columns, name)[: len(rows)] = getattr(self.columns, name)[rows]
        return taken

    def pack(self, rows: NDArray[np.int64]) -> list[bytes]:
        """Packed records of `rows (m,)`, in that order."""
        counts = np.stack([getattr(self.columns, name)[rows] for name in _COUNTS], axis=1).tolist()
        stored = [(getattr(self.columns, name), _KIND_OF[name]) for name in _SHAPES]
        return [
            b"".join(
                [bytes((LEDGER_VERSION, *used)), *(column[row, : used[kind]].tobytes() for column, kind in stored)]
            )
            for row, used in zip(rows.tolist(), counts, strict=True)
        ]

    def unpack(self, rows: NDArray[np.int64], values: Sequence[bytes]) -> None:
        """Write packed records into `rows (m,)`, which are empty.

        Raises:
            CorruptStateError: bytes that are no ledger, or of a later version.
        """
        for row, value in zip(rows.tolist(), values, strict=True):
            self._unpack(row, value)

    def _unpack(self, row: int, value: bytes) -> None:
        used = tuple(value[1:_HEADER_BYTES])
        if len(value) < _HEADER_BYTES or value[0] != LEDGER_VERSION:
            raise CorruptStateError(f"a user's ledger of version {value[:1].hex() or 'none'} is not known here")
        size = _HEADER_BYTES + sum(used[_KIND_OF[name]] * each for name, each in _ENTRY_BYTES.items())
        if len(value) != size or any(n > most for n, most in zip(used, _MOST, strict=True)):
            raise CorruptStateError(f"a user's ledger has {len(value)} bytes instead of {size}")
        for name, n in zip(_COUNTS, used, strict=True):
            getattr(self.columns, name)[row] = n
        at = _HEADER_BYTES
        for name, (shape, kind) in _SHAPES.items():
            n = used[_KIND_OF[name]]
            end = at + n * _ENTRY_BYTES[name]
            getattr(self.columns, name)[row, :n] = np.frombuffer(value[at:end], kind).reshape(n, *shape[1:])
            at = end


def _empty(capacity: int) -> Columns:
    columns: list[NDArray[Any]] = [np.zeros(capacity, np.int64) for _ in _COUNTS]
    columns += [np.zeros((capacity, *shape), kind) for shape, kind in _SHAPES.values()]
    return Columns(*columns)
