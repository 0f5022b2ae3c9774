"""The list of a person or a visitor: as it was published where that will do, else ranked on the spot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

import msgspec

from stream.errors import CorruptStateError
from stream.kafka.partitioner import key_partition
from stream.refresh.page import Page
from stream.refresh.refresher import NOTHING, Request
from stream.serve.answers import ListAnswer, ListedItem
from stream.serve.errors import NotReadyError
from stream.serve.followed.lists import LastLists
from stream.serve.followed.people import FollowedPeople
from stream.serve.followed.reasons import LastReasons
from stream.serve.questions import ListQuestion, SessionQuestion, Wanted
from stream.serve.ranker import Ranker
from stream.serve.shelf import Shelf, fits
from stream.settings import Settings
from stream.wire.codes import context_bucket, event_id_hash
from stream.wire.reasons import Reasons
from stream.wire.records import Recommendation

STATE_LOOKED_FOR_EVERY_S: Final = 0.02

REASONS_ASKED: Final = 20
REASONS_ASKED_EVERY_S: Final = 0.01
"""A list that has just come waits so long for its reasons, which follow it on another topic."""

EVENT_LOOKED_FOR_EVERY_S: Final = 0.05
"""An `event_id` is known with the commit of its event, which comes after the list: no list tells that it is there."""


class Freshness(NamedTuple):
    """Whether what is known reflects the event that a request names."""

    published: bool
    """The last list does."""
    state: bool
    """The person's state does, of which a list can be ranked on the spot."""


class ListDesk:
    """Lists."""

    def __init__(
        self,
        settings: Settings,
        ranker: Ranker,
        shelf: Shelf,
        lists: Mapping[str, LastLists],
        reasons: LastReasons,
        people: FollowedPeople,
        partitions: int,
        is_stale: Callable[[], bool],
    ) -> None:
        """`lists`: by placement; `partitions`: of the events; `is_stale`: whether topics cannot be followed at the moment."""
        self._settings, self._ranker, self._shelf = settings, ranker, shelf
        self._lists, self._reasons, self._people = lists, reasons, people
        self.partitions = partitions
        self._waiting, self._is_stale = 0, is_stale

    def partition_of(self, user_id: str) -> int:
        """Of the events topic."""
        return key_partition(user_id.encode(), self.partitions, self._settings.partitioner)

    async def list_for(self, user_id: str, question: ListQuestion) -> ListAnswer:
        """The list of a person.

        Raises:
            RefusedQuestionError: it is asked for in a way that cannot be answered.
        """
        page, lists = self._ranker.page(question.placement), self._lists[question.placement]
        user, partition = user_id.encode(), self.partition_of(user_id)
        deadline = time.monotonic() + question.wait_ms / 1000
        fresh = await self._wait(user, partition, lists, question, deadline)
        record = lists.get(user)
        context = _context(question)
        if record is not None and fresh.published and context is None:
            answer = await self._from_published(user_id, record, question, page)
            if answer is not None:
                return msgspec.structs.replace(answer, fresh=True)
        if not fresh.state:  # it is ranked by the state, which follows with the next commit
            fresh = await self._wait_for_state(user, partition, lists, question, deadline)
        try:
            known = self._ranker.load(user_id)
        except NotReadyError:  # as a worker has it, nothing is known of them: a page is shown all the same
            known = False
        made = self._ranker.list_for(
            user_id,
            partition,
            self._request(question, context=context),
            question.placement,
            known=known,
        )
        return msgspec.structs.replace(self._cut(made.answer, question), fresh=fresh.state, stale=self._is_stale())

    async def _wait(
        self, user: bytes, partition: int, lists: LastLists, question: ListQuestion, deadline: float
    ) -> Freshness:
        """Until what is known reflects the event that is named, within the question's time."""
        if question.min_offset is None and question.after is None:
            return Freshness(published=True, state=True)
        with self._room(deadline) as until:
            while True:
                waiter = lists.waiter(user)
                try:
                    found = self._reflected(user, partition, lists.get(user), question)
                    left_s = until - time.monotonic()
                    # An event is known by its id once it is committed, which is after its list: where the state has more than
                    # that (impressions, which change no list), no other list is to come.
                    if found.published or (question.after is not None and found.state) or left_s <= 0:
                        return found
                    await waiter.wait(left_s if question.after is None else min(left_s, EVENT_LOOKED_FOR_EVERY_S))
                finally:
                    waiter.forget()

    async def _wait_for_state(
        self, user: bytes, partition: int, lists: LastLists, question: ListQuestion, deadline: float
    ) -> Freshness:
        """Until the person's state reflects the event that is named, within the question's time."""
        with self._room(deadline) as until:
            while True:
                found = self._reflected(user, partition, lists.get(user), question)
                if found.state or time.monotonic() >= until:
                    return found
                await asyncio.sleep(STATE_LOOKED_FOR_EVERY_S)

    @contextmanager
    def _room(self, deadline: float) -> Iterator[float]:
        """One more who waits, and until when: not at all where enough wait already."""
        until = deadline if self._waiting < self._settings.serve_max_waiting else 0.0
        self._waiting += 1
        try:
            yield until
        finally:
            self._waiting -= 1

    def _reflected(
        self, user: bytes, partition: int, record: Recommendation | None, question: ListQuestion
    ) -> Freshness:
        try:
            self._people.load(user, self._ranker.states)
        except CorruptStateError:
            return Freshness(published=False, state=False)
        if question.after is not None:
            hashed = event_id_hash(question.after)
            offset = self._fence_of_event(hashed)
            if offset is None:
                return Freshness(published=False, state=False)
        else:
            assert question.min_offset is not None, "one of them is asked for"
            offset = question.min_offset
        published = record is not None and record.source.partition == partition and record.source.offset >= offset
        return Freshness(published=published, state=self._ranker.offset >= offset)

    def _fence_of_event(self, hashed: int) -> int | None:
        """An offset that a list which reflects the event of this hash has reached; None: no such event is remembered."""
        states = self._ranker.states
        n = int(min(states.n_ring[0], states.event_id.shape[1]))
        return int(states.fence[0]) if (states.event_id[0, :n] == hashed).any() else None

    async def _from_published(
        self, user_id: str, record: Recommendation, question: ListQuestion, page: Page
    ) -> ListAnswer | None:
        """What was published, as far as the request wants it; None: that is not enough."""
        if question.n > len(record.items) and question.n > page.slots:
            return None
        reasons = None
        if question.explain:
            if not record.explained:
                return None
            reasons = await self._reasons_of(record.recommendation_id)
            if reasons is None:
                return None
        listed = self._ranker.listed(record, reasons)
        kept = self._kept(listed, question, self._ranker.is_allowed(page, user_id, [each.item_id for each in listed]))
        if len(kept) < min(question.n, len(listed)):
            return None  # what fills it up again is ranked
        left_out = len(listed) - len(kept)
        now_ms = time.time_ns() // 1_000_000
        return ListAnswer(
            recommendation_id=record.recommendation_id,
            user_id=user_id,
            placement=question.placement,
            known=True,
            fresh=True,
            how="published",
            source=record.source,
            age_ms=max(0, now_ms - record.generated_at),
            generated_at=record.generated_at,
            event_time=record.event_time,
            model=record.model,
            items=_numbered(kept[: question.n]),
            relaxed=record.relaxed if isinstance(record.relaxed, tuple) else (),
            experiments=record.experiments if isinstance(record.experiments, dict) else {},
            rows=record.rows if isinstance(record.rows, tuple) and not left_out else (),
            left_out=left_out,
            stale=self._is_stale(),
        )

    async def _reasons_of(self, recommendation_id: str) -> Reasons | None:
        for _ in range(REASONS_ASKED):
            if (found := self._reasons.of_list(recommendation_id)) is not None:
                return found
            await asyncio.sleep(REASONS_ASKED_EVERY_S)
        return None

    def _kept(self, listed: Sequence[ListedItem], question: Wanted, is_allowed: Sequence[bool]) -> list[ListedItem]:
        """What a request leaves of a list: what may still be shown, and what it wants."""
        excluded, categories = frozenset(question.exclude), frozenset(question.category)
        kept = []
        items = self._ranker.catalogue_items([each.item_id for each in listed])
        for each, item, may in zip(listed, items, is_allowed, strict=True):
            if item is None or not item.available or not may or each.item_id in excluded:
                continue
            if fits(item, categories, question.price_min, question.price_max):
                kept.append(each)
        return kept

    def session(self, question: SessionQuestion) -> ListAnswer:
        """The list of a visitor without an id."""
        self._ranker.visitor(question.events)
        known = self._ranker.offset >= 0
        made = self._ranker.list_for(None, 0, self._request(question), question.placement, known=known)
        return msgspec.structs.replace(self._cut(made.answer, question), source=None, stale=self._is_stale())

    def _request(self, question: Wanted, context: int | None = None) -> Request:
        excluded = self._shelf.indices_of(question.exclude) if question.exclude else NOTHING
        narrowed = self._shelf.narrowed(question.category, question.price_min, question.price_max)
        return Request(narrowed, excluded, None, context=context, top_k=question.n, is_explained=question.explain)

    def _cut(self, answer: ListAnswer, question: Wanted) -> ListAnswer:
        return msgspec.structs.replace(answer, items=answer.items[: question.n])


def _numbered(kept: Sequence[ListedItem]) -> tuple[ListedItem, ...]:
    """With ranks from 1; where that is another than in the published list, that one as `slot`."""
    return tuple(
        each if each.rank == rank else msgspec.structs.replace(each, rank=rank, slot=each.rank)
        for rank, each in enumerate(kept, 1)
    )


def _context(question: ListQuestion) -> int | None:
    told = {"device": question.device, "place": question.place, "scene": question.scene}
    given = {name: text for name, text in told.items() if text}
    return context_bucket(given) if given else None
