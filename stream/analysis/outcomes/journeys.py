"""What people saw and what came of it, collected record by record in bounded memory. Pure.

Where more is to be remembered than `rows_max`, half of the people are forgotten, by a hash of their ids, and so on: what is
left is a sample of people with everything about each of them, so every rate and share stays an estimate without bias. A
hash of the id decides, so the same topics give the same sample.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from models.hashing import item_hash
from models.vocabulary import STRATEGIES, UNKNOWN, Action, Evidence, Rule
from stream.wire.codes import context_bucket
from stream.wire.reasons import Reasons, RecommendationAttribution, item_places
from stream.wire.records import Event, OutcomeAttribution

ROWS_MAX: Final = 500_000
"""Exposures and outcomes remembered; with all that is computed from them some 800 bytes each."""

SLOT_MAX: Final = 200
"""Slots beyond count as not known; lists are no longer."""

_HASHES: Final = 1 << 64


class Range(NamedTuple):
    """Event times from and before, ms; None: without bound."""

    from_ms: int | None
    to_ms: int | None

    def holds(self, time_ms: int) -> bool:
        """Whether the time lies in it."""
        return (self.from_ms is None or time_ms >= self.from_ms) and (self.to_ms is None or time_ms < self.to_ms)


class Exposure:
    """One item of one recommendation that a person saw."""

    __slots__ = (
        "bought",
        "clicked",
        "context",
        "item",
        "moved_by",
        "propensity",
        "score",
        "shown_ms",
        "slot",
        "strategy",
    )

    def __init__(self, item: int, shown_ms: int, slot: int, context: int) -> None:
        self.item, self.shown_ms, self.slot, self.context = item, shown_ms, slot, context
        self.clicked = self.bought = False
        # Until its place in a list is found.
        self.strategy, self.propensity = UNKNOWN, 1.0
        self.moved_by: str | None = None
        self.score: float | None = None


class Touch(NamedTuple):
    """A recommendation on the way to an outcome."""

    strategy: int
    slot: int
    """0: not known."""
    shown_ms: int
    credit: float
    """As recorded."""


class Outcome(NamedTuple):
    """What `stream.wire.records.OutcomeAttribution` says that is reported."""

    item: int
    action: Action
    event_ms: int
    value: float
    rule: Rule
    evidence: Evidence
    unattributed: float
    reverses: str | None
    touches: tuple[Touch, ...]
    """In the order of time."""


class Person:
    """What is remembered of one user."""

    __slots__ = ("exposures", "outcomes")

    def __init__(self) -> None:
        self.exposures: dict[int, Exposure] = {}
        """By a hash of recommendation and item."""
        self.outcomes: dict[str, Outcome] = {}
        """By outcome id: a record written twice counts once, the last one."""


class Journeys:
    """Give events first, then attributions: of the places of lists only those are remembered that were seen."""

    def __init__(self, asked: Range, rows_max: int = ROWS_MAX) -> None:
        self.people: dict[str, Person] = {}
        self._asked, self._rows_max = asked, rows_max
        self._rows = 0
        self._below = _HASHES

    @property
    def below(self) -> int:
        """People whose ids hash below this are remembered."""
        return self._below

    @property
    def share(self) -> float:
        """Of the people that are remembered."""
        return self._below / _HASHES

    def add_event(self, event: Event, event_ms: int) -> None:
        """An impression, or another behaviour that names a recommendation; anything else is passed over."""
        if event.recommendation_id is None or event.item_id is None or not self._asked.holds(event_ms):
            return
        person = self._person(event.user_id)
        if person is None:
            return
        key = _place(event.recommendation_id, event.item_id)
        exposure = person.exposures.get(key)
        if exposure is None:
            slot = 0 if event.slot is None or not 1 <= event.slot <= SLOT_MAX else event.slot
            context = 0 if event.context is None else context_bucket(event.context)
            exposure = person.exposures[key] = Exposure(item_hash(event.item_id), event_ms, slot, context)
            self._count()
        exposure.shown_ms = min(exposure.shown_ms, event_ms)
        exposure.clicked |= event.action == "click"
        exposure.bought |= event.action == "purchase"

    def add_places(self, record: Reasons | RecommendationAttribution) -> None:
        """Where items stood in a list, and by which strategy."""
        person = self.people.get(record.user_id)
        if person is None:
            return
        for place in item_places(record):
            exposure = person.exposures.get(_place(record.recommendation_id, place.item_id))
            if exposure is not None and 1 <= place.rank <= SLOT_MAX and 0 < place.propensity <= 1:
                exposure.slot, exposure.propensity = place.rank, place.propensity
                exposure.strategy, exposure.moved_by = STRATEGIES.index(place.strategy), place.moved_by
                exposure.score = place.score

    def add_outcome(self, record: OutcomeAttribution) -> None:
        """Which recommendations earned an outcome."""
        if not self._asked.holds(record.event_time):
            return
        person = self._person(record.user_id)
        if person is None:
            return
        if record.outcome_id not in person.outcomes:
            person.outcomes[record.outcome_id] = _outcome(record)
            self._count()
        else:
            person.outcomes[record.outcome_id] = _outcome(record)

    def _person(self, user_id: str) -> Person | None:
        """None: not in the sample."""
        person = self.people.get(user_id)
        if person is None and item_hash(user_id) < self._below:
            person = self.people[user_id] = Person()
        return person

    def _count(self) -> None:
        self._rows += 1
        while self._rows > self._rows_max:
            self._below //= 2
            self.people = {name: each for name, each in self.people.items() if item_hash(name) < self._below}
            self._rows = sum(len(each.exposures) + len(each.outcomes) for each in self.people.values())


def _outcome(record: OutcomeAttribution) -> Outcome:
    touches = (
        Touch(
            STRATEGIES.index(each.strategy), each.rank if 1 <= each.rank <= SLOT_MAX else 0, each.shown_at, each.credit
        )
        for each in record.credits
    )
    return Outcome(
        item_hash(record.item_id),
        record.action,
        record.event_time,
        record.value or 0.0,
        record.rule,
        record.evidence,
        record.unattributed,
        record.reverses,
        tuple(sorted(touches, key=lambda touch: touch.shown_ms)),
    )


def _place(recommendation_id: str, item_id: str) -> int:
    return item_hash(f"{recommendation_id}\0{item_id}")
