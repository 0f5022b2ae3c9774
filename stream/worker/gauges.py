"""The gauges of a worker: how much waits, how old it is, how large state has become."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from stream.kafka.types import TopicPartition
from stream.storage.disk import FIX, LowRoom, free_bytes
from stream.worker.memory import memory_by_part
from stream.worker.parts import WorkerParts

logger = logging.getLogger(__name__)


class Gauges:
    """Set once a second."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts
        self._room = LowRoom()

    def measure(self, lag: Mapping[TopicPartition, int]) -> None:
        """`lag`: records not yet applied of every partition that this worker owns."""
        self._measure_queues()
        self._measure_state()
        self._measure_memory()
        self._measure_disk()
        self._measure_lag(lag)

    def _measure_queues(self) -> None:
        output, work, tracker = self._parts.metrics.output, self._parts.metrics.work, self._parts.tracker
        now, since = time.monotonic(), tracker.queue.oldest_waiting_since()
        output.refresh_queue.set(len(tracker.queue))
        output.event_users.set(tracker.queue.event_users)
        output.refresh_age.set(0 if since is None else now - since)
        owed_since_ms = tracker.queue.owed_since_ms
        output.owed_users.set(tracker.queue.owed_users)
        output.owed_age.set(0 if owed_since_ms is None else max(0.0, time.time() - owed_since_ms / 1000))
        output.producer_queue.set(self._parts.producer.queued)
        work.commit_age.set(now - self._parts.committer.last_completed_s)

    def _measure_state(self) -> None:
        work, tracker = self._parts.metrics.work, self._parts.tracker
        work.dirty_users.set(sum(users.overlay.n_dirty for users in tracker.users.values()))
        work.overlay_bytes.set(tracker.nbytes)
        for table, stores in (("users", self._parts.user_stores), ("items", self._parts.item_stores)):
            work.state_bytes.labels(table).set(sum(stores[p].size_bytes() for p in stores))
            work.state_keys.labels(table).set(sum(stores[p].key_count() for p in stores))

    def _measure_memory(self) -> None:
        for part, n_bytes in memory_by_part(self._parts).items():
            self._parts.metrics.work.memory_bytes.labels(part).set(n_bytes)

    def _measure_disk(self) -> None:
        path, free = self._parts.settings.data_dir, free_bytes(self._parts.settings.data_dir)
        if self._room.becomes_low(free):
            logger.warning("only %.1f GiB are free for data directory %s. Fix: %s", free / 2**30, path, FIX)

    def _measure_lag(self, lag: Mapping[TopicPartition, int]) -> None:
        metrics = self._parts.metrics
        metrics.input.lag.clear()  # else partitions that went would keep their last value
        for tp, records in lag.items():
            metrics.input.lag.labels(tp.topic, tp.partition).set(records)
        metrics.worker.partitions.set(sum(tp.topic == self._parts.settings.topic_events for tp in lag))
