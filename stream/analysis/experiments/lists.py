"""The last list of each person of an experiment, in bounded memory. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from models.arrays import U64
from models.experiments.assignment import Experiment, assigned
from models.hashing import item_hash
from stream.wire.records import Recommendation

PEOPLE_MAX: Final = 500_000
"""Lists remembered, some 400 bytes each."""

_HASHES: Final = 1 << 64


class LastList(NamedTuple):
    """Of one person."""

    arm: str
    items: bytes
    """Their hashes, 8 bytes each."""
    late_ms: int | None
    """Made so long after its event came about; None: no event asked for it."""


class LastLists:
    """Where there are more people than fit, half of them are forgotten, by the same hash as in `Journeys`, and so on."""

    def __init__(self, experiments: Sequence[Experiment], name: str, below: int, people_max: int = PEOPLE_MAX) -> None:
        self.people: dict[str, LastList] = {}
        self.moved = 0
        """Lists of this experiment that say another arm than the settings do now."""
        self._experiments, self._name = tuple(experiments), name
        self._below, self._people_max = below, people_max

    @property
    def below(self) -> int:
        """People whose ids hash below this are remembered."""
        return self._below

    @property
    def share(self) -> float:
        """Of the people that are remembered."""
        return self._below / _HASHES

    def add(self, user_id: str, record: Recommendation | None) -> None:
        """A newer list of a person, or None: they were erased."""
        if item_hash(user_id) >= self._below:
            return
        self.people.pop(user_id, None)
        said = None if record is None or not record.experiments else record.experiments.get(self._name)
        if record is None or said is None:
            return
        if assigned(self._experiments, user_id.encode()) != (self._name, said):
            self.moved += 1
            return
        items = np.array([item_hash(item.item_id) for item in record.items], np.uint64)
        late_ms = record.generated_at - record.event_time if record.trigger == "event" else None
        self.people[user_id] = LastList(said, items.tobytes(), late_ms)
        while len(self.people) > self._people_max:
            self._below //= 2
            self.people = {name: each for name, each in self.people.items() if item_hash(name) < self._below}

    def items(self) -> U64:
        """All items of these lists, each once, sorted."""
        found: U64 = np.unique(np.frombuffer(b"".join(each.items for each in self.people.values()), np.uint64))
        return found
