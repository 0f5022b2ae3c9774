"""Lists and their reasons, which arrive as records of two topics, put together again. Pure, and bounded in memory.

A worker sends a list first and then its reasons (before 0.3 one record an item), so a list waits here for those of the items
that are to be shown. Reasons whose list has not come (or never will: `recommendations` is compacted) are kept for a while,
oldest out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeVar

from stream.wire.codes import offset_in_log
from stream.wire.reasons import ItemReason, Reasons, RecommendationAttribution, item_reasons
from stream.wire.records import EventSource, Recommendation

K = TypeVar("K")
V = TypeVar("V")

PENDING_MAX: Final = 500
"""Lists waiting for reasons; from here on the caller reads no further lists."""

EARLY_MAX: Final = 2_000
"""Lists whose reasons came before them."""

TITLES_MAX: Final = 200_000
ARRIVALS_MAX: Final = 200_000

HOLD_S: Final = 2.0
"""How long a list waits for reasons while none arrive."""

HOLD_MAX_S: Final = 20.0
"""How long it waits at most."""


class Joined(NamedTuple):
    """A list with the reasons that came for it, by rank."""

    recommendation: Recommendation
    reasons: dict[int, ItemReason]
    freshness_ms: int | None
    """From the newest event's arrival in Kafka to `generated_at`; None where that is not known or no event caused it."""


@dataclass(slots=True)
class _Pending:
    recommendation: Recommendation
    since: float
    missing: set[int]
    reasons: dict[int, ItemReason] = field(default_factory=dict)


class Joiner:
    """`top`: how many items of each list will be shown; reasons of the others are dropped on arrival."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._pending: OrderedDict[str, _Pending] = OrderedDict()
        self._early: OrderedDict[str, dict[int, ItemReason]] = OrderedDict()
        self._arrivals: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._titles: OrderedDict[str, str] = OrderedDict()
        self._last_reason = float("-inf")

    @property
    def full(self) -> bool:
        """Read no further lists until `ready` has given some away."""
        return len(self._pending) >= PENDING_MAX

    def add_list(self, recommendation: Recommendation, now: float) -> None:
        """A list; one that is published twice is shown once while it waits."""
        missing = {item.rank for item in recommendation.items[: self._top]} if recommendation.explained else set()
        pending = _Pending(recommendation, now, missing)
        for rank, reason in self._early.pop(recommendation.recommendation_id, {}).items():
            pending.reasons[rank] = reason
            missing.discard(rank)
        self._pending.setdefault(recommendation.recommendation_id, pending)

    def add_reasons(self, record: Reasons | RecommendationAttribution, now: float) -> None:
        """Why the items of a list stand in it, or one of them."""
        for reason in item_reasons(record):
            if reason.rank <= self._top:
                self._add_reason(reason, now)

    def _add_reason(self, reason: ItemReason, now: float) -> None:
        self._last_reason = now
        pending = self._pending.get(reason.recommendation_id)
        if pending is not None:
            pending.reasons[reason.rank] = reason
            pending.missing.discard(reason.rank)
            return
        self._early.setdefault(reason.recommendation_id, {})[reason.rank] = reason
        if len(self._early) > EARLY_MAX:
            self._early.popitem(last=False)

    def add_arrival(self, partition: int, offset: int, timestamp_ms: int) -> None:
        """When an event entered Kafka."""
        _remember(self._arrivals, (partition, offset), timestamp_ms, ARRIVALS_MAX)

    def set_title(self, item_id: str, title: str | None) -> None:
        """An item of the catalogue; None: removed."""
        if title is None:
            self._titles.pop(item_id, None)
        else:
            _remember(self._titles, item_id, title, TITLES_MAX)

    def title(self, item_id: str) -> str | None:
        """Title of an item, if it is known."""
        return self._titles.get(item_id)

    @property
    def titles(self) -> int:
        """Number of items known by title."""
        return len(self._titles)

    def ready(self, now: float) -> list[Joined]:
        """Lists that are complete or have waited long enough, in the order of their arrival; each is given once."""
        quiet = now - self._last_reason >= HOLD_S
        done = [
            key
            for key, pending in self._pending.items()
            if not pending.missing or (quiet and now - pending.since >= HOLD_S) or now - pending.since >= HOLD_MAX_S
        ]
        return [self._join(self._pending.pop(key)) for key in done]

    def _join(self, pending: _Pending) -> Joined:
        list_ = pending.recommendation
        arrived = self._arrival(list_.source) if list_.trigger == "event" else None
        return Joined(list_, pending.reasons, None if arrived is None else list_.generated_at - arrived)

    def _arrival(self, source: EventSource) -> int | None:
        return self._arrivals.get((source.partition, offset_in_log(source.offset)))


def _remember(memory: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > most:
        memory.popitem(last=False)
