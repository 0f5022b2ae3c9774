"""What the loops of a worker work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stream.kafka.engine.transport import ChunkConsumer
from stream.kafka.producer import RecordProducer
from stream.metrics import Metrics
from stream.settings import Settings
from stream.storage.rocks import DataDirectory, PartitionStores
from stream.tracing.traces import Traces
from stream.worker.commit import Committer
from stream.worker.dead_letters import DeadLetters
from stream.worker.tracker import Tracker
from stream.worker.which_log import WhichLog


class Membership(Protocol):
    """Of the consumer group; see `stream.kafka.engine.engine.Engine`."""

    @property
    def consumer(self) -> ChunkConsumer: ...

    @property
    def generation(self) -> int: ...


@dataclass(frozen=True, slots=True)
class WorkerParts:
    """Made by `app`, shared by `Worker`, `ChunkHandler` and `Gauges`."""

    settings: Settings
    metrics: Metrics
    tracker: Tracker
    committer: Committer
    producer: RecordProducer
    dead_letters: DeadLetters
    directory: DataDirectory
    user_stores: PartitionStores
    item_stores: PartitionStores
    membership: Membership
    replicas_caught_up: Callable[[], bool]
    """Whether catalogue, item statistics, models and what strategies earned have been read to their ends."""
    traces: Traces | None = None
    """Of some events; None: of none."""
    kept_ms: Callable[[str], int | None] = lambda _: None
    """How long the broker keeps records of a topic, ms; None: for ever, or it does not tell."""
    which_log: WhichLog | None = None
    """Asked before a partition is opened; None: whatever there is is taken for the right log."""
