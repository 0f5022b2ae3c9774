"""The loops of one worker: fresh lists, commits, gauges. What comes in is `chunks`, Faust's side is `app`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stream.kafka.types import TopicPartition
from stream.refresh.outgoing import is_published
from stream.refresh.publish import PlacedList, Published
from stream.refresh.queue import Batch
from stream.refresh.scheduler import Scheduler
from stream.tracing.traces import Traced
from stream.worker.chunks import BACK_PRESSURE_POLL_S, ChunkHandler
from stream.worker.gauges import Gauges
from stream.worker.inheritance import Inheritance
from stream.worker.parts import WorkerParts
from stream.worker.refused_items import TELLER
from stream.worker.tracker import RULE_SLICES

MEASURE_INTERVAL_S: Final = 1.0
TOGETHER_S: Final = 0.01
"""Batches follow each other so long before all else has its turns. A batch is of one partition, so with 256 of them nearly all
are of one user, 2 ms; and each turn may wait a millisecond for Python's lock, while Faust's thread reads."""

TURNS_AFTER_BATCH: Final = 20
"""Of the event loop, for all else. Events pass some ten of them from the fetch to the queue; with one turn after each batch
they would wait for as many batches, and be late before anybody knows of them. A turn in which nobody has anything to do costs
some 20 µs."""


class Worker:
    """Refreshes users, commits, measures. All methods run on the event loop."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts, self._settings, self._metrics = parts, parts.settings, parts.metrics
        self._tracker, self._committer, self._producer = parts.tracker, parts.committer, parts.producer
        self._topics = parts.settings.placement_topics()
        self._due = asyncio.Event()
        self._has_ended_usual_commits = False
        self.left_lists = 0
        """Users who waited for a list, with an event or because it was late, when partitions were last given up: the next
        owner reads those events again, or finds the marks."""
        self._gauges = Gauges(parts)
        self._scheduler = Scheduler(
            parts.tracker.queue, parts.settings.refresh_batch_users, parts.settings.list_deadline_s, time.monotonic()
        )
        self.chunks = ChunkHandler(parts, self.wake)
        self._inheritance = Inheritance(parts, self.chunks.opened, self.wake)

    # --- refresh ---

    async def refresh_forever(self) -> None:
        """Publish fresh lists, the longest-waiting users first; all else has its turn after every batch."""
        while True:
            await self._due.wait()
            self._due.clear()
            due = self._parts.replicas_caught_up()
            while due:
                # A list from a worker that has lost its partitions, and does not know it yet, would replace a newer one.
                if self._parts.membership.consumer.is_member():
                    due = self.refresh_some()
                    for _ in range(TURNS_AFTER_BATCH if due else 0):
                        await asyncio.sleep(0)
                else:
                    await asyncio.sleep(BACK_PRESSURE_POLL_S)

    def wake(self) -> None:
        """Something became due that no event announced."""
        self._due.set()

    def refresh_some(self) -> bool:
        """One batch, or several small ones; False when nobody is due any more."""
        until, users = time.monotonic() + TOGETHER_S, 0
        while n := self.refresh_once():
            users += n
            if users >= self._settings.refresh_batch_users or time.monotonic() >= until:
                return True
        return False

    def refresh_once(self) -> int:
        """Rank and publish one batch; how many users are in it, 0 when nobody is due."""
        started, scheduler, late_before = time.monotonic(), self._scheduler, self._scheduler.late_lists
        batch = scheduler.next_batch(started)
        self._metrics.output.late.inc(scheduler.late_lists - late_before)
        if batch is None:
            return 0
        started_ns = time.time_ns()
        published = self._tracker.refresh(batch.partition, batch.due, started_ns // 1_000_000, started)
        self._publish(batch, published, self._ranked(batch, started_ns))
        for each in self._tracker.refresher.quarantine.take():
            self._parts.dead_letters.quarantined(batch.partition, each)
        scheduler.took(batch, time.monotonic() - started)
        self._metrics.output.owed_users.set(self._tracker.queue.owed_users)
        return len(batch.due)

    def _ranked(self, batch: Batch, started_ns: int) -> Mapping[bytes, Traced]:
        traces = self._parts.traces
        if traces is None:
            return {}
        return traces.ranked(batch.partition, [due.key for due in batch.due], started_ns, time.time_ns())

    def _publish(self, batch: Batch, published: Sequence[Published | None], traced: Mapping[bytes, Traced]) -> None:
        for due, each in zip(batch.due, published, strict=True):
            if each is None:
                continue
            self._publish_others(due.key, each.others)
            if not is_published(each.changed, due):
                continue
            key, reasons = due.key, each.reasons
            trace = traced.get(key)
            headers = None if trace is None else trace.headers
            self._producer.send(self._settings.topic_recommendations, key, each.list.value, headers=headers)
            if reasons is not None:
                self._producer.send(self._settings.topic_attributions, key, reasons.value)
                self._metrics.output.attributions.inc()
            self._metrics.output.recommendations.labels(due.trigger).inc()
            # Nobody knows how fresh an answer is to an event without a Kafka timestamp (-1).
            if due.first_offset is not None and due.oldest_timestamp_ms >= 0:
                self._metrics.output.freshness_seconds.observe(
                    max(0.0, time.time() - due.oldest_timestamp_ms / 1000),
                    None if trace is None else {"trace_id": trace.trace_id},
                )
            if due.owed_since_ms is not None and due.owed_since_ms >= 0:
                self._metrics.output.owed_seconds.observe(max(0.0, time.time() - due.owed_since_ms / 1000))

    def _publish_others(self, key: bytes, lists: Sequence[PlacedList]) -> None:
        for each in lists:
            self._producer.send(self._topics[each.placement], key, each.list.value)
            if each.reasons is not None:
                self._producer.send(self._settings.topic_attributions, key, each.reasons.value)
                self._metrics.output.attributions.inc()
            self._metrics.output.placement_lists.labels(each.placement).inc()

    # --- commit ---

    async def commit_forever(self) -> None:
        """A commit every `commit_interval_s`, counted from the end of the last one, until `end_usual_commits`."""
        while True:
            await asyncio.sleep(self._settings.commit_interval_s)
            if self._has_ended_usual_commits:
                return
            await self._committer.commit(whole=False)

    async def end_usual_commits(self) -> None:
        """Begin no more of them, and wait for the one that is being made. To be called before Faust stops: it cancels whatever
        runs in it, and a commit that is cancelled has failed."""
        self._has_ended_usual_commits = True
        await self._committer.settled()

    async def revoke(self, revoked: frozenset[TopicPartition]) -> None:
        """Partitions are being taken away (or the worker stops): make their state durable, then forget it."""
        self.chunks.revoked()
        await self._committer.commit()
        self._metrics.worker.rebalances.inc()
        gone = [tp.partition for tp in revoked if tp.topic == self._settings.topic_events]
        self.left_lists = self._tracker.queue.waiting_in(gone)
        if self._parts.traces is not None:
            self._parts.traces.forget(gone)
        self._tracker.forget(gone, [tp.partition for tp in revoked if tp.topic == self._settings.topic_item_deltas])

    def _tell_of_refused_items(self) -> None:
        refused, users = self._tracker.refused_items, self._tracker.users.get(TELLER)
        # Beside a newer owner it must not be told: its mark would never be committed, and the new owner tells, too.
        if users is not None and len(refused) and self._parts.membership.consumer.is_member():
            refused.tell(users, self._parts.dead_letters, self._settings.topic_items, self._settings.topic_dead_letter)

    # --- gauges ---

    async def measure_forever(self, lag: Callable[[], Mapping[TopicPartition, int]]) -> None:
        """Keep the gauges current, let the producer report its errors, and queue users whose lists have become old, or were
        left to be made by the last owner of a partition."""
        while True:
            self._producer.serve()
            self._tracker.requeue_aged(time.monotonic())
            self._tracker.weigh_strategies()
            self._tracker.look_at_rules(time.monotonic(), RULE_SLICES)
            self.wake()
            records = lag()
            self._gauges.measure(records)
            await self._inheritance.take_up(list(records))
            self._tell_of_refused_items()
            await asyncio.sleep(MEASURE_INTERVAL_S)
