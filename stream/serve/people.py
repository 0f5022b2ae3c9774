"""People: who was active lately, what is known of one of them, and what is shown to themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import numpy as np

from stream.refresh.refresher import Request
from stream.serve.answers import Belief, PeopleAnswer, PersonAnswer, PersonFound, YouAnswer
from stream.serve.errors import UnknownThingError
from stream.serve.followed.lists import LastLists
from stream.serve.followed.people import FollowedPeople
from stream.serve.followed.reasons import LastReasons
from stream.serve.person import behaviours_of, person_answer
from stream.serve.ranker import Ranker
from stream.serve.told import Teller
from stream.settings import Settings
from stream.settings.placements import HOME
from stream.worker.tracker import Tracker

STRONG: Final = 0.5
SOME: Final = 0.15
"""Shares of the heaviest interest from which another is called strong, or some."""

BELIEFS_MAX: Final = 12

Strength = Literal["strong", "some", "little"]


class PeopleDesk:
    """People."""

    def __init__(
        self,
        settings: Settings,
        tracker: Tracker,
        ranker: Ranker,
        lists: LastLists,
        reasons: LastReasons,
        people: FollowedPeople,
        teller: Teller,
        partition_of: Callable[[str], int],
    ) -> None:
        """`lists`: those of the placement `home`."""
        self._settings, self._tracker, self._ranker = settings, tracker, ranker
        self._teller = teller
        self._lists, self._reasons, self._people, self._partition_of = lists, reasons, people, partition_of

    def person(self, user_id: str) -> PersonAnswer:
        """What is known of a person."""
        known = self._ranker.load(user_id)
        now_ms = time.time_ns() // 1_000_000
        asking = self._tracker.refresher.ask(self._ranker.states, np.zeros(1, np.int64), now_ms)
        outcomes = self._reasons.earned(user_id.encode())
        return person_answer(user_id, self._partition_of(user_id), asking, self._ranker, outcomes, known=known)

    def check_known(self, user_id: str, items: Sequence[str]) -> None:
        """Of what a person may want less: what they met, and what they could be shown.

        Raises:
            UnknownThingError: one of the items is neither. Whoever has a link may send these, and ids that are made up would be
                known to every worker from then on.
        """
        self._ranker.load(user_id)
        met = {behaviour.item_id for behaviour in behaviours_of(self._ranker)}
        for at, item_id in enumerate(items):
            if item_id not in met and self._ranker.catalogue_item(item_id) is None:
                raise UnknownThingError(f"no item {item_id!r} is in the catalogue", f"$.items[{at}]")

    def people(self, n: int) -> PeopleAnswer:
        """Who was active lately."""
        found = self._people.lately(n)
        return PeopleAnswer(
            tuple(PersonFound(user, seen_ms, self._lists.get(user.encode()) is not None) for user, seen_ms in found)
        )

    def you(self, user_id: str) -> YouAnswer:
        """What is shown to the person themselves."""
        person = self.person(user_id)
        known = self._ranker.load(user_id)
        made = self._ranker.list_for(
            user_id, self._partition_of(user_id), Request(top_k=self._settings.top_k), HOME, known=known
        )
        by_item = {each.item_id: each for each in reversed(person.behaviours)}
        likes: list[Belief] = []
        dislikes: list[Belief] = []
        points = person.interests.points
        largest = max((abs(p.weight) for p in points), default=0.0)
        for point in sorted(points, key=lambda p: -abs(p.weight)):
            share = abs(point.weight) / largest if largest else 0.0
            strength: Strength = "strong" if share >= STRONG else "some" if share >= SOME else "little"
            why = self._teller.told([by_item[m] for m in point.members if m in by_item])
            belief = Belief(point.item_id, point.title, strength, point.since, why, point.members)
            (likes if point.weight >= 0 else dislikes).append(belief)
        if not points:  # without an encoder: what they did themselves
            likes, dislikes = self._beliefs_by_items(person)
        return YouAnswer(
            tuple(likes),
            tuple(dislikes),
            person.events,
            person.first_seen,
            person.last_seen,
            made.answer,
        )

    def _beliefs_by_items(self, person: PersonAnswer) -> tuple[list[Belief], list[Belief]]:
        likes: dict[str, Belief] = {}
        dislikes: dict[str, Belief] = {}
        for each in reversed(person.behaviours):
            if not each.in_catalogue or each.action in ("impression", "view"):
                continue
            into = dislikes if each.action == "dislike" else likes
            if each.item_id not in into:
                strength: Strength = "strong" if each.action in ("purchase", "like", "cart", "dislike") else "some"
                since = min(b.event_time for b in person.behaviours if b.item_id == each.item_id)
                into[each.item_id] = Belief(
                    each.item_id, each.title, strength, since, self._teller.told([each]), (each.item_id,)
                )
        return list(likes.values())[:BELIEFS_MAX], list(dislikes.values())[:BELIEFS_MAX]
