"""What must be true of topics after anything, as lines for a person: which user or item, what was expected, what was found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from sequential_reader import Items

from stream.state.record import HEADER
from stream.wire.reasons import item_places
from stream.wire.records import Attribution, OutcomeAttribution, Recommendation

TOLERANCE = 1.5e-9
"""Of a sum: 1e-9, and what rounding both sides to nine places may add."""


def state_differences(expected: dict[bytes, bytes], found: dict[bytes, bytes]) -> Iterator[str]:
    """Packed states that are not the same to the byte."""
    for user in sorted(expected.keys() | found.keys()):
        if expected.get(user) == found.get(user):
            continue
        if user not in found:
            yield f"{_name(user)} has none; expected {header(expected[user])}"
        elif user not in expected:
            yield f"{_name(user)} should have none; found {header(found[user])}"
        else:
            wanted, got = header(expected[user]), header(found[user])
            fields = {k: (v, got[k]) for k, v in wanted.items() if v != got[k]}
            what = ", ".join(f"{k} expected {v}, found {g}" for k, (v, g) in fields.items())
            yield f"{_name(user)}: {what or 'the bytes after the header differ'}"


def item_differences(expected: Items, found: Items) -> Iterator[str]:
    """Counts that are not equal, weights that differ by more than rounding."""
    for item in sorted(expected.keys() | found.keys()):
        if item not in expected or item not in found:
            yield f"{item}: {'missing' if item in expected else 'nobody met it'}"
            continue
        *counts, neighbours = expected[item]
        *found_counts, found_neighbours = found[item]
        for name, wanted, got in zip(("first engagements", "exposures", "clicks"), counts, found_counts, strict=True):
            if wanted != got:
                yield f"{item}: {name} expected {wanted}, found {got}"
        apart = [
            (other, neighbours.get(other, 0.0), found_neighbours.get(other, 0.0))
            for other in sorted(neighbours.keys() | found_neighbours.keys())
            if abs(neighbours.get(other, 0.0) - found_neighbours.get(other, 0.0)) > TOLERANCE
        ]
        if apart:
            other, wanted_w, got_w = apart[0]
            yield f"{item}: weight of {other} expected {wanted_w}, found {got_w} ({len(apart)} neighbours differ)"


def list_differences(
    lists: list[Recommendation], last_offset: dict[bytes, int], partition_of: dict[bytes, int]
) -> Iterator[str]:
    """Users whose last list does not reflect their last accepted event."""
    last = {one.user_id.encode(): one.source for one in lists}
    for user in sorted(last_offset.keys() | last.keys()):
        if user not in last or user not in last_offset:
            yield f"{_name(user)}: {'has no list' if user in last_offset else 'has a list but no event'}"
        elif (last[user].partition, last[user].offset) != (partition_of[user], last_offset[user]):
            yield (
                f"{_name(user)}: the last list is of partition {last[user].partition} offset {last[user].offset}, the "
                f"last event at partition {partition_of[user]} offset {last_offset[user]}"
            )


def missing_reasons(lists: list[Recommendation], attributions: Iterable[Attribution]) -> Iterator[str]:
    """Places of last lists of which nobody said why."""
    known = {
        (a.recommendation_id, place.rank, place.item_id)
        for a in attributions
        if not isinstance(a, OutcomeAttribution)
        for place in item_places(a)
    }
    for user, one in sorted({one.user_id: one for one in lists}.items()):
        missing = [i.rank for i in one.items if (one.recommendation_id, i.rank, i.item_id) not in known]
        if missing:
            yield f"{user}, list {one.recommendation_id}: no reason for ranks {missing}"


def confused_ids(lists: Iterable[Recommendation]) -> Iterator[str]:
    """Ids that name lists of different users or events, or lists of other items."""
    named: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    for one in lists:
        items = [item.item_id for item in one.items]
        named[one.recommendation_id].add((one.user_id, one.source.partition, one.source.offset, *items))
    return (f"{list_id} names {sorted(of)}" for list_id, of in named.items() if len(of) > 1)


def header(packed: bytes) -> dict[str, int]:
    """What every packed state begins with."""
    values = HEADER.unpack_from(packed)
    names = ("version", "flags", "behaviours", "exposures", "points", "bought")
    return dict(zip((*names, "events", "fence", "first_s", "last_ms", "older_s"), values, strict=True))


def _name(user: bytes) -> str:
    return user.decode(errors="replace")
