"""Memory stays bounded whatever producers send, on Apache Kafka."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka_checks import differences
from kafka_server import KafkaServer
from worker_process import TIMEOUT_S, Topics, WorkerProcess

from models.items.vectors import vector_bytes
from stream.kafka.topics import create_topics

MIB = 1 << 20


@pytest.mark.kafka
@pytest.mark.timeout(500)
def test_a_flood_of_large_records_is_read_in_pieces_that_fit_the_buffer(kafka: KafkaServer, tmp_path: Path) -> None:
    # 1.3 GB that compress to next to nothing: what bounds a fetch in compressed bytes does not bound them.
    records, size, buffer = 1500, 900_000, 32 * MIB
    topics = Topics(kafka.bootstrap_servers, f"flood-{time.time_ns():x}", fetch_buffer_max_bytes=buffer)
    create_topics(topics.settings)
    value = b'{"user_id":"u","item_id":"i","action":"view","padding":"' + b" " * size + b'"}'
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "compression.type": "zstd", "linger.ms": 100, "batch.size": 8_000_000,
         "message.max.bytes": 8_000_000}
    )  # fmt: skip
    for _ in range(records):
        producer.produce(topics.settings.topic_events, value, b"u", partition=0)
        while len(producer) > 50:
            producer.poll(0.05)
    assert producer.flush(TIMEOUT_S) == 0
    with WorkerProcess(topics.settings, tmp_path / "a") as worker:
        seen = []

        def done() -> bool:
            seen.append(worker.metrics().get("penchant_fetched_bytes", 0))
            return topics.all_committed()

        worker.wait_for("everything", done, timeout_s=200)
        assert worker.metrics()['penchant_events_total{action="view"}'] == records
        assert max(seen) <= buffer + buffer // 8 + size + 100
        assert _peak_bytes(worker) < 600 * MIB


TENTH_BYTES = 104 * MIB
"""Of it every part has a tenth of the most that it is given by default."""

BOUND_OF = {
    "states": "overlay_max_bytes",
    "ledgers": "overlay_max_bytes",
    "block_cache": "block_cache_bytes",
    "write_buffers": "write_buffer_bytes",
    "fetched": "fetch_buffer_max_bytes",
    "item_records": "item_records_max_bytes",
    "statistics": "statistics_max_bytes",
    "vectors": "vectors_max_bytes",
}


@pytest.mark.kafka
@pytest.mark.timeout(500)
def test_at_a_tenth_of_the_memory_every_part_keeps_to_its_bound_and_everything_is_right(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    topics = Topics(
        kafka.bootstrap_servers,
        f"tenth-{time.time_ns():x}",
        memory_max_bytes=TENTH_BYTES,
        encoder_model="hashing",
        user_ttl_days=0,
    )
    settings, rng = topics.settings, random.Random(5)
    create_topics(settings)
    items = 25_000  # more than have room: 21,300 vectors, 1,700 rows of neighbours
    topics.produce(
        settings.topic_items,
        [(f"i{n}".encode(), json.dumps({"item_id": f"i{n}", "title": f"Thing {n}"}).encode()) for n in range(items)],
    )

    def event(user: str, item: int, n: int) -> tuple[bytes, bytes]:
        said = {"event_id": str(n), "user_id": user, "item_id": f"i{item}", "action": "click", "note": "x" * 500}
        return user.encode(), json.dumps(said).encode()

    users = [f"u{n}" for n in range(30_000)]
    wanted = [
        *(rng.randrange(6_000) for _ in range(80_000)),
        *range(items, items + 1_000),
    ]  # the last are in no catalogue
    topics.produce(settings.topic_events, [event(rng.choice(users), item, n) for n, item in enumerate(wanted)])
    most: dict[str, float] = {}
    with WorkerProcess(settings, tmp_path / "a") as worker:

        def done() -> bool:
            now = worker.metrics()
            for part in BOUND_OF:
                most[part] = max(most.get(part, 0), now.get(f'penchant_memory_bytes{{part="{part}"}}', 0))
            return now.get("penchant_item_vectors_waiting") == 0 and topics.all_applied()

        worker.wait_for("everything", done, timeout_s=200)
        worker.wait_for("the statistics", topics.deltas_committed, timeout_s=150)
        done()
        seen = worker.metrics()
        assert worker.terminate() < 30
    state, _ = topics.reference()
    assert differences(state, topics.state()) == {}
    print({part: f"{most[part] / MIB:.1f} of {getattr(settings, BOUND_OF[part]) / MIB:.1f} MB" for part in BOUND_OF})
    for part, bound in BOUND_OF.items():
        assert most[part] <= 1.1 * getattr(settings, bound) + MIB, part
    assert seen["penchant_item_vectors_without_room"] == items - settings.vectors_max_bytes // vector_bytes(64)
    assert seen["penchant_items_without_neighbours"] > 1000
    assert seen["penchant_items_uncounted_total"] > 500


def _peak_bytes(worker: WorkerProcess) -> int:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) << 10
