"""Whether the worker still works: how far each partition is, what the broker has beyond it, and what the watchdog looks at."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from stream.errors import BrokerUnreachableError, PenchantError
from stream.kafka.engine.engine import Engine
from stream.kafka.group import others_on, two_groups
from stream.kafka.log_ends import LogEnds
from stream.kafka.log_rules import Logs, what_changed, what_is_wrong
from stream.kafka.logs import TopicLogs
from stream.kafka.types import TopicPartition
from stream.metrics import Metrics
from stream.settings import Settings
from stream.worker.commit import Committer
from stream.worker.holdings import Holdings
from stream.worker.tracker import Tracker
from stream.worker.watchdog import Position, Vitals

logger = logging.getLogger(__name__)

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
        topic_logs: TopicLogs,
        on_topics: Callable[[Logs, Collection[str]], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        """
        Args:
            settings, metrics, engine, tracker, committer, log_ends, topic_logs: the worker's.
            on_topics: hears now and then what topics there are, and which of them were made again and are to be read anew.
            on_fatal: hears why this worker cannot go on: not as a member of its group, or not with these topics.
        """
        self._settings, self._metrics, self._engine = settings, metrics, engine
        self._tracker, self._committer, self._log_ends = tracker, committer, log_ends
        self._topic_logs, self._on_topics, self._on_fatal = topic_logs, on_topics, on_fatal
        self._told: frozenset[str] = frozenset()
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
        return self._lag_from(self.next_offsets())

    def _lag_from(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        consumer = self._engine.consumer
        return {tp: max(0, (consumer.log_end(tp) or 0) - offset) for tp, offset in offsets.items()}

    def sample(self) -> None:
        """Called in each of the watchdog's turns."""
        vitals, engine = self.vitals, self._engine
        if (error := engine.consumer.group_error()) is not None:
            self._on_fatal(error)
        vitals.commits = self._committer.last_completed_s
        vitals.recovered_chunks = engine.recovered_chunks
        vitals.rebalancing = engine.consumer.joining
        vitals.rebalances = engine.rebalances
        vitals.recovering = engine.is_recovering
        self._metrics.input.fetched_bytes.set(engine.consumer.unapplied_bytes())
        self._tell(vitals)
        offsets = self.next_offsets()
        vitals.positions = {tp: Position(at, self._behind.get(tp, 0)) for tp, at in offsets.items()}
        vitals.lag_records = sum(self._lag_from(offsets).values())

    def _tell(self, vitals: Vitals) -> None:
        consumer, now = self._engine.consumer, time.monotonic()
        held = [owned.partition for owned in consumer.owned((self._settings.topic_events,))]
        self._holdings.look(held, settled=not vitals.rebalancing and not vitals.recovering, now_s=now)
        if not vitals.rebalancing and math.isfinite(silent_s := consumer.unconfirmed_s()):
            self._holdings.hear(silent_s, now)

    async def watch_log_ends(self) -> None:
        """Find out which partitions are behind. The broker is asked: a fetch that has died sees no new end of the log.

        Returns where a topic is gone, or is not as it has to be: the worker is about to end then. Faust would go on for ever.
        """
        at_start = await self._ask_topics()
        interval_s = min(WATCH_ENDS_S, self._settings.watchdog_stall_s / 4) or WATCH_ENDS_S
        before: dict[TopicPartition, int] = {}
        wrong = 0
        while True:
            await asyncio.sleep(interval_s)
            try:
                at_start, wrong = await self._check_topics(at_start, wrong)
            except PenchantError as error:  # told in one line; what Faust hears of comes with a traceback
                self._on_fatal(error)
                return
            offsets = self.next_offsets()
            unmoved = [tp for tp, offset in offsets.items() if before.get(tp) == offset]
            self._behind = await asyncio.to_thread(self._records_behind, {tp: offsets[tp] for tp in unmoved})
            before = offsets

    async def _check_topics(self, before: Logs | None, wrong: int) -> tuple[Logs | None, int]:
        """The topics as they were at the start, and how many times in a row they were not as they have to be.

        Raises:
            TopicsError: twice in a row.
            StuckError: one was made again that a worker can begin to read anew.
        """
        now = await self._ask_topics()
        if now is None:
            return before, wrong
        why = what_is_wrong(self._settings, now)
        if why is not None:
            if wrong:  # a broker that has just started may not know them all yet
                raise why
            return before, wrong + 1
        if before is None:
            return now, 0
        changed = what_changed(self._settings, before, now)
        if changed.why_stop is not None:
            raise changed.why_stop
        for line in changed.told:
            if line not in self._told:
                logger.warning("%s", line)
        self._told |= set(changed.told)
        self._on_topics(now, changed.anew)
        # Two groups that start at once do not see each other; of them the later by name gives way.
        others = await asyncio.to_thread(others_on, self._settings, (self._settings.topic_item_deltas,))
        before_us = {group: member for group, member in others.items() if group < self._settings.group_id}
        if (shared := two_groups(self._settings, before_us)) is not None:
            raise shared
        return {name: now[name] if name in changed.anew else log for name, log in before.items()}, 0

    async def _ask_topics(self) -> Logs | None:
        """None where the broker does not answer: a commit will tell if that lasts."""
        try:
            return await asyncio.to_thread(self._topic_logs.ask)
        except BrokerUnreachableError:
            return None

    def _records_behind(self, offsets: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
        try:
            bounds = self._log_ends.bounds_of([(tp.topic, tp.partition) for tp in offsets])
        except BrokerUnreachableError:  # then it is not this worker that is stuck; a commit will tell if that lasts
            return {}
        behind = {}
        for tp, offset in offsets.items():
            low, high = bounds[tp.topic, tp.partition]
            behind[tp] = max(0, high - max(low, offset))
        return behind
