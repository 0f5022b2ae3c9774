"""Memory stays bounded whatever producers send, on Apache Kafka."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka_server import KafkaServer
from worker_process import TIMEOUT_S, Topics, WorkerProcess

from stream.kafka.topics import create_topics

MIB = 1 << 20


@pytest.mark.kafka
@pytest.mark.timeout(300)
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


def _peak_bytes(worker: WorkerProcess) -> int:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) << 10
