"""On Apache Kafka: what is ordinary, odd or away stops no worker."""

from __future__ import annotations

import json
import threading
import time
from hashlib import blake2b, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Producer
from item_records import unpack_record
from kafka_checks import catalogue, differences
from kafka_server import KafkaServer, free_ports
from worker_process import Topics, WorkerProcess

from stream.kafka.topics import create_topics
from stream.state.record import States
from stream.wire.records import recommendation_decoder
from stream.worker.dead_letters import BEGINNING_BYTES

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

_names = count()
DIMS = 8


@pytest.fixture
def topics(kafka: KafkaServer) -> Topics:
    topics = Topics(kafka.bootstrap_servers, f"r{next(_names)}-{time.time_ns():x}")
    create_topics(topics.settings)
    return topics


class _Service(BaseHTTPRequestHandler):
    """An embeddings service: vectors by what is hashed."""

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        vectors = [[float(b) + 1 for b in blake2b(t.encode(), digest_size=DIMS).digest()] for t in texts]
        body = json.dumps({"data": [{"embedding": v, "index": i} for i, v in enumerate(vectors)]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Service:
    def __init__(self, port: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _Service)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def click(topics: Topics, user: str, item: str = "i1") -> None:
    event = {"user_id": user, "item_id": item, "action": "click"}
    topics.produce(topics.settings.topic_events, [(user.encode(), json.dumps(event).encode())])


def encoders(topics: Topics) -> dict[str, str | None]:
    """Which encoder each user's last list was made with."""
    lists = [recommendation_decoder.decode(m.value()) for m in topics.read(topics.settings.topic_recommendations)]
    return {each.user_id: each.model.encoder for each in lists}


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


def test_lists_go_out_without_text_while_the_embeddings_service_is_away_and_with_it_when_it_is_back(
    topics: Topics, tmp_path: Path, port: int
) -> None:
    catalogue(topics, 20)
    remote = {"encoder_model": "m", "encoder_remote_url": f"http://127.0.0.1:{port}/v1", "list_max_age_s": 0}
    with WorkerProcess(topics.settings, tmp_path / "a", **remote) as worker:
        click(topics, "ann")
        worker.wait_for("a list without text", lambda: "ann" in encoders(topics))
        assert encoders(topics)["ann"] is None
        assert worker.metrics()["penchant_encoder_alive"] == 0
        service = Service(port)
        try:
            worker.wait_for("the service", lambda: worker.metrics().get("penchant_item_vectors", 0) >= 20)
            click(topics, "bob")
            worker.wait_for("a list by text", lambda: "bob" in encoders(topics))
            assert str(encoders(topics)["bob"]).startswith("remote:m/")
        finally:
            service.close()
        # Away again: what is new goes without a vector, what has one keeps it.
        topics.produce(topics.settings.topic_items, [(b"new", b'{"item_id":"new","title":"A new one"}')])
        click(topics, "cid")
        worker.wait_for("a list", lambda: "cid" in encoders(topics))
        assert worker.process.poll() is None
        assert worker.terminate() < 15
        assert worker.process.returncode == 0, worker.log


ORDINARY = [
    ["view"] * 10 + ["dislike"],
    ["click"] + ["view"] * 5 + ["dislike"],
    ["view"] * 15 + ["click", "dislike", "dislike"],
]


def test_ordinary_events_and_odd_records_stop_no_worker(topics: Topics, tmp_path: Path) -> None:
    settings = topics.settings
    catalogue(topics, 20)
    huge = json.dumps({"user_id": "big", "action": "view", "item_id": "i1", "text": "x" * 20_000_000}).encode()
    zipped = Producer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "compression.type": "zstd",
            "message.max.bytes": 30_000_000,
            "log_level": 0,
        }
    )
    zipped.produce(settings.topic_events, huge, b"big")
    assert zipped.flush(60) == 0
    topics.produce(
        settings.topic_events,
        [
            (f"u{n}".encode(), json.dumps({"user_id": f"u{n}", "item_id": "i1", "action": action}).encode())
            for n, actions in enumerate(ORDINARY)
            for action in actions
        ],
    )
    amount = {"user_id": "rich", "item_id": "i1", "action": "purchase", "value": 1e308}
    topics.produce(settings.topic_events, [(b"rich", json.dumps(amount).encode())] * 3)
    topics.produce(settings.topic_item_deltas, [(b"i1", b"\xff no delta"), (None, None)])
    topics.produce(settings.topic_item_stats, [(b"i2", b"\xff no statistics")])
    topics.produce(settings.topic_models, [(b"ranker", b'{"kind":"ranker","of":"a later release"}')])
    topics.produce(settings.topic_strategy_stats, [(b"interest/1/0/0", b'{"value":null}')])
    with WorkerProcess(settings, tmp_path / "a") as worker:
        worker.wait_for("everything", topics.all_committed)
        lists = {m.key().decode() for m in topics.read(settings.topic_recommendations)}
        assert lists >= {"u0", "u1", "u2", "rich"}
        assert worker.metrics()["penchant_models_refused_total"] == 1
        letters = {dict(m.headers())["reason"]: m for m in topics.read(settings.topic_dead_letter)}
        assert set(letters) == {b"too_large", b"unreadable"}
        too_large = letters[b"too_large"]
        assert too_large.value() == huge[:BEGINNING_BYTES]
        assert dict(too_large.headers())["whole_sha256"] == sha256(huge).hexdigest().encode()
        assert differences(topics.reference()[0], topics.state()) == {}
        assert worker.terminate() < 15
        assert worker.process.returncode == 0, worker.log


@pytest.mark.parametrize("kind", ["gzip", "zstd", "lz4", "snappy"])
def test_a_batch_that_unpacks_to_more_than_a_worker_may_hold_is_a_dead_letter(
    topics: Topics, tmp_path: Path, kind: str
) -> None:
    settings = topics.settings
    bomb = Producer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "compression.type": kind,
            "message.max.bytes": 40_000_000,
            "partitioner": "murmur2_random",
            "log_level": 0,
        }
    )
    size = 12_000_000 if kind == "snappy" else 30_000_000  # which packs least, and the broker takes a megabyte
    click(topics, "ann")
    bomb.produce(settings.topic_events, b" " * size, b"ann")
    assert bomb.flush(60) == 0
    click(topics, "ann", "i2")
    with WorkerProcess(settings, tmp_path / "a", fetch_buffer_max_bytes=8 << 20, fetch_max_bytes=8 << 20) as worker:
        worker.wait_for("everything", topics.all_committed)
        (letter,) = topics.read(settings.topic_dead_letter)
        headers = dict(letter.headers())
        assert headers["reason"] == b"too_large"
        assert b"unpacks to more than 8388608 bytes" in headers["detail"]
        assert worker.metrics()['penchant_events_total{action="click"}'] == 2
        assert worker.process.poll() is None


def test_items_that_expire_are_tombstones_and_gone_from_a_disk_that_is_made_of_the_changelog(
    topics: Topics, tmp_path: Path
) -> None:
    settings = topics.settings
    catalogue(topics, 2)
    two_days_ago = time.time_ns() // 1_000_000 - 2 * 86_400_000
    junk = [
        {"user_id": f"u{n}", "item_id": f"junk{n}", "action": "click", "event_time": two_days_ago} for n in range(9)
    ]
    topics.produce(settings.topic_events, [(e["user_id"].encode(), json.dumps(e).encode()) for e in junk])  # type: ignore[attr-defined]
    click(topics, "ann", "i1")

    def records() -> dict[bytes, int]:
        newest = {m.key(): m.value() for m in topics.read(settings.topic_item_stats)}
        return {key: unpack_record(value).count for key, value in newest.items() if value is not None}

    with WorkerProcess(settings, tmp_path / "a") as worker:
        worker.wait_for("everything", topics.all_committed)
        worker.wait_for("the statistics", topics.deltas_committed)
        assert records() == {b"i1": 1} | {b"junk%d" % n: 1 for n in range(9)}
        assert worker.terminate() < 15
    wanted = {b"wanted%d" % n: 1 for n in range(20)}
    with WorkerProcess(settings, tmp_path / "a", unknown_item_ttl_days=1) as worker:
        for n in range(20):  # in every partition something happens
            click(topics, f"bob{n}", f"wanted{n}")
        worker.wait_for("expiry", lambda: worker.metrics().get("penchant_items_expired_total", 0) == 9)
        worker.wait_for("its commit", lambda: records() == wanted | {b"i1": 1})
        worker.wait_for("all workers", lambda: worker.metrics().get("penchant_unknown_item_statistics") == 20)
        click(topics, "bob", "junk3")
        worker.wait_for("everything", topics.all_committed)
        worker.wait_for("the statistics", topics.deltas_committed)
        assert records() == wanted | {b"i1": 1, b"junk3": 1}
        worker.kill()
    with WorkerProcess(settings, tmp_path / "b") as worker:  # an empty disk
        click(topics, "cid", "junk3")
        worker.wait_for("everything", topics.all_committed)
        worker.wait_for("the statistics", topics.deltas_committed)
        assert records() == wanted | {b"i1": 1, b"junk3": 2}


def test_users_who_expire_are_tombstones_in_the_changelog_and_gone_from_a_disk_that_is_made_of_it(
    topics: Topics, tmp_path: Path
) -> None:
    settings = topics.settings
    catalogue(topics, 5)
    two_days_ago = time.time_ns() // 1_000_000 - 2 * 86_400_000
    old = [{"user_id": f"old{n}", "item_id": "i1", "action": "click", "event_time": two_days_ago} for n in range(20)]
    topics.produce(settings.topic_events, [(e["user_id"].encode(), json.dumps(e).encode()) for e in old])  # type: ignore[attr-defined]
    for n in range(20):
        click(topics, f"new{n}")
    with WorkerProcess(settings, tmp_path / "a") as worker:
        worker.wait_for("everything", topics.all_committed)
        worker.wait_for("the statistics", topics.deltas_committed)
        assert len(topics.state()) == 40
        assert worker.terminate() < 15
    with WorkerProcess(settings, tmp_path / "a", user_ttl_days=1) as worker:
        worker.wait_for("expiry", lambda: worker.metrics().get("penchant_users_expired_total", 0) == 20)
        worker.wait_for(
            "its commit", lambda: sum(m.value() is None for m in topics.read(settings.changelog_topic)) >= 60
        )
        newest = {m.key(): m.value() for m in topics.read(settings.changelog_topic)}
        assert {
            key for key, value in newest.items() if value is not None and key.startswith((b"old", b"\xffold"))
        } == set()
        lists = {m.key(): m.value() for m in topics.read(settings.topic_recommendations)}
        assert [lists[b"old%d" % n] for n in range(20)] == [None] * 20
        assert all(lists[b"new%d" % n] for n in range(20))
        worker.terminate()
    with WorkerProcess(settings, tmp_path / "b") as worker:  # an empty disk
        click(topics, "old3")
        worker.wait_for("everything", topics.all_committed)
        states = States(1)
        value = {m.key(): m.value() for m in topics.read(settings.changelog_topic)}[b"old3"]
        states.unpack(np.zeros(1, np.int64), [value])
        assert int(states.events[0]) == 1
