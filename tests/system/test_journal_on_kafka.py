"""On Apache Kafka: what a worker wrote down of its runs, one of them killed, comes out again byte for byte."""

from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path

import pytest
from kafka_checks import catalogue, events, last_events, last_lists
from kafka_server import KafkaServer
from worker_process import Topics, WorkerProcess

from stream.analysis.simulation.replay import Candidate
from stream.analysis.simulation.run import simulate
from stream.kafka.topics import create_topics
from stream.rules.rule import rule_of
from stream.rules.topic import publish_changes
from stream.settings.placements import PlacementSettings

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

_names = count()
EXPLORE = {"slots": 2, "from_place": 2, "min_history": 1, "rate": 0.7}


@pytest.mark.parametrize("encoder", ["none", "hashing"])
def test_runs_on_kafka_come_out_again(kafka: KafkaServer, tmp_path: Path, encoder: str) -> None:
    given = {"home": {"slots": 6, "explore": EXPLORE, "fatigue": 0.5}, "cart": {"slots": 3, "diversity": 0.2}}
    placements = {name: PlacementSettings.model_validate(each) for name, each in given.items()}
    topics = Topics(
        kafka.bootstrap_servers, f"j{next(_names)}-{time.time_ns():x}", placements=placements, encoder_model=encoder
    )
    create_topics(topics.settings)
    catalogue(topics, 60)
    journals = tmp_path / "journals"
    for run in range(2):
        with WorkerProcess(topics.settings, tmp_path / "a", journal_dir=journals) as worker:
            topics.produce(topics.settings.topic_events, events(1500, 40, 60, seed=run))
            worker.wait_for("lists", lambda: last_events(topics) == last_lists(topics))
            publish_changes(
                topics.settings, {"rule/no": rule_of("no", {"kind": "deny", "items": [f"i{n}" for n in range(5)]})}
            )
            worker.wait_for("rules", lambda: worker.metrics()["penchant_rules"] == 1)
            topics.produce(topics.settings.topic_items, [(b"i7", None), (b"i8", json.dumps(_item("i8")).encode())])
            topics.produce(topics.settings.topic_events, events(500, 40, 60, seed=10 + run))
            worker.wait_for("lists", lambda: last_events(topics) == last_lists(topics))
            time.sleep(2.5)  # so that all of it is on the disk
            assert worker.metrics()["penchant_journal_bytes"] > 1000
            if run == 0:
                worker.kill()
            else:
                worker.terminate()

    found = sorted(journals.glob("*.journal"))
    assert len(found) == 2
    for path in found:
        proof, compared = simulate(path, Candidate({"placements": {"home": {"slots": 6}}}), None, 6)
        assert proof.first_difference is None
        assert proof.same == proof.lists > 40
        assert compared is not None
        assert compared["lists"] == proof.lists


def _item(item_id: str) -> dict[str, object]:
    return {"item_id": item_id, "title": "Another title"}
