"""On Apache Kafka: a second group makes everything anew from the events, and readers change to its topics without a gap."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from kafka_checks import catalogue, check_everything, events, last_lists
from kafka_server import KafkaServer
from worker_process import Topics, WorkerProcess

from stream.kafka.topics import create_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

TIMEOUT_S = 120
USERS, ITEMS = 200, 50


def test_readers_change_to_topics_made_from_scratch_and_nobody_loses_a_list(kafka: KafkaServer, tmp_path: Path) -> None:
    prefix = f"bg-{time.time_ns():x}"
    blue, green = Topics(kafka.bootstrap_servers, prefix), Topics(kafka.bootstrap_servers, prefix, shadow="green")
    create_topics(blue.settings)
    catalogue(blue, ITEMS)
    blue.produce(blue.settings.topic_events, events(3000, USERS, ITEMS, seed=1))
    stopped = threading.Event()

    def load() -> None:
        for seed in range(2, 1000):
            blue.produce(blue.settings.topic_events, events(20, USERS, ITEMS, seed=seed))
            if stopped.wait(0.2):
                return

    thread = threading.Thread(target=load)
    with WorkerProcess(blue.settings, tmp_path / "blue") as serving:
        serving.wait_for(
            "lists of before", lambda: sum(blue.committed(blue.settings.topic_events).values()) >= 3000, TIMEOUT_S
        )
        thread.start()
        try:
            create_topics(green.settings)
            with WorkerProcess(green.settings, tmp_path / "green") as next_:
                next_.wait_for("it makes lists", lambda: bool(last_lists(green)), TIMEOUT_S)
                told, mark = last_lists(blue), blue.ends(blue.settings.topic_events)

                def has_caught_up() -> bool:
                    committed = green.committed(green.settings.topic_events)
                    return all(committed.get(p, 0) >= end for p, end in mark.items()) and not green.owed()

                next_.wait_for("it has caught up", has_caught_up, TIMEOUT_S)
                found = last_lists(green)  # what readers have from the moment that they change
                assert told.keys() <= found.keys()
                older = {user for user, (_, offset) in told.items() if found[user][1] < offset}
                assert older == set(), "lists that went back by the change"
                assert serving.terminate() < 30
                stopped.set()
                thread.join()
                next_.wait_for("every event", green.all_committed, TIMEOUT_S)
                next_.wait_for("the item statistics", green.deltas_committed, TIMEOUT_S)
                check_everything(green, next_)
        finally:
            stopped.set()
            thread.join()
