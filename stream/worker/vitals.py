"""Whether the worker still works: how far each partition is, what the broker has beyond it, and what the watchdog looks at."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from stream.errors import BrokerUnreachableError, TopicsError
from stream.kafka.engine.engine import Engine
from stream.kafka.topics import LogEnds, check_topics
from stream.kafka.types import TopicPartition
from stream.metrics import Metrics
from stream.settings import Settings
from stream.worker.commit import Committer
from stream.worker.holdings import Holdings
from stream.worker.tracker import Tracker
from stream.worker.watchdog import Position, Vitals

WATCH_ENDS_S: Final = 10.0

SILENT_SHARE: Final = 2 / 3
"""Of the session timeout: after two heartbeats without an answer somebody should know."""


class VitalSigns:
    """Read on the event loop."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        engine: Engine,
        tracker: Tracker,
        committer: Committer,
        log_ends: LogEnds,
        on_group_error: Callable[[BaseException], None],
    ) -> None:
        """`on_group_error` hears why this worker cannot be a member of its group."""
        self._settings, self._metrics, self._engine = settings, metrics, engine
        self._tracker, self._committer, self._log_ends = tracker, committer, log_ends
        self._on_group_error = on_group_error
        self._behind: dict[TopicPartition, int] = {}
        self._holdings = Holdings(settings.session_timeout_s * SILENT_SHARE)
        self.vitals = Vitals()
        """For the watchdog; `sample` keeps it current."""

    def next_offsets(self) -> dict[TopicPartition, int]:
        """Offset from which each partition that this worker owns is still to be applied."""
        settings, consumer = self._settings, self._engine.consumer
        applied = {TopicPartition(settings.topic_events, p): u.next_offset for p, u in self._tracker.users.items()}
        applied |= {
            TopicPartition(settings.topic_item_deltas, p): i.next_offset for p, i in self._tracker.items.items()
        }
        offsets = {}
        for owned in consumer.owned((settings.topic_events, settings.topic_item_deltas)):
            tp = TopicPartition(*owned)
            next_offset = applied.get(tp)
            if next_offset is None:  # nothing has come since the partition was assigned
                next_offset = consumer.committed_offset(owned)
            offsets[tp] = next_offset or 0
        return offsets

    def lag(self) -> dict[TopicPartition, int]:
        """Records not yet applied, of every partition this worker owns."""
        consumer = self._engine.consumer
        return {tp: max(0, (consumer.log_end(tp) or 0) - offset) for tp, offset in self.next_offsets().items()}

    def sample(self) -> None:
        """Called in each of the watchdog's turns."""
        vitals, engine = self.vitals, self._engine
        if (error := engine.consumer.group_error()) is not None:
            self._on_group_error(error)
        vitals.commits = self._committer.last_completed_s
        vitals.recovered_chunks = engine.recovered_chunks
        vitals.rebalancing = engine.consumer.joining
        vitals.rebalances = engine.rebalances
        vitals.recovering = engine.is_recovering
        self._metrics.input.fetched_bytes.set(engine.consumer.unapplied_bytes())
        self._tell(vitals)
        vitals.positions = {tp: Position(at, self._behind.get(tp, 0)) for tp, at in self.next_offsets().items()}

    def _tell(self, vitals: Vitals) -> None:
        consumer, now = self._engine.consumer, time.monotonic()
        held = [owned.partition for owned in consumer.owned((self._settings.topic_events,))]
        self._holdings.look(held, settled=not vitals.rebalancing and not vitals.recovering, now_s=now)
        if not vitals.rebalancing and math.isfinite(silent_s := consumer.unconfirmed_s()):
            self._holdings.hear(silent_s, now)

    async def watch_log_ends(self) -> None:
        """Find out which partitions are behind. The broker is asked: a fetch that has died sees no new end of the log.

        Raises:
            TopicsError: a topic is gone, or has another partition count. Faust would go on without it, for ever.
        """
        interval_s = min(WATCH_ENDS_S, self._settings.watchdog_stall_s / 4) or WATCH_ENDS_S
        before: dict[TopicPartition, int] = {}
        wrong = 0
        while True:
            await asyncio.sleep(interval_s)
            wrong = await self._check_topics(wrong)
            offsets = self.next_offsets()
            unmoved = [tp for tp, offset in offsets.items() if before.get(tp) == offset]
            self._behind = await asyncio.to_thread(self._records_behind, {tp: offsets[tp] for tp in unmoved})
            before = offsets

    async def _check_topics(self, wrong: int) -> int:
        """Times in a row that a topic was missing or had the wrong partition count."""
        try:
            await asyncio.to_thread(check_topics, self._settings)
        except TopicsError:
            if wrong:  # a broker that has just started may not know them all yet
                raise
            return wrong + 1
        except BrokerUnreachableError:
            return wrong
        return 0

    def _records_behind(self, offsets: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        behind = {}
        try:
            for tp, offset in offsets.items():
                low, high = self._log_ends.bounds(tp.topic, tp.partition)
                behind[tp] = max(0, high - max(low, offset))
        except BrokerUnreachableError:  # then it is not this worker that is stuck; a commit will tell if that lasts
            return {}
        return behind
