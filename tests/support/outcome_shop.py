"""A shop whose events go through tracker and commit, for tests of what outcomes earn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from commit_world import World
from kafka_records import NOW_MS, event_record

from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.outcomes.newcomers import RECORD_PREFIX
from stream.partitions.users import UserPartition
from stream.wire.records import (
    OutcomeAttribution,
    StrategyStats,
    read_attribution,
    strategy_stats_decoder,
)
from stream.worker.commit import Committer
from stream.worker.tracker import Tracker


def replicated(key: bytes, value: bytes | None) -> Replicated:
    return Replicated(key, value, 0, 0, NOW_MS)


class Shop(World):
    """A partition whose events are given as fields, with its outcomes as they were written."""

    def __init__(self, path: Path, **settings: Any) -> None:
        super().__init__(path)
        self.settings = self.settings.model_copy(update=settings)
        self.now_ms = NOW_MS
        self.restart()

    def restart(self) -> None:
        """A new worker over what was committed."""
        next_offset = self.users.next_offset
        self.metrics = Metrics()
        self.tracker = Tracker(self.settings, self.metrics)
        self.users = self.tracker.users[0] = UserPartition(0, self.store)
        self.users.next_offset = next_offset
        made: Any = self.broker
        self.committer = Committer(self.settings, self.metrics, self.tracker, made, lambda: made, made.write)
        items = [
            replicated(i.encode(), b'{"item_id":"%s","title":"%s"}' % (i.encode(), i.encode())) for i in ("cup", "pan")
        ]
        self.tracker.replicate_items(items, 0.0)

    def happens(self, *events: dict[str, Any], start: int | None = None) -> None:
        first = (self.users.next_offset or 0) if start is None else start
        records = [
            event_record(
                first + n,
                **(
                    {"user": "ann", "item_id": "cup", "event_time": self.now_ms + n, "timestamp": self.now_ms + n}
                    | fields
                ),
            )
            for n, fields in enumerate(events)
        ]
        intake = self.tracker.read(self.users, records)
        assert intake.refused == []
        self.tracker.apply(self.users, intake, 0.0)
        self.users.next_offset = first + len(records)

    def publishes(self) -> Any:
        """The list that is due."""
        self.now_ms += 1000
        batch = self.tracker.queue.next_batch(9)
        assert batch is not None
        return self.tracker.refresh(0, batch.due, self.now_ms, 0.0)[0]

    @property
    def outcomes(self) -> list[OutcomeAttribution]:
        written = [value for topic, _, value in self.broker.values if topic == self.settings.topic_attributions]
        return [each for each in map(read_attribution, written) if isinstance(each, OutcomeAttribution)]

    @property
    def strategies(self) -> dict[bytes, StrategyStats]:
        """The newest record of each key."""
        topic = self.settings.topic_strategy_stats
        return {
            k: strategy_stats_decoder.decode(v)
            for t, k, v in self.broker.values
            if t == topic and not k.startswith(RECORD_PREFIX)
        }
