"""What was collected, as arrays: items, lists, what people took, and which list they had then. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.arrays import I4, I8, U64
from stream.analysis.fairness.collected import PLACES_MAX, CatalogueItem, Collected, Person

NO_LIST = -1


class Tables(NamedTuple):
    """Of u people, n items, l lists and e engagements."""

    people: tuple[Person, ...]
    items: tuple[CatalogueItem | None, ...]
    """None: not in the catalogue."""
    takers: I8
    """(n,) people who engaged with each item."""
    listed: I4
    """(l, places) items by place, -1 pads; of a person one after the other, as they came."""
    list_user: I8
    list_ms: I8
    taken_item: I8
    """(e,) first engagements, of a person one after the other, as they came."""
    taken_user: I8
    taken_ms: I8
    taken_list: I8
    """(e,) the list that the person had then, `NO_LIST` where it is not known."""
    taken_before: I8
    """(e,) items that the person had taken before."""


def tables(collected: Collected) -> Tables:
    """Of the people who have a list."""
    people = tuple(person for _, person in sorted(collected.people.items()) if person.lists)
    lists = [sorted(person.lists, key=lambda each: each[:2]) for person in people]
    taken = [sorted(person.taken.items(), key=lambda each: (each[1], each[0])) for person in people]
    listed_hashes = np.frombuffer(b"".join(each.items for of in lists for each in of), np.uint64)
    taken_hashes = np.array([item for of in taken for item, _ in of], np.uint64)
    known = np.fromiter(collected.items, np.uint64, len(collected.items))
    hashes = np.unique(np.concatenate((listed_hashes, taken_hashes, known)))
    taken_item = np.searchsorted(hashes, taken_hashes)
    list_ms = [[each.event_ms for each in of] for of in lists]
    taken_ms = [[time_ms for _, time_ms in of] for of in taken]
    return Tables(
        people,
        tuple(collected.items.get(each) for each in hashes.tolist()),
        np.bincount(taken_item, minlength=len(hashes)),
        _listed(hashes, listed_hashes, [len(each.items) // 8 for of in lists for each in of]),
        _repeated(lists),
        _flat(list_ms),
        taken_item,
        _repeated(taken),
        _flat(taken_ms),
        _current(list_ms, taken_ms),
        _flat([list(range(len(of))) for of in taken]),
    )


def _listed(hashes: U64, items: U64, lengths: Sequence[int]) -> I4:
    length = np.array(lengths, np.int64)
    found = np.full((len(length), min(PLACES_MAX, int(length.max(initial=1)))), -1, np.int32)
    found[np.arange(found.shape[1]) < length[:, None]] = np.searchsorted(hashes, items)
    return found


def _current(list_ms: Sequence[list[int]], taken_ms: Sequence[list[int]]) -> I8:
    """A list knows its newest event, so an engagement was made before the lists that know it: those of the same moment."""
    found, begin = [np.zeros(0, np.int64)], 0
    for lists, engagements in zip(list_ms, taken_ms, strict=True):
        at = np.searchsorted(np.array(lists, np.int64), np.array(engagements, np.int64)) - 1
        found.append(np.where(at >= 0, begin + at, NO_LIST))
        begin += len(lists)
    return np.concatenate(found)


def _repeated(of: Sequence[Sequence[object]]) -> I8:
    return np.repeat(np.arange(len(of)), [len(each) for each in of])


def _flat(of: Sequence[Sequence[int]]) -> I8:
    return np.array([value for each in of for value in each], np.int64)
