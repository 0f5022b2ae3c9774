"""How often the next new purchase stood in the list published before it, beside popularity at the same moment. Pure.

Prequential: every purchase is first a question (was it in the list?) and only then knowledge (of the popularity ranking).
Nothing is trained here and nothing looks ahead, so the figures can be computed by anyone who reads the two topics.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

CUTOFFS: Final = (10, 20)


@dataclass(frozen=True, slots=True)
class HitRate:
    """Hits among the first `cutoff` places. A question is a purchase of an item that is new to its user.

    `questions` counts all of them, `with_list` those whose user had a published list at that moment; a user's very first
    basket has none. `list_hits` can only come from the latter. Popularity is asked every question, and
    `popularity_hits_with_list` are its hits on exactly the questions counted in `with_list`.
    """

    cutoff: int
    questions: int
    with_list: int
    list_hits: int
    popularity_hits: int
    popularity_hits_with_list: int

    @property
    def of_lists(self) -> float:
        """Hit rate of the published lists where there was one; 0 where nothing was asked."""
        return _share(self.list_hits, self.with_list)

    @property
    def of_lists_all(self) -> float:
        """Hit rate of the published lists over all questions: no list is a miss."""
        return _share(self.list_hits, self.questions)

    @property
    def of_popularity(self) -> float:
        """Hit rate of popularity on the questions that `of_lists` is about."""
        return _share(self.popularity_hits_with_list, self.with_list)

    @property
    def of_popularity_all(self) -> float:
        """Hit rate of popularity over all questions."""
        return _share(self.popularity_hits, self.questions)


class Popularity:
    """Items by number of purchases, most first; of equals the one bought earlier. One purchase costs O(log n) compares."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[int, int, str]] = {}
        self._ranking: list[tuple[int, int, str]] = []  # (-count, order of first purchase, item), ascending

    def add(self, item_id: str) -> None:
        """Count one purchase."""
        key = self._keys.get(item_id)
        if key is None:
            key = (-1, len(self._keys), item_id)
        else:
            del self._ranking[bisect_left(self._ranking, key)]
            key = (key[0] - 1, key[1], item_id)
        self._keys[item_id] = key
        insort(self._ranking, key)

    def top(self, n: int, without: Collection[str] = ()) -> list[str]:
        """The first `n` items that are not in `without` (best a set)."""
        items: list[str] = []
        for _, _, item_id in self._ranking:
            if len(items) == n:
                break
            if item_id not in without:
                items.append(item_id)
        return items

    def place(self, item_id: str, places: int, without: Collection[str] = ()) -> int | None:
        """From 0, where `item_id` stands in `top(places, without)`; None if it does not."""
        key = self._keys.get(item_id)
        if key is None or item_id in without:
            return None
        before = 0
        for other in self._ranking:
            if other[2] == item_id:
                return before
            before += other[2] not in without
            if before == places:
                return None
        return None


class HitRates:
    """Asks the questions. Feed it everything in the order of the Kafka timestamps, a purchase before a list of that time:
    only a list published strictly before the purchase counts.

    Popularity knows every purchase that was fed before, of all users, and skips what this user has bought. It has no delay:
    the published lists are measured with theirs.
    """

    def __init__(self, cutoffs: Sequence[int] = CUTOFFS) -> None:
        self._cutoffs = tuple(cutoffs)
        self._deepest = max(cutoffs)
        self._lists: dict[str, tuple[str, ...]] = {}
        self._bought: dict[str, set[str]] = {}
        self._popularity = Popularity()
        self._questions = self._with_list = 0
        self._list_hits = [0] * len(self._cutoffs)
        self._popularity_hits = [0] * len(self._cutoffs)
        self._popularity_hits_with_list = [0] * len(self._cutoffs)

    def publish(self, user_id: str, items: Sequence[str] | None) -> None:
        """A list, first place first; an empty one counts as a list. None: it was erased."""
        if items is None:
            self._lists.pop(user_id, None)
        else:
            self._lists[user_id] = tuple(items[: self._deepest])

    def buy(self, user_id: str, item_id: str) -> None:
        """A purchase. Of an item that the user has bought before it is no question but adds to popularity."""
        bought = self._bought.setdefault(user_id, set())
        if item_id not in bought:
            self._ask(item_id, self._lists.get(user_id), bought)
            bought.add(item_id)
        self._popularity.add(item_id)

    def result(self) -> tuple[HitRate, ...]:
        """So far, one per cutoff."""
        return tuple(
            HitRate(
                cutoff,
                self._questions,
                self._with_list,
                self._list_hits[n],
                self._popularity_hits[n],
                self._popularity_hits_with_list[n],
            )
            for n, cutoff in enumerate(self._cutoffs)
        )

    def _ask(self, item_id: str, listed: tuple[str, ...] | None, bought: set[str]) -> None:
        self._questions += 1
        self._with_list += listed is not None
        place = listed.index(item_id) if listed is not None and item_id in listed else None
        popular_place = self._popularity.place(item_id, self._deepest, bought)
        for n, cutoff in enumerate(self._cutoffs):
            self._list_hits[n] += place is not None and place < cutoff
            popular = popular_place is not None and popular_place < cutoff
            self._popularity_hits[n] += popular
            self._popularity_hits_with_list[n] += popular and listed is not None


def _share(hits: int, questions: int) -> float:
    return hits / questions if questions else 0.0
