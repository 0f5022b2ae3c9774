"""Lists that people got and what they took, collected record by record in bounded memory. Pure.

Where more is to be remembered than `rows_max`, half of the people are forgotten by a hash of their ids, and so on, as in
`stream.analysis.outcomes.journeys`: what is left is a sample of people with everything about each of them.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import numpy as np

from models.hashing import item_hash
from stream.analysis.outcomes.journeys import Range
from stream.wire.records import Event, Item, Recommendation

ROWS_MAX: Final = 5_000_000
"""Places of lists and engagements remembered, some 40 bytes each."""

PLACES_MAX: Final = 50
"""Of a list; nobody looks further."""

_HASHES: Final = 1 << 64


class OneList(NamedTuple):
    """As published."""

    event_ms: int
    """Of the newest event that it knows."""
    generated_ms: int
    items: bytes
    """Hashes by place, 8 bytes each."""


class Person:
    """What is remembered of one user."""

    __slots__ = ("devices", "events", "lists", "taken")

    def __init__(self) -> None:
        self.lists: list[OneList] = []
        self.taken: dict[int, int] = {}
        """By an item's hash: when the person first engaged with it, ms."""
        self.devices: Counter[str] = Counter()
        self.events = 0

    def rows(self) -> int:
        """How much of the bound it takes."""
        return len(self.taken) + sum(len(each.items) // 8 for each in self.lists)


class CatalogueItem(NamedTuple):
    """What groups are made of."""

    categories: tuple[str, ...]
    price: float | None
    published_ms: int | None
    language: str | None
    attributes: dict[str, str]
    available: bool


class Collected:
    """Everything that a report is made from; records in any order."""

    def __init__(self, asked: Range, strengths: tuple[float, ...], actions: tuple[str, ...], rows_max: int = ROWS_MAX):
        """`strengths` by action: an engagement is what shows interest."""
        self.people: dict[str, Person] = {}
        self.items: dict[int, CatalogueItem] = {}
        self._asked, self._rows_max = asked, rows_max
        self._engaging = {name for name, strength in zip(actions, strengths, strict=True) if strength > 0.0} - {"query"}
        self._rows, self._below = 0, _HASHES

    @property
    def share(self) -> float:
        """Of the people that are remembered."""
        return self._below / _HASHES

    @property
    def lists(self) -> int:
        """That are remembered."""
        return sum(len(person.lists) for person in self.people.values())

    def add_item(self, item: Item, published_ms: int | None) -> None:
        """Of the catalogue; the last record of an item counts."""
        self.items[item_hash(item.item_id)] = CatalogueItem(
            item.categories, item.price, published_ms, item.language, item.attributes or {}, item.available
        )

    def add_event(self, event: Event, event_ms: int) -> None:
        """What people took before the range belongs to their history; later events are passed over."""
        if self._asked.to_ms is not None and event_ms >= self._asked.to_ms:
            return
        person = self._person(event.user_id)
        if person is None:
            return
        person.events += 1
        if event.context is not None and (device := event.context.get("device")):
            person.devices[device[:64]] += 1
        if event.item_id is None or event.action not in self._engaging:
            return
        item = item_hash(event.item_id)
        before = person.taken.get(item)
        if before is None:
            self._count(1)
        person.taken[item] = event_ms if before is None else min(before, event_ms)

    def add_list(self, record: Recommendation) -> None:
        """Of the range, by the newest event that it knows."""
        if not record.items or not self._asked.holds(record.event_time):
            return
        person = self._person(record.user_id)
        if person is None:
            return
        items = np.array([item_hash(each.item_id) for each in record.items[:PLACES_MAX]], np.uint64)
        person.lists.append(OneList(record.event_time, record.generated_at, items.tobytes()))
        self._count(len(items))

    def forget(self, user_id: str) -> None:
        """They were erased."""
        self.people.pop(user_id, None)

    def _person(self, user_id: str) -> Person | None:
        """None: not in the sample."""
        person = self.people.get(user_id)
        if person is None and item_hash(user_id) < self._below:
            person = self.people[user_id] = Person()
        return person

    def _count(self, rows: int) -> None:
        self._rows += rows
        while self._rows > self._rows_max and self.people:
            self._below //= 2
            self.people = {name: each for name, each in self.people.items() if item_hash(name) < self._below}
            self._rows = sum(each.rows() for each in self.people.values())
