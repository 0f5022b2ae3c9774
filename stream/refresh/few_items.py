"""Lists that people with few items could have had, kept until they say what they take: see `models.ranking.few_items`."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Final

import numpy as np

from models.arrays import F8, I4, I8
from models.items.priors import Priors
from models.ranking.features import ItemArrays, Question
from models.ranking.few_items import ADDED, are_few, better_with_added, lists_of_few
from models.ranking.rank import RankingParams, SequenceScores, usable_places
from models.ranking.semantics import Semantics
from models.ranking.weights import RankingWeights

REMEMBERED_MOST: Final = 20_000
"""People; 160 bytes of lists each."""

User = tuple[int, bytes]
"""Partition and key."""


class FewItemLists:
    """The last ones of each person who judges; of more than `REMEMBERED_MOST` the oldest are forgotten, and all with the
    process: who was to judge then judges the next ones."""

    def __init__(self) -> None:
        self._lists: OrderedDict[User, tuple[str, I4]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lists)

    def remember(self, user: User, name: str, lists: I4) -> None:
        """(1 + `ADDED`, k) dense indices; the newcomers' list of this name was added."""
        self._lists.pop(user, None)
        self._lists[user] = name, lists
        if len(self._lists) > REMEMBERED_MOST:
            self._lists.popitem(last=False)

    def note(
        self,
        users: Sequence[User],
        question: Question,
        items: ItemArrays,
        priors: Priors,
        params: RankingParams,
        weights: RankingWeights,
        semantics: Semantics | None,
        sequence: SequenceScores | None,
    ) -> None:
        """Remember what those of u people who judge and have few items could have had.

        Args:
            users: who judges.
            question, items, priors, params, semantics, sequence: as for `models.ranking.rank.asked`.
            weights: those that serve without anything added.
        """
        few = are_few(usable_places(question, items, semantics))
        if not len(few):
            return
        lists = lists_of_few(
            question.take(few),
            items,
            priors,
            params,
            weights,
            None if semantics is None else semantics.take(few),
            None if sequence is None else sequence.take(few),
        )
        for u, of in zip(few.tolist(), lists, strict=True):
            self.remember(users[u], weights.cold_expert, of)

    def drop(self, user: User) -> None:
        """The user is forgotten."""
        self._lists.pop(user, None)

    def judged(self, users: Sequence[User], taken: I8, name: str) -> F8:
        """(j, `ADDED`) float64: how much better each weight of the list of this name was, for those of m users who have lists
        here; these are gone then, as they say nothing of what is taken next.

        Args:
            users: who took something.
            taken: (m,) dense indices, -1 of items that nobody knows.
            name: lists of another name are of a while ago, and say nothing.
        """
        found = [
            (known[1], item)
            for user, item in zip(users, taken.tolist(), strict=True)
            if (known := self._lists.pop(user, None)) is not None and known[0] == name
        ]
        if not found:
            return np.zeros((0, len(ADDED)))
        return better_with_added(np.stack([lists for lists, _ in found]), np.array([item for _, item in found]))

    def forget(self, partitions: Collection[int]) -> None:
        """Their users are another worker's."""
        for user in [user for user in self._lists if user[0] in partitions]:
            del self._lists[user]
