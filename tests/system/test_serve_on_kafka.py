"""On Apache Kafka: `penchant serve` follows through kills and restarts, and what was sent is in the list asked for next."""

from __future__ import annotations

import json
import random
import threading
import time
from base64 import b64encode
from itertools import count
from pathlib import Path

import pytest
from kafka_for_tests import running
from kafka_server import KafkaServer
from serve_process import ServeProcess
from serve_world import ITEMS, PEOPLE, behaviours, item
from worker_process import Topics, WorkerProcess

from stream.kafka.topics import create_topics
from stream.wire.pseudonyms import KeyRing

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

_names = count()


def shop(bootstrap_servers: str) -> Topics:
    topics = Topics(bootstrap_servers, f"s{next(_names)}-{time.time_ns():x}", partitions=3)
    create_topics(topics.settings)
    topics.produce(topics.settings.topic_items, map(item, range(ITEMS)))
    topics.produce(topics.settings.topic_events, behaviours())
    return topics


def published(topics: Topics) -> dict[str, str]:
    newest = {m.key().decode(): m.value() for m in topics.read(topics.settings.topic_recommendations)}
    return {user: json.loads(value)["recommendation_id"] for user, value in newest.items()}


def served(serve: ServeProcess) -> dict[str, str]:
    answers = {f"u{p}": serve.get(f"/v1/users/u{p}/recommendations") for p in range(PEOPLE)}
    return {user: answer["recommendation_id"] for user, answer in answers.items() if answer["how"] == "published"}


def states(serve: ServeProcess) -> dict[str, list[str]]:
    people = (serve.get(f"/v1/users/u{p}") for p in range(PEOPLE))
    return {person["user_id"]: [each["key"] for each in person["behaviours"]] for person in people}


def test_what_is_served_is_what_was_published_through_kills_of_both(kafka: KafkaServer, tmp_path: Path) -> None:
    topics = shop(kafka.bootstrap_servers)
    settings = topics.settings
    worker = WorkerProcess(settings, tmp_path / "worker")
    one, other = ServeProcess(settings, tmp_path / "one"), ServeProcess(settings, tmp_path / "other")
    chance = random.Random(5)
    with worker, one, other:
        worker.wait_for("everything is committed", topics.all_committed)
        for each in (one, other):
            each.until_ready()
        for round_ in range(3):
            stop = threading.Event()

            def send(stop: threading.Event = stop, round_: int = round_) -> None:
                for step in range(400):
                    user, number = f"u{chance.randrange(PEOPLE)}", chance.randrange(ITEMS)
                    event = {
                        "user_id": user,
                        "action": "click",
                        "item_id": f"i{number}",
                        "event_id": f"{round_}-{step}",
                    }
                    topics.produce(settings.topic_events, [(user.encode(), json.dumps(event).encode())])
                    if stop.is_set():
                        return

            sending = threading.Thread(target=send)
            sending.start()
            one.kill()
            worker.kill()  # its transaction is left open, and aborted by the next one
            worker.start()
            one.start()
            one.until_ready()
            sending.join(120)
            stop.set()
            worker.wait_for("everything is committed", topics.all_committed)
        for each in (one, other):
            each.wait_for("the same lists", lambda each=each: served(each) == published(topics))
        assert states(one) == states(other)
        assert set(published(topics)) == {f"u{p}" for p in range(PEOPLE)}
        assert "Traceback" not in one.log + other.log


def test_every_event_that_was_acknowledged_is_in_the_next_list_that_is_asked_for(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    topics = shop(kafka.bootstrap_servers)
    chance = random.Random(7)
    with (
        WorkerProcess(topics.settings, tmp_path / "worker") as worker,
        ServeProcess(topics.settings, tmp_path / "serve") as serve,
    ):
        worker.wait_for("everything is committed", topics.all_committed)
        serve.until_ready()
        for step in range(60):
            user = f"u{chance.randrange(PEOPLE)}"
            event = {
                "user_id": user,
                "action": "click",
                "item_id": f"i{chance.randrange(ITEMS)}",
                "event_id": f"e{step}",
            }
            sent = serve.post("/v1/events", event, 201)
            asked = {"min_offset": sent["offset"]} if step % 2 else {"after": f"e{step}"}
            answer = serve.get(f"/v1/users/{user}/recommendations", wait_ms=10_000, **asked)
            assert answer["fresh"], step
            assert answer["source"]["offset"] >= sent["offset"]
            # Ranked on the spot: by the state, which is here a commit later.
            ranked = serve.get(f"/v1/users/{user}/recommendations", n=30, wait_ms=10_000, **asked)
            assert (ranked["how"], ranked["fresh"]) == ("ranked", True)
            assert ranked["source"]["offset"] >= sent["offset"]
            behaviour = serve.get(f"/v1/users/{user}")["behaviours"]
            assert any(b["item_id"] == event["item_id"] for b in behaviour)


def test_while_the_broker_is_away_answers_are_stale_and_afterwards_they_go_on(tmp_path: Path) -> None:
    with running(KafkaServer(tmp_path / "kafka")) as server:
        topics = shop(server.bootstrap_servers)
        with (
            WorkerProcess(topics.settings, tmp_path / "worker") as worker,
            ServeProcess(topics.settings, tmp_path / "serve") as serve,
        ):
            worker.wait_for("everything is committed", topics.all_committed)
            serve.until_ready()
            serve.wait_for("lists", lambda: len(served(serve)) == PEOPLE)
            server.stop()
            serve.wait_for("it is not ready", lambda: not serve.is_ready())
            answer = serve.get("/v1/users/u3/recommendations")
            assert answer["stale"]
            assert answer["how"] == "published"
            server.start()
            serve.until_ready()
            sent = serve.post("/v1/events", {"user_id": "u3", "action": "click", "item_id": "i9"}, 201)
            serve.wait_for(
                "it is followed again",
                lambda: serve.get("/v1/users/u3/recommendations", min_offset=sent["offset"], wait_ms=2_000)["fresh"],
            )
            assert "stale" not in serve.get("/v1/users/u3/recommendations")


def test_a_person_is_erased_over_http_and_by_themselves_and_serve_forgets_them(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    topics = shop(kafka.bootstrap_servers)
    ring = "new:" + b64encode(bytes(32)).decode()
    worker, serve = WorkerProcess(topics.settings, tmp_path / "worker"), ServeProcess(topics.settings, tmp_path / "one")
    with worker, serve:
        worker.wait_for("everything is committed", topics.all_committed)
        serve.until_ready()
        assert serve.get("/v1/users/u1")["behaviours"]
        assert serve.get("/v1/users/u2")["behaviours"]
        sent = serve.client.delete("/v1/users/u1")
        assert sent.status_code == 202
        assert sent.json()["request_id"]
        token = serve.post("/v1/users/u2/link", None)["path"].rpartition("/")[2]
        serve.post(f"/v1/you/{token}/erase", None, 202)
        serve.post("/v1/users/u3/requests", {"request": "rectify"}, 400)
        serve.post("/v1/users/u3/requests", {"request": "restrict"}, 202)
        deadline = time.monotonic() + 60
        while any(serve.get(f"/v1/users/u{n}")["behaviours"] for n in (1, 2)) or "u3" in served(serve):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert {"u1", "u2", "u3"}.isdisjoint(served(serve))
        assert serve.get("/v1/users/u3")["behaviours"], "kept, and not used"
        with ServeProcess(topics.settings, tmp_path / "two", pseudonym_keys=ring) as edge:
            edge.until_ready()
            edge.post("/v1/events", {"user_id": "17850", "action": "click", "item_id": item(1)[0].decode()}, 201)
            while not edge.get("/v1/users/17850")["behaviours"]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    keys = {m.key() for m in topics.read(topics.settings.topic_events)}
    assert b"17850" not in keys
    assert KeyRing.parse(ring).pseudonym("17850").encode() in keys
