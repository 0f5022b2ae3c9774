"""Who earned what, said in plain Python, one event after another: what `stream.outcomes.crediting` is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

HOUR_MS = 3_600_000
UNKNOWN = 4


class Told(NamedTuple):
    """An event that says something of recommendations; times in ms, `list_id` 0 = none, `value` None = none."""

    offset: int
    user: int
    time_ms: int
    item: int
    action: str
    list_id: int = 0
    slot: int = 0
    context: int = 0
    value: float | None = None
    event_id: int = 0


class Published(NamedTuple):
    """A list that went out."""

    user: int
    list_id: int
    at_ms: int
    items: tuple[int, ...]
    strategies: tuple[int, ...]
    propensities: tuple[float, ...]


@dataclass
class Touch:
    list_id: int
    item: int
    shown_ms: int
    rank: int
    strategy: int
    propensity: float
    context: int
    seen: bool = False
    clicked: bool = False
    by_impression: bool = False

    def told(self) -> tuple[int, int, int, int, int, float]:
        return self.list_id, self.rank, self.strategy, self.context, self.shown_ms, self.propensity


class Outcome(NamedTuple):
    offset: int
    evidence: str
    touches: tuple[tuple[int, int, int, int, int, float], ...]
    shares: tuple[float, ...]
    unattributed: float
    value: float | None
    reverses: int | None


@dataclass
class Purchase:
    outcome: Outcome
    item: int
    time_ms: int
    taken_back_by: int | None = None


@dataclass
class User:
    lists: list[Published] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    """Ids of lists."""
    touches: list[Touch] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)


class Reference:
    """`outcomes`, `exposures` and `clicks` in the order in which they were made; the last two as (strategy, rank, context)."""

    def __init__(self, rule: str, windows_ms: dict[str, int], half_life_ms: float) -> None:
        self.rule, self.windows_ms, self.half_life_ms = rule, windows_ms, half_life_ms
        self.users: dict[int, User] = {}
        self.outcomes: list[Outcome] = []
        self.exposures: list[tuple[int, int, int]] = []
        self.clicks: list[tuple[int, int, int]] = []

    def publish(self, published: Published) -> None:
        user = self.users.setdefault(published.user, User())
        if published.list_id in [each.list_id for each in user.lists]:
            return
        if len(user.lists) == 6:
            seen = [each for each in user.lists if each.list_id in user.seen]
            unseen = [each for each in user.lists if each.list_id not in user.seen]
            gone = (seen if len(seen) > 3 else unseen)[0]
            user.lists.remove(gone)
            user.seen.discard(gone.list_id)
        user.lists.append(published)

    def apply(self, event: Told) -> None:
        user = self.users.setdefault(event.user, User())
        if event.action == "impression":
            self.expose(user, event, True)
        elif event.action == "refund":
            self.refund(user, event)
        elif self.windows_ms.get(event.action):
            outcome = self.outcome(user, event)
            self.outcomes.append(outcome)
            if event.action == "purchase":
                user.purchases.append(Purchase(outcome, event.item, event.time_ms))
                del user.purchases[:-8]

    def expose(self, user: User, event: Told, is_impression: bool) -> Touch | None:
        holding = [
            each
            for each in user.lists
            if (each.list_id == event.list_id if event.list_id else each.at_ms <= event.time_ms)
            and event.item in each.items[:20]
        ]
        if not event.list_id and not holding:
            return None
        known = holding[-1] if holding else None
        list_id = event.list_id or holding[-1].list_id
        if known is not None:
            user.seen.add(known.list_id)
        for touch in user.touches:
            if (touch.list_id, touch.item) == (list_id, event.item):
                break
        else:
            touch = Touch(list_id, event.item, event.time_ms, event.slot, UNKNOWN, 1.0, event.context)
            if known is not None:
                place = known.items.index(event.item)
                touch.rank, touch.strategy = place + 1, known.strategies[place]
                touch.propensity = known.propensities[place]
            self.add(user, touch)
        if not touch.seen:
            touch.seen, touch.context = True, event.context
            self.exposures.append((touch.strategy, touch.rank, touch.context))
        touch.by_impression |= is_impression
        return touch

    def add(self, user: User, touch: Touch) -> None:
        if len(user.touches) == 48:
            user.touches.remove(next((t for t in user.touches if not t.clicked), user.touches[0]))
        user.touches.append(touch)

    def outcome(self, user: User, event: Told) -> Outcome:
        named = self.expose(user, event, False) if event.list_id else None
        window_ms = self.windows_ms[event.action]
        near = [t for t in user.touches if 0 <= event.time_ms - t.shown_ms <= window_ms]
        path = sorted((t for t in near if t.item == event.item and t is not named), key=lambda t: t.shown_ms)
        if named is not None:
            path.append(named)
            evidence = "named"
        elif path:
            evidence = "impression" if any(t.seen for t in path) else "list"
        elif any(t.by_impression for t in near):
            evidence = "none"
        else:
            path = self.by_lists(user, event, window_ms)
            evidence = "list" if path else "none"
        if event.action == "click" and path and not path[-1].clicked:
            path[-1].clicked = True
            if path[-1].seen:
                last = path[-1]
                self.clicks.append((last.strategy, last.rank, last.context))
        path = path if len(path) <= 8 else [path[0], *path[-7:]]
        shares = self.shares([t.shown_ms for t in path])
        return Outcome(
            event.offset, evidence, tuple(t.told() for t in path), shares, 0.0 if path else 1.0, event.value, None
        )

    def by_lists(self, user: User, event: Told, window_ms: int) -> list[Touch]:
        path = []
        for each in user.lists:
            if 0 <= event.time_ms - each.at_ms <= window_ms and event.item in each.items[:20]:
                place = each.items.index(event.item)
                path.append(
                    Touch(
                        each.list_id, event.item, each.at_ms, place + 1, each.strategies[place],
                        each.propensities[place], event.context, clicked=True,
                    )
                )  # fmt: skip
        if path:
            self.add(user, path[-1])
        return path

    def shares(self, shown_ms: list[int]) -> tuple[float, ...]:
        t = len(shown_ms)
        if not t:
            return ()
        if self.rule == "linear":
            return (1 / t,) * t
        if self.rule == "first_touch":
            return (1.0, *[0.0] * (t - 1))
        if self.rule == "position_based":
            return (1 / t,) * t if t < 3 else (0.4, *[0.2 / (t - 2)] * (t - 2), 0.4)
        if self.rule == "time_decay":
            weights = [2.0 ** ((at - max(shown_ms)) / self.half_life_ms) for at in shown_ms]
            return tuple(weight / sum(weights) for weight in weights)
        return (*[0.0] * (t - 1), 1.0)

    def refund(self, user: User, event: Told) -> None:
        of_item = [p for p in user.purchases if p.item == event.item]
        if event.event_id and any(p.taken_back_by == event.event_id for p in of_item):
            return
        value = None if event.value is None else -abs(event.value)
        open_ = [p for p in of_item if p.taken_back_by is None and p.time_ms <= event.time_ms]
        if not open_:
            self.outcomes.append(Outcome(event.offset, "none", (), (), -1.0, value, None))
            return
        purchase = open_[-1]
        purchase.taken_back_by = event.event_id
        of = purchase.outcome
        if value is None and of.value is not None:
            value = -abs(of.value)
        shares = tuple(-share for share in of.shares)
        self.outcomes.append(
            Outcome(event.offset, "none", of.touches, shares, 0.0 if of.touches else -1.0, value, of.offset)
        )
