"""Do the reasons add up? Every list of a whole replay: score less contributions and impersonal parts, as a share of the score,
before numbers are rounded; the largest gap of each list.

The tracker that serves, in this process: events in chunks, statistics after each, every user whose events came refreshed.
Default: the sample of the demo; any other file by `--events`. Not a matter of speed: above 1e-6 a worker stops.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.files.mapping import parse_mapping
from stream.files.reading import FileRecord, read_events, read_items
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.params import decode_limits
from stream.partitions.items import ItemPartition
from stream.partitions.users import UserPartition
from stream.settings import Settings, load_settings
from stream.storage.rocks import DataDirectory
from stream.worker.tracker import Tracker

SAMPLE: Final = Path(__file__).parents[1] / "stream" / "files" / "sample"
SAMPLE_EVENTS: Final = "user_id=CustomerID,item_id=StockCode,action=:purchase,event_time=InvoiceDate"
SAMPLE_ITEMS: Final = "item_id=StockCode,title=Description,price=UnitPrice"
CHUNK: Final = 500


class _Record(NamedTuple):
    """What a tracker reads of a Kafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes
    value: bytes


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        data = DataDirectory(Path(directory), settings.block_cache_bytes, settings.write_buffer_bytes)
        gaps, reasons = _gaps(settings, data, options)
        data.close()
    return {
        "lists": float(len(gaps)),
        "reasons": float(reasons),
        "gap_p50": float(np.percentile(gaps, 50)),
        "gap_p99": float(np.percentile(gaps, 99)),
        "gap_max": float(gaps.max()),
    }


def _gaps(settings: Settings, data: DataDirectory, options: argparse.Namespace) -> tuple[NDArray[np.float64], int]:
    users_, items_ = data.stores("users"), data.stores("items")
    tracker = Tracker(settings, Metrics())
    users = tracker.users[0] = UserPartition(0, users_[0])
    items = ItemPartition(items_[0], settings.neighbours_max)
    now_ms = time.time_ns() // 1_000_000
    catalogue = read_items(
        options.items, parse_mapping(options.item_map, "item"), limits=decode_limits(settings), now_ms=now_ms
    )
    tracker.replicate_items(
        [Replicated(each.key, each.value, 0, 0, 0) for each in catalogue if isinstance(each, FileRecord)], 0.0
    )
    gaps: list[float] = []
    reasons = 0
    for records in _chunks(settings, options):
        tracker.apply(users, tracker.read(users, records), 0.0)
        users.next_offset = records[-1].offset + 1
        deltas = users.take_deltas(settings.pair_decay, settings.forward_decay, tracker.knowledge.names)
        items.apply([_Record("", 0, n, 0, key, value) for n, (key, value) in enumerate(deltas)])
        snapshot = items.take().stored
        tracker.replicate_stats([Replicated(k, v, 0, 0, 0) for k, v in zip(*snapshot, strict=True)], 0.0)
        users.outcomes.take()
        while (batch := tracker.queue.next_batch(settings.refresh_batch_users)) is not None:
            for published in tracker.refresh(0, batch.due, time.time_ns() // 1_000_000, 0.0):
                assert published is not None, "a user is quarantined"
                if published.reasons is not None:
                    gaps.append(published.reasons.gap)
                    reasons += len(published.list.record.items)
    for stores in (users_, items_):
        stores.close_all()
    return np.array(gaps or [0.0]), reasons


def _chunks(settings: Settings, options: argparse.Namespace) -> Iterator[list[Any]]:
    now_ms = time.time_ns() // 1_000_000
    rows = read_events(options.events, parse_mapping(options.map), limits=decode_limits(settings), now_ms=now_ms)
    good = (row for row in rows if isinstance(row, FileRecord))
    offset = 0
    while chunk := list(islice(good, CHUNK)):
        yield [_Record(settings.topic_events, 0, offset + n, now_ms, row.key, row.value) for n, row in enumerate(chunk)]
        offset += len(chunk)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=completeness ARGS=")
    parser.add_argument("--events", type=Path, default=SAMPLE / "events.csv.gz", help="default: the demo's sample")
    parser.add_argument("--map", default=SAMPLE_EVENTS, help="as `penchant replay --map`")
    parser.add_argument("--items", type=Path, default=SAMPLE / "items.csv.gz", help="their catalogue")
    parser.add_argument("--item-map", default=SAMPLE_ITEMS, help="as `penchant items load --map`")
    return parser.parse_args(arguments)
