"""Places that explore on Apache Kafka: a list that is made again after a kill -9 draws the same items with the same
propensities, on whatever disk."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from kafka_checks import catalogue
from kafka_server import KafkaServer
from worker_process import Topics, WorkerProcess

from stream.kafka.topics import create_topics
from stream.wire.records import Recommendation, recommendation_decoder

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

USERS, ITEMS, T0 = 40, 60, 1_700_000_000_000
PLACEMENTS = {"home": {"slots": 10, "explore": {"slots": 2, "from_place": 3, "rate": 0.6, "min_history": 1}}}


def lists(topics: Topics, after: dict[int, int]) -> dict[str, list[Recommendation]]:
    """Lists that reflect an event from these offsets on, by user, in the order in which they went out."""
    found: dict[str, list[Recommendation]] = {}
    for message in topics.read(topics.settings.topic_recommendations):
        one = recommendation_decoder.decode(message.value())
        if one.source.offset >= after.get(one.source.partition, 0) and one.trigger == "event":
            found.setdefault(one.user_id, []).append(one)
    return found


def places(one: Recommendation) -> list[tuple[str, str, float, dict[str, float]]]:
    """With their parts, so that a failure says which part of a score came out otherwise."""
    return [(item.item_id, item.strategy, item.propensity, item.parts) for item in one.items]


def send(topics: Topics, action: str, each: int, at_ms: int) -> None:
    """Every user does something with items that only depend on who it is."""
    made = [
        (f"u{u}", {"user_id": f"u{u}", "item_id": f"i{(u + n) % 20}", "action": action, "event_time": at_ms})
        for u in range(USERS)
        for n in range(each)
    ]
    topics.produce(topics.settings.topic_events, [(user.encode(), json.dumps(event).encode()) for user, event in made])


@pytest.mark.parametrize("keeps_disk", [True, False], ids=["disk", "no-disk"])
def test_a_list_made_again_after_a_kill_draws_the_same(kafka: KafkaServer, tmp_path: Path, keeps_disk: bool) -> None:
    topics = Topics(kafka.bootstrap_servers, f"draws-{keeps_disk}-{time.time_ns():x}")
    create_topics(topics.settings)
    catalogue(topics, ITEMS)
    placed = {"PENCHANT_PLACEMENTS": json.dumps(PLACEMENTS), "PENCHANT_DRAWS_SEED": "test"}
    with WorkerProcess(topics.settings, tmp_path / "a", placed) as worker:
        send(topics, "click", 6, T0)
        worker.wait_for("all events", lambda: topics.all_committed() and topics.deltas_committed())
        worker.wait_for("statistics", lambda: worker.metrics().get("penchant_statistics_items", 0) >= 20)
        worker.terminate()
    before = topics.ends(topics.settings.topic_events)
    # Nothing more is committed, so after the kill everything from here on is read and answered again.
    with WorkerProcess(topics.settings, tmp_path / "a", placed, commit_interval_s=3600) as worker:
        send(topics, "view", 1, T0 + 60_000)
        worker.wait_for("a list for everybody", lambda: len(lists(topics, before)) == USERS)
        worker.kill()
        first = lists(topics, before)
        if not keeps_disk:
            shutil.rmtree(worker.data_dir)
        worker.start()
        worker.wait_for(
            "the lists again",
            lambda: all(len(again) > len(first[user]) for user, again in lists(topics, before).items()),
        )
        again = lists(topics, before)

    drawn = 0
    for user, made in first.items():
        assert places(again[user][-1]) == places(made[-1])
        assert again[user][-1].recommendation_id == made[-1].recommendation_id
        drawn += sum(strategy == "explore" for _, strategy, *_ in places(made[-1]))
    kept = {p for made in first.values() for _, strategy, p, _ in places(made[-1]) if strategy != "explore" and p < 1.0}
    assert drawn > USERS / 2
    assert [round(p, 6) for p in kept] == [0.4]
