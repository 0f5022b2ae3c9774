"""Lists and engagements of a shop that can be worked out by hand, for the report on fairness."""

from __future__ import annotations

from stream.analysis.fairness.collected import Collected
from stream.analysis.outcomes.journeys import Range
from stream.wire.records import Event, EventSource, Item, ModelVersions, Recommendation, RecommendedItem

T0 = 1_767_225_600_000
DAY_MS = 86_400_000
ACTIONS = ("view", "click", "dislike", "query")
STRENGTHS = (0.2, 1.0, -2.0, 1.0)


def collected(rows_max: int = 1000, asked: Range | None = None) -> Collected:
    """Empty."""
    return Collected(asked or Range(None, None), STRENGTHS, ACTIONS, rows_max)


def one_list(user: str, event_ms: int, items: str, generated_ms: int = 0) -> Recommendation:
    """Items are letters, by place."""
    places = tuple(RecommendedItem(i, n + 1, 0.0, 0.5, "interest", 1.0, {}) for n, i in enumerate(items))
    source, versions = EventSource("e", 0, 0), ModelVersions(None, None, "v")
    return Recommendation("0" * 32, user, generated_ms or event_ms + 5, event_ms, source, "event", versions, places)


def take(found: Collected, user: str, item: str, event_ms: int, action: str = "click", device: str | None = None):
    """One event."""
    context = None if device is None else {"device": device}
    found.add_event(Event(user, action, item, context=context), event_ms)  # type: ignore[arg-type]


def shop(found: Collected) -> None:
    """a to d; a and b of a large supplier, and popular. p and q are shown a and b only, and take what is in other places."""
    for n, item in enumerate("abcd"):
        brand = "acme" if item in "ab" else f"small {item}"
        published_ms = T0 - (40 - 13 * n) * DAY_MS  # 40, 27, 14 and 1 day before
        found.add_item(
            Item(item, item, ("toys",) if item in "ac" else ("tools",), price=1.0 + n, attributes={"brand": brand}),
            published_ms,
        )
    for user, device in (("p", "phone"), ("q", "desk")):
        take(found, user, "a", T0, device=device)
        found.add_list(one_list(user, T0, "bacd"))
    take(found, "p", "b", T0 + 10, device="phone")  # first place
    take(found, "q", "d", T0 + 10, device="desk")  # fourth place
