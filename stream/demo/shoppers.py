"""One or two shoppers to watch: what they just bought and how their list changes. Pure; keeps pace with a reader, not with
the stream: a change stays for `HOLD_S`, and what happens meanwhile is shown together afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from stream.demo.tally import Purchase
from stream.files.reading import FileRecord
from stream.wire.reasons import ItemReason, Reasons, RecommendationAttribution, item_reasons
from stream.wire.records import OutcomeAttribution, Recommendation, read_attribution

HOLD_S: Final = 3.5

BASKETS: Final = 16
"""Orders of a shopper that is good to watch: with more, nobody could read along."""

_BASKET_ITEMS: Final = (2, 12)
_LISTS_REMEMBERED: Final = 64


class Place(NamedTuple):
    """One place of the list on show."""

    rank: int
    item_id: str
    moved: int | None
    """Places up (down: negative) since what was on show before; None: it was not there."""
    reason: str


class Card(NamedTuple):
    """What is on show of one shopper."""

    user_id: str
    event_time_ms: int
    """When the newest purchase on show happened."""
    bought: tuple[tuple[str, int | None], ...]
    """Item, and the place it had in the list shown before, if any."""
    left: tuple[str, ...]
    """Items no longer in the list, without those just bought."""
    places: tuple[Place, ...]
    version: int
    """Counts changes, from 0 for nothing yet."""


class Shopper:
    """Everything about one watched user. Not thread-safe."""

    def __init__(self, user_id: str, chinese: bool) -> None:
        self.user_id = user_id
        self._chinese = chinese
        self._bought: list[str] = []
        self._event_time_ms = 0
        self._list: Recommendation | None = None
        self._reasons: dict[str, dict[str, str]] = {}
        self._shown: tuple[str, ...] = ()
        self._shown_id = ""
        self._changed_at = float("-inf")
        self._card = Card(user_id, 0, (), (), (), 0)

    def bought(self, purchase: Purchase) -> None:
        """A purchase of this user."""
        if purchase.item_id is not None:
            self._bought.append(purchase.item_id)
            self._event_time_ms = purchase.event_time_ms

    def listed(self, recommendation: Recommendation) -> None:
        """A list for this user."""
        self._list = recommendation

    def reasoned(self, record: Reasons | RecommendationAttribution) -> None:
        """The reasons of a list, which may have come before or will come after."""
        for reason in item_reasons(record):
            self._reasoned(reason)

    def _reasoned(self, reason: ItemReason) -> None:
        if reason.recommendation_id not in self._reasons:
            self._reasons[reason.recommendation_id] = {}
            for old in list(self._reasons)[:-_LISTS_REMEMBERED]:
                if old != self._shown_id:
                    del self._reasons[old]
        text = reason.sentence("zh" if self._chinese else "en")
        self._reasons[reason.recommendation_id][reason.item_id] = text

    def card(self, now: float) -> Card:
        """What to show; changes at most every `HOLD_S`, and only once the list has taken in what was bought."""
        listed = self._list
        reflected = listed is not None and listed.event_time >= self._event_time_ms
        if self._bought and listed is not None and reflected and now - self._changed_at >= HOLD_S:
            self._changed_at = now
            self._card = self._compare(listed)
            self._bought, self._shown_id = [], listed.recommendation_id
            self._shown = tuple(item.item_id for item in listed.items)
        reasons = self._reasons.get(self._shown_id, {})
        return self._card._replace(
            places=tuple(place._replace(reason=reasons.get(place.item_id, "")) for place in self._card.places)
        )

    def _compare(self, listed: Recommendation) -> Card:
        before = {item_id: rank for rank, item_id in enumerate(self._shown, 1)}
        now_in = {item.item_id for item in listed.items}
        bought = dict.fromkeys(self._bought)
        return Card(
            self.user_id,
            self._event_time_ms,
            tuple((item_id, before.get(item_id)) for item_id in bought),
            tuple(item_id for item_id in self._shown if item_id not in now_in and item_id not in bought),
            tuple(
                Place(item.rank, item.item_id, before[item.item_id] - item.rank if item.item_id in before else None, "")
                for item in listed.items
            ),
            self._card.version + 1,
        )


class Shoppers:
    """The watched ones, as an audience of the observer."""

    def __init__(self, user_ids: Sequence[str], chinese: bool) -> None:
        self._shoppers = {user_id: Shopper(user_id, chinese) for user_id in user_ids}
        self._keys: Mapping[bytes, Shopper] = {user_id.encode(): s for user_id, s in self._shoppers.items()}

    def bought(self, purchase: Purchase) -> None:
        """Any user's purchase."""
        if (shopper := self._shoppers.get(purchase.user_id)) is not None:
            shopper.bought(purchase)

    def listed(self, recommendation: Recommendation) -> None:
        """Any user's list."""
        if (shopper := self._shoppers.get(recommendation.user_id)) is not None:
            shopper.listed(recommendation)

    def reasoned(self, key: bytes, value: bytes) -> None:
        """Any user's attribution; only those of watched users are decoded."""
        if (shopper := self._keys.get(key)) is not None:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):  # of a later version: the card shows no reason
                record = read_attribution(value)
                if not isinstance(record, OutcomeAttribution):
                    shopper.reasoned(record)

    def cards(self, now: float) -> list[Card]:
        """What to show of each."""
        return [shopper.card(now) for shopper in self._shoppers.values()]


def choose_shoppers(records: Sequence[FileRecord], n: int = 2) -> list[str]:
    """Users with about `BASKETS` orders of a few items each: active, and still readable. Fewer than `n` if there are."""
    orders: dict[bytes, dict[int, int]] = {}
    for record in records:
        minutes = orders.setdefault(record.key, {})
        minutes[record.time_ms] = minutes.get(record.time_ms, 0) + 1

    def unsuitable(user: bytes) -> tuple[bool, int, bytes]:
        sizes = sorted(orders[user].values())
        smallest, largest = _BASKET_ITEMS
        return not smallest <= sizes[len(sizes) // 2] <= largest, abs(len(sizes) - BASKETS), user

    return [user.decode() for user in sorted(orders, key=unsuitable)[:n]]


def titles_of(items: Sequence[FileRecord]) -> dict[str, str]:
    """Title by item id, from catalogue records."""
    return {item["item_id"]: item["title"] for item in (msgspec.json.decode(record.value) for record in items)}
