"""On Apache Kafka: rules reach workers that run, and count before the first list of one that was killed."""

from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka import Message
from kafka_server import KafkaServer
from msgspec import UNSET
from worker_process import Topics, WorkerProcess

from stream.kafka.topics import create_topics
from stream.rules.rule import rule_of
from stream.rules.topic import publish_changes
from stream.settings.placements import PlacementSettings
from stream.wire.records import Recommendation, recommendation_decoder

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

_names = count()
EXPLORE = {"slots": 2, "from_place": 2, "min_history": 1, "rate": 0.7}


@pytest.fixture
def topics(kafka: KafkaServer, request: pytest.FixtureRequest) -> Topics:
    """With a placement in the settings, unless the parameter is False."""
    home = PlacementSettings.model_validate({"slots": 6, "explore": EXPLORE})
    placements = {"home": home} if getattr(request, "param", True) else {}
    topics = Topics(kafka.bootstrap_servers, f"p{next(_names)}-{time.time_ns():x}", placements=placements)
    create_topics(topics.settings)
    topics.produce(
        topics.settings.topic_items,
        [
            (f"i{n}".encode(), json.dumps({"item_id": f"i{n}", "title": f"T{n}", "price": n}).encode())
            for n in range(40)
        ],
    )  # fmt: skip
    return topics


def click(topics: Topics, *users: str, item: int = 1) -> None:
    events = [{"user_id": user, "item_id": f"i{item}", "action": "click"} for user in users]
    topics.produce(topics.settings.topic_events, [(e["user_id"].encode(), json.dumps(e).encode()) for e in events])


def lists(topics: Topics) -> dict[str, list[Recommendation]]:
    found: dict[str, list[Recommendation]] = {}
    for message in topics.read(topics.settings.topic_recommendations):
        record = recommendation_decoder.decode(message.value())
        found.setdefault(record.user_id, []).append(record)
    return found


def newest(topics: Topics) -> dict[str, Recommendation]:
    return {user: made[-1] for user, made in lists(topics).items()}


@pytest.mark.parametrize("topics", [True, False], indirect=True, ids=["in the settings", "by rules alone"])
def test_rules_are_followed_live_and_after_a_kill(topics: Topics, tmp_path: Path) -> None:
    users = [f"u{n}" for n in range(20)]
    with WorkerProcess(topics.settings, tmp_path / "a") as worker:
        click(topics, *users)
        worker.wait_for("lists", lambda: set(newest(topics)) >= set(users))
        is_placed = "home" in topics.settings.placements
        assert all((record.placement == "home") == is_placed for record in newest(topics).values())

        dear = rule_of("dear", {"kind": "deny", "where": "price >= 20"})
        pin = rule_of("pin", {"kind": "pin", "items": ["i7"], "place": 3})
        publish_changes(topics.settings, {"rule/dear": dear, "rule/pin": pin})
        worker.wait_for("rules", lambda: worker.metrics()["penchant_rules"] == 2)
        worker.wait_for("lists made anew", lambda: all(r.items[2].item_id == "i7" for r in newest(topics).values()))
        for record in newest(topics).values():
            assert all(int(item.item_id[1:]) < 20 for item in record.items)
            assert record.items[2].moved_by == "rule:pin"

        worker.kill()
    with WorkerProcess(topics.settings, tmp_path / "a") as worker:
        click(topics, "v", item=2)
        worker.wait_for("the first list", lambda: "v" in newest(topics))
        first = lists(topics)["v"][0]  # the rules counted before the first list
        assert first.items[2].item_id == "i7"
        assert all(int(item.item_id[1:]) < 20 for item in first.items)
        publish_changes(topics.settings, {"rule/dear": None, "rule/pin": None})
        worker.wait_for("no rules", lambda: worker.metrics()["penchant_rules"] == 0)
        topics.produce(
            topics.settings.topic_rules, [(b"rule/odd", b"{"), (b"rule/odder", b'{"kind":"deny","where":"1;"}')]
        )
        worker.wait_for("refused", lambda: worker.metrics().get("penchant_rules_refused_total") == 2)
        click(topics, "w")
        worker.wait_for("lists go on", lambda: "w" in newest(topics))


def test_other_placements_have_topics_of_their_own_and_are_changed_live(kafka: KafkaServer, tmp_path: Path) -> None:
    given = {"cart": {"slots": 3}, "page": {"slots": 8, "rows": True}}
    placements = {name: PlacementSettings.model_validate(each) for name, each in given.items()}
    topics = Topics(kafka.bootstrap_servers, f"p{next(_names)}-{time.time_ns():x}", placements=placements)
    create_topics(topics.settings)
    items = [(f"i{n}", {"item_id": f"i{n}", "title": f"T{n}"}) for n in range(20)]
    topics.produce(topics.settings.topic_items, [(key.encode(), json.dumps(item).encode()) for key, item in items])
    where = topics.settings.placement_topics()

    def cart() -> dict[str, Recommendation]:
        return {r.user_id: r for r in map(_record, topics.read(where["cart"]))}

    with WorkerProcess(topics.settings, tmp_path / "a") as worker:
        click(topics, "ann", "bob")
        worker.wait_for("lists", lambda: set(newest(topics)) == set(cart()) == {"ann", "bob"})
        assert {len(record.items) for record in cart().values()} == {3}
        assert all(record.placement == "cart" for record in cart().values())
        rows = [record.rows for record in map(_record, topics.read(where["page"]))]
        assert all(sum(len(row.items) for row in each) == 8 for each in rows if each is not UNSET)
        assert UNSET not in rows

        changed = PlacementSettings.model_validate({"slots": 2})
        publish_changes(topics.settings, {"placement/cart": changed, "placement/none": changed})
        worker.wait_for("changed", lambda: {len(record.items) for record in cart().values()} == {2})
        worker.wait_for("refused", lambda: worker.metrics().get("penchant_rules_refused_total") == 1)
        worker.kill()
    with WorkerProcess(topics.settings, tmp_path / "a") as worker:
        click(topics, "cid")
        worker.wait_for("the first list", lambda: "cid" in cart())
        assert len(cart()["cid"].items) == 2  # known before the first list


def _record(message: Message) -> Recommendation:
    return recommendation_decoder.decode(message.value())
