"""Is a partition's state of the log that the events topic is now? Asked when it is opened, before anything is applied.

By then the state has been recovered, so the answer does not depend on what this machine has on its disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from typing import Final, NamedTuple

from stream.errors import BrokerUnreachableError, TopicsError, UsageError
from stream.kafka.log_ends import Bounds, LogEnds
from stream.kafka.log_rules import (
    Logs,
    another_events_log,
    partitions_changed,
    restore_unfinished,
    what_is_wrong,
)
from stream.kafka.logs import TopicLogs
from stream.settings import Settings
from stream.state.log_mark import LOG_KEY, MEANT_KEY, RESTORING, LogMark, read_log, read_meant
from stream.storage.rocks import PartitionStore

logger = logging.getLogger(__name__)

ASK_AGAIN_S: Final = 0.5


class Found(NamedTuple):
    """What the broker says of one partition of the events topic."""

    topic_id: str | None
    partitions: int
    item_partitions: int
    low: int
    """Offset of the oldest record."""
    high: int
    """Next offset to be written."""


class Verdict(NamedTuple):
    """The partition may be gone on with."""

    mark: LogMark
    is_anew: bool = False
    """It is another log, and that was meant: to be read from its beginning, whatever offset was committed."""
    lost: int = 0
    """Records that the broker dropped before they were read."""


def judge(
    settings: Settings, mark: LogMark | None, committed: int | None, meant: tuple[str | None] | None, found: Found
) -> Verdict:
    """Whether to go on with a partition. Pure.

    Args:
        settings: names of the topics.
        mark: of the log that the states were made of; None: they are of an older release, or there are none.
        committed: the group's offset; None: none.
        meant: the id of the topic that a person has said to go on with; None: nobody has.
        found: what there is now.

    Raises:
        TopicsError: people would move, the states are of another log, or not all of them have been restored.
    """
    if mark is not None and mark.topic_id == RESTORING:
        raise restore_unfinished(settings)
    if mark is not None:
        for name, before, now in (
            (settings.topic_events, mark.partitions, found.partitions),
            (settings.topic_item_deltas, mark.item_partitions, found.item_partitions),
        ):
            if before != now:
                raise partitions_changed(settings, name, before, now)
    reached = max(committed or 0, 0 if mark is None else mark.reached)
    is_same = mark is None or None in (mark.topic_id, found.topic_id) or mark.topic_id == found.topic_id
    if is_same and reached <= found.high:
        epoch = 0 if mark is None else mark.epoch
        now_ = LogMark(found.topic_id, epoch, reached, found.partitions, found.item_partitions)
        return Verdict(now_, lost=max(0, found.low - reached) if reached else 0)
    if meant is None or meant[0] != found.topic_id:
        raise another_events_log(settings.topic_events)
    epoch = 1 if mark is None else mark.epoch + 1
    return Verdict(LogMark(found.topic_id, epoch, found.low, found.partitions, found.item_partitions), is_anew=True)


class WhichLog:
    """Asks and judges."""

    def __init__(self, settings: Settings, topic_logs: TopicLogs, log_ends: LogEnds) -> None:
        self._settings, self._topic_logs, self._log_ends = settings, topic_logs, log_ends
        self._asked: tuple[int, asyncio.Future[tuple[Logs, Bounds]]] | None = None

    async def check(
        self,
        partition: int,
        store: PartitionStore,
        committed: int | None,
        generation: int,
        owned: Collection[int] = (),
    ) -> Verdict:
        """`committed`: the group's offset; `generation`: of the group, in which the topics are looked at once; `owned`: other
        partitions that will be asked about in it, and may as well be looked at now.

        Raises:
            TopicsError: the worker cannot go on with these topics.
            BrokerUnreachableError: it did not answer within `delivery_timeout_s`.
        """
        logs, bounds = await self._look(generation, {partition, *owned})
        stored, meant_stored = store.get_many([LOG_KEY, MEANT_KEY])
        mark = None if stored is None else read_log(stored)
        meant = None if meant_stored is None else (read_meant(meant_stored),)
        events, deltas = logs[self._settings.topic_events], logs[self._settings.topic_item_deltas]
        give_up = time.monotonic() + self._settings.connect_timeout_s
        known = bounds.get((self._settings.topic_events, partition))
        while True:
            if known is None:
                known = await asyncio.to_thread(self._log_ends.bounds, self._settings.topic_events, partition)
            found = Found(events.topic_id, events.partitions, deltas.partitions, *known)
            known = None
            try:
                return judge(self._settings, mark, committed, meant, found)
            except TopicsError:
                # A broker that has just become the partition's leader may not know its end for a moment.
                may_be_short = mark is None or mark.topic_id == found.topic_id
                if not may_be_short or time.monotonic() > give_up:
                    raise
            await asyncio.sleep(ASK_AGAIN_S)

    async def _look(self, generation: int, partitions: Collection[int]) -> tuple[Logs, Bounds]:
        if self._asked is None or self._asked[0] != generation:
            self._asked = generation, asyncio.ensure_future(self._ask(partitions))
        try:
            return await asyncio.shield(self._asked[1])
        except (TopicsError, BrokerUnreachableError):
            self._asked = None
            raise

    async def _ask(self, partitions: Collection[int]) -> tuple[Logs, Bounds]:
        give_up = time.monotonic() + self._settings.delivery_timeout_s
        while True:
            try:
                logs = await asyncio.to_thread(self._topic_logs.ask)
                wrong: UsageError | None = what_is_wrong(self._settings, logs)
                if wrong is None:
                    events = self._settings.topic_events
                    where = [(events, p) for p in partitions if p < logs[events].partitions]
                    return logs, await asyncio.to_thread(self._log_ends.bounds_of, where)
            except BrokerUnreachableError as error:
                wrong = error
            if time.monotonic() > give_up:
                raise wrong
            await asyncio.sleep(ASK_AGAIN_S)
