"""What one person has added to what is known of everybody: statistics of items, totals of strategies. Kept so that it
can be taken out again when the person is erased, exactly, however long ago it was and whatever the events topic still holds.

Sums cannot say who added what, so each person's part is written down beside their state, in the same transaction: 18 B
for each first engagement, 9 B for each exposure and click, 12 B for each number of a strategy's totals. What a first
engagement adds to pairs of items follows from the ones before it, which stand in front of it; only where others than the
last ones were before it (events that came late) the items are written out.

Packed record, version 1, little endian; of a person with more than `OPEN_MAX` entries the older ones are in closed
records, which are never written again. The order of all is that of the topic.

    header      version u8, flags u8 (1: there is more that was never written down), numbers u32 of closed records before
    this one,
                of engagements, seen, earned, given u32 each, decays of pairs and of forward pairs f64 each
    engagement  18 B  item u64, time i64 ms as it counts for items, bits u8 (context, first of all, counted), u8 items before it
    seen         9 B  item u64, u8: 0 shown, 1 clicked
    earned      12 B  strategy, slot, context, number u8 each, amount f64
    given      516 B  engagement u32, the items before it u64 x 64
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import U64
from models.items.co_occurrence import Withdrawn
from stream.errors import CorruptStateError

OPEN_PREFIX: Final = b"\xf9"
"""Before the user's id in the key of the open record: no id begins like that, since none is UTF-8."""

CLOSED_PREFIX: Final = b"\xf8"

HISTORY: Final = 64
"""Items before a first engagement that can count, at most."""

OPEN_MAX: Final = 256
"""Engagements, or other entries, of an open record before the older ones are closed."""

_PIECE_MAX: Final = (512, 8_192, 8_192)
"""Engagements, seen and earned of a closed record: 445 KB at most, with the items before every engagement written out."""

ENTRY, COUNTED = np.uint8(0x08), np.uint8(0x10)
"""Bits of an engagement: the first with anything; counted for items. The lower three are the context bucket."""

CONTEXT_MASK: Final = np.uint8(0x07)

ENGAGEMENT: Final = np.dtype([("item", "<u8"), ("ms", "<i8"), ("bits", "u1"), ("before", "u1")])
SEEN: Final = np.dtype([("item", "<u8"), ("clicked", "u1")])
EARNED: Final = np.dtype([("strategy", "u1"), ("slot", "u1"), ("context", "u1"), ("number", "u1"), ("amount", "<f8")])
GIVEN: Final = np.dtype([("engagement", "<u4"), ("items", "<u8", HISTORY)])

_ENGAGEMENT, _SEEN, _EARNED = struct.Struct("<QqBB"), struct.Struct("<QB"), struct.Struct("<BBBBd")
_GIVEN = struct.Struct(f"<I{HISTORY}Q")
assert (_ENGAGEMENT.size, _SEEN.size, _EARNED.size, _GIVEN.size) == tuple(
    kind.itemsize for kind in (ENGAGEMENT, SEEN, EARNED, GIVEN)
)
_ENTRY, _COUNTED = int(ENTRY), int(COUNTED)

Earned = tuple[int, int, int, int, float]
"""Strategy, slot, context, number, amount."""

_VERSION: Final = 1
_HEADER: Final = struct.Struct("<BBIIIIIdd")
_IS_INCOMPLETE: Final = 1


class Contributions(NamedTuple):
    """Of one person: one record, or several one behind another."""

    engagements: NDArray[Any]
    """(n,) of `ENGAGEMENT`; the others are named alike."""
    seen: NDArray[Any]
    earned: NDArray[Any]
    given: NDArray[Any]
    decays: tuple[float, float]
    """Of pairs and of forward pairs, while these were added."""
    closed: int = 0
    """Closed records before this one."""
    is_incomplete: bool = False
    """The person has added something that was not written down."""

    @property
    def entries(self) -> int:
        """How many there are of all kinds."""
        return len(self.engagements) + len(self.seen) + len(self.earned)

    @property
    def nbytes(self) -> int:
        """Of the packed record."""
        return _HEADER.size + sum(part.nbytes for part in self[:4])


class Engaged(NamedTuple):
    """One first engagement that is added."""

    item: int
    ms: int
    context: int
    is_entry: bool
    is_counted: bool
    history: list[int]
    """Items before it, newest first."""


def none(decays: tuple[float, float], *, is_incomplete: bool = False) -> Contributions:
    """Of somebody who has added nothing."""
    engagements, seen, earned, given = (np.zeros(0, kind) for kind in _KINDS)
    return Contributions(engagements, seen, earned, given, decays, is_incomplete=is_incomplete)


_KINDS: Final = (ENGAGEMENT, SEEN, EARNED, GIVEN)


def pack(of: Contributions) -> bytes:
    """The record."""
    flags = _IS_INCOMPLETE if of.is_incomplete else 0
    header = _HEADER.pack(_VERSION, flags, of.closed, *map(len, of[:4]), *of.decays)
    return b"".join([header, *(part.tobytes() for part in of[:4])])


def unpack(value: bytes) -> Contributions:
    """What a record says.

    Raises:
        CorruptStateError: bytes that are no such record of this version.
    """
    if len(value) < _HEADER.size or value[0] != _VERSION:
        raise CorruptStateError(f"contributions of version {value[:1].hex() or 'none'} are not known here")
    _, flags, closed, *numbers, pair_decay, forward_decay = _HEADER.unpack_from(value)
    sizes = [kind.itemsize * number for kind, number in zip(_KINDS, numbers, strict=True)]
    if len(value) != _HEADER.size + sum(sizes):
        raise CorruptStateError(f"contributions have {len(value)} bytes instead of {_HEADER.size + sum(sizes)}")
    parts, at = [], _HEADER.size
    for kind, number, size in zip(_KINDS, numbers, sizes, strict=True):
        parts.append(np.frombuffer(value, kind, number, at))
        at += size
    engagements, seen, earned, given = parts
    if (engagements["before"] > HISTORY).any() or (given["engagement"] >= len(engagements)).any():
        raise CorruptStateError("contributions name items before an engagement that cannot be")
    return Contributions(
        engagements, seen, earned, given, (pair_decay, forward_decay), closed, bool(flags & _IS_INCOMPLETE)
    )


def not_all(value: bytes) -> bytes | None:
    """A packed record that says that there is more than it holds; None: it says so already, or cannot be read."""
    if len(value) < _HEADER.size or value[0] != _VERSION or value[1] & _IS_INCOMPLETE:
        return None
    return bytes([value[0], value[1] | _IS_INCOMPLETE]) + value[2:]


def closed_key(user: bytes, number: int) -> bytes:
    """Key of the closed record of this number."""
    return CLOSED_PREFIX + bytes([len(user)]) + user + struct.pack(">I", number)


def user_of_closed(key: bytes) -> bytes:
    """Whose closed record has this key."""
    return key[2 : 2 + key[1]]


def added(
    before: Contributions, engaged: Sequence[Engaged], seen: Sequence[tuple[int, bool]], earned: Sequence[Earned]
) -> Contributions:
    """`before` with more behind it."""
    n = len(before.engagements)
    items: list[int] = before.engagements["item"][-HISTORY:].tolist() if engaged else []
    rows, given = [], []
    for k, (item, ms, context, is_entry, is_counted, history) in enumerate(engaged):
        length = len(history)
        bits = context | (_ENTRY if is_entry else 0) | (_COUNTED if is_counted else 0)
        rows.append(_ENGAGEMENT.pack(item, ms, bits, length))
        if history != items[: -length - 1 : -1]:
            given.append(_GIVEN.pack(n + k, *history, *[0] * (HISTORY - length)))
        items.append(item)
    return before._replace(
        engagements=_behind(before.engagements, rows),
        seen=_behind(before.seen, [_SEEN.pack(*each) for each in seen]),
        earned=_behind(before.earned, [_EARNED.pack(*each) for each in earned]),
        given=_behind(before.given, given),
    )


def _behind(before: NDArray[Any], packed: list[bytes]) -> NDArray[Any]:
    """Joined as bytes: NumPy takes ten times as long to find that both have the same fields."""
    return np.frombuffer(b"".join([before.tobytes(), *packed]), before.dtype) if packed else before


def split(of: Contributions, decays: tuple[float, float]) -> tuple[list[Contributions], Contributions]:
    """`(closed records, open one)` of an open record: what is too much for one, or was added with other decays than
    `decays`, is closed."""
    if of.decays != decays and of.entries:
        pieces = _pieces(of)
        return pieces, none(decays, is_incomplete=of.is_incomplete)._replace(closed=of.closed + len(pieces))
    if of.entries <= OPEN_MAX:
        return [], of._replace(decays=decays)
    kept = max(0, len(of.engagements) - HISTORY)
    old, new = of.given["engagement"] < kept, of.given["engagement"] >= kept
    later = of.given[new].copy()
    later["engagement"] -= kept
    pieces = _pieces(of._replace(engagements=of.engagements[:kept], given=of.given[old]))
    left = of._replace(
        engagements=of.engagements[kept:],
        seen=of.seen[:0],
        earned=of.earned[:0],
        given=later,
        closed=of.closed + len(pieces),
    )
    return pieces, left


def _pieces(of: Contributions) -> list[Contributions]:
    """As many closed records, one behind another, as keep each below half of what a topic takes by default: a whole history
    may come between two commits."""
    parts = zip(of[:3], _PIECE_MAX, strict=True)
    n = max(1, *(-(-len(part) // most) for part, most in parts))
    if n == 1:
        return [of]
    pieces = []
    for k in range(n):
        engagements, seen, earned = (
            part[k * most : (k + 1) * most] for part, most in zip(of[:3], _PIECE_MAX, strict=True)
        )
        start = k * _PIECE_MAX[0]
        given = of.given[(of.given["engagement"] >= start) & (of.given["engagement"] < start + _PIECE_MAX[0])].copy()
        given["engagement"] -= start
        pieces.append(of._replace(engagements=engagements, seen=seen, earned=earned, given=given, closed=of.closed + k))
    return pieces


def without(records: Sequence[Contributions], item: int, decays: tuple[float, float]) -> Contributions:
    """The same as one record without anything of one item."""
    engagements = np.concatenate([r.engagements for r in records])
    history = _histories(records, engagements)
    seen, earned = (np.concatenate([getattr(r, name) for r in records]) for name in ("seen", "earned"))
    left = none(decays, is_incomplete=any(r.is_incomplete for r in records))
    kept = []
    for row, before in zip(engagements.tolist(), history, strict=True):
        each, ms, bits, _ = row
        if each == item:
            continue
        others = before[(before != 0) & (before != item)].tolist()
        is_entry = bool(bits & ENTRY) or (not others and bool((before != 0).any()))
        kept.append(Engaged(each, ms, bits & int(CONTEXT_MASK), is_entry, bool(bits & COUNTED), others))
    return added(left, kept, seen[seen["item"] != item].tolist(), earned.tolist())


def withdrawn(records: Sequence[Contributions], pair_window: int) -> Withdrawn:
    """All that a person's records, in order, have added to items."""
    engagements = np.concatenate([r.engagements for r in records]) if records else np.zeros(0, ENGAGEMENT)
    seen = np.concatenate([r.seen for r in records]) if records else np.zeros(0, SEEN)
    history = _histories(records, engagements)
    width = max(pair_window, int((history != 0).sum(axis=1).max(initial=0)))
    decays = (
        np.concatenate([np.tile(r.decays, (len(r.engagements), 1)) for r in records]) if records else np.zeros((0, 2))
    )
    counted = (engagements["bits"] & COUNTED) != 0
    clicked = seen["clicked"] != 0
    of = engagements[counted]
    return Withdrawn(
        of["item"].astype(np.uint64),
        of["ms"].astype(np.int64),
        of["bits"] & CONTEXT_MASK,
        (of["bits"] & ENTRY) != 0,
        history[counted, :width],
        decays.reshape(-1, 2)[counted],
        seen["item"][~clicked].astype(np.uint64),
        seen["item"][clicked].astype(np.uint64),
    )


def _histories(records: Sequence[Contributions], engagements: NDArray[Any]) -> U64:
    """(m, HISTORY) items before each engagement, newest first."""
    items, history = engagements["item"], np.zeros((len(engagements), HISTORY), np.uint64)
    for at, length in enumerate(engagements["before"].tolist()):
        last = items[max(0, at - length) : at][::-1]
        history[at, : len(last)] = last
    start = 0
    for record in records:
        for at, row in zip((start + record.given["engagement"]).tolist(), record.given["items"], strict=True):
            history[at] = row
        start += len(record.engagements)
    return history
