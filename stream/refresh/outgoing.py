"""Which of the lists that were made go out, and what is remembered of them: for the next list, for outcomes, for clicks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I8
from models.ranking.rank import PARTS, RankedBatch
from models.vocabulary import STRATEGIES
from stream.metrics import Metrics
from stream.outcomes.crediting import Lists
from stream.params import credit_params
from stream.partitions.users import UserPartition
from stream.refresh.knowledge import Knowledge
from stream.refresh.lists import LastLists
from stream.refresh.publish import PlacedList, Published
from stream.refresh.queue import Due
from stream.settings import Settings
from stream.wire.codes import list_id_of


class PlacementLists(NamedTuple):
    """Of one placement for a batch of u users."""

    placement: str
    ranked: RankedBatch
    published: list[Published]
    is_sound: NDArray[np.bool_]
    """(u,)."""


class MadeLists(NamedTuple):
    """Of a batch of u users."""

    home: PlacementLists
    others: list[PlacementLists]
    """In the order of the worker's placements."""


def is_published(changed: bool, due: Due) -> bool:
    """Whether a list is sent: one that nobody's event asked for only if it differs from the last one."""
    return changed or due.trigger == "event"


class OutgoingLists:
    """Remembers what goes out; sends nothing."""

    def __init__(self, settings: Settings, metrics: Metrics, knowledge: Knowledge, lists: LastLists) -> None:
        self._settings, self._metrics = settings, metrics
        self._knowledge, self._lists = knowledge, lists
        self._is_crediting = credit_params(settings) is not None

    def remember(
        self, users: UserPartition, due: Sequence[Due], made: MadeLists, now_ms: int, now: float
    ) -> list[Published | None]:
        """Each user's last lists; and what goes out, for the outcomes that it may earn."""
        home, others = made
        published: list[Published | None] = []
        out: list[list[int]] = [[] for _ in (home, *others)]
        """Of each placement: whose lists go out."""
        listed, also = home.ranked.items.tolist(), [other.ranked.items.tolist() for other in others]
        for i, d in enumerate(due):
            if not all(lists.is_sound[i] for lists in (home, *others)):
                published.append(None)
                continue
            changed, *differ = self._lists.remember(
                (users.partition, d.key), tuple(listed[i]), now, tuple(tuple(items[i]) for items in also)
            )
            each = home.published[i]._replace(changed=changed)
            if is_published(changed, d):
                out[0].append(i)
            placed = []
            for at, (lists, differs) in enumerate(zip(others, differ, strict=True), 1):
                if is_published(differs, d):
                    out[at].append(i)
                    placed.append(PlacedList(lists.placement, lists.published[i].list, lists.published[i].reasons))
            published.append(each._replace(others=tuple(placed)))
        # Home last: the newest list of a ledger is that one, wherever it goes out.
        for lists, rows in zip((*others, home), (*out[1:], out[0]), strict=True):
            self._note(users, due, lists, rows, now_ms)
        return published

    def _note(
        self, users: UserPartition, due: Sequence[Due], lists: PlacementLists, out: list[int], now_ms: int
    ) -> None:
        """The lists `out` of a batch go out."""
        if not out:
            return
        ranked, written = lists.ranked, [lists.published[i].list for i in out]
        keys, named = [due[i].key for i in out], [each.list_id for each in written]
        lengths = np.array([each.length for each in written])
        self._count_places(ranked.strategy[out], lengths)
        items, at_ms = self._knowledge.index.hash_of(ranked.items[out]), self._knowledge.stream_time_ms(now_ms)
        if self._settings.learn_clicks:
            parts = np.stack([ranked.parts[name][out] for name in PARTS], axis=2).astype(np.float32)
            users.clicks.published(
                keys,
                named,
                [hashes[:n] for hashes, n in zip(items, lengths.tolist(), strict=True)],
                [of[:n] for of, n in zip(parts, lengths.tolist(), strict=True)],
                at_ms,
            )
        if self._is_crediting:
            placed = ranked.placed
            propensity = np.ones(items.shape, np.float32) if placed is None else placed.propensity[out]
            users.outcomes.note(keys, self._lists_of(named, items, ranked.strategy[out], propensity, lengths), at_ms)

    def _count_places(self, strategy: NDArray[np.uint8], lengths: I8) -> None:
        """Of lists that go out: `strategy` (u, k) of their places, of which the first `lengths` (u,) are filled."""
        listed = np.arange(strategy.shape[1]) < lengths[:, None]
        for name, places in zip(STRATEGIES, np.bincount(strategy[listed], minlength=len(STRATEGIES)), strict=True):
            if places:
                self._metrics.output.places.labels(name).inc(int(places))

    def _lists_of(
        self,
        named: Sequence[str],
        items: NDArray[np.uint64],
        strategy: NDArray[np.uint8],
        propensity: F4,
        lengths: I8,
    ) -> Lists:
        listed = np.arange(items.shape[1]) < lengths[:, None]
        ids = np.array([list_id_of(each) for each in named], np.uint64)
        return Lists(
            np.zeros(len(named), np.int64), ids, items, strategy, np.where(listed, propensity, np.float32(0.0))
        )
