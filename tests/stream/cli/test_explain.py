"""`penchant explain` on an embedded broker: the list that serves, what it hangs on, and the list as if."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_service import FakeChatService, fake_chat_service, saying
from confluent_kafka import Producer
from item_records import ItemRecord, days, pack_record
from msgspec.structs import replace
from reason_records import reasons_record
from sequence_models import SHAPE, random_items, random_weights, reference
from typer.testing import CliRunner

from models.hashing import item_hash
from models.ranking.features import SEQUENCE
from models.ranking.weights import default_weights, make_weights
from models.sequence.export import Trained, export
from stream.analysis.person.lookup import Listing
from stream.analysis.person.screen import Shown, lines_of
from stream.cli.main import app
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.partitioner import key_partition, murmur2
from stream.refresh.publish import Published, WrittenList
from stream.refresh.reasons import WrittenReasons
from stream.refresh.sequence import sequence_version
from stream.refresh.versions import RankerModel, publish_model, ranker_model
from stream.settings import Settings
from stream.wire.records import EventSource, ModelVersions, Recommendation, RecommendedItem, encode

NOW_MS = 1_767_225_600_000
DAY_MS = 86_400_000
ITEMS = ("cup", "pot", "tray", "vase", "lamp", "bulb")
PAIRS = {("cup", "pot"): 9.0, ("cup", "tray"): 4.0, ("lamp", "bulb"): 6.0, ("lamp", "tray"): 5.0}


@pytest.fixture
def topics(
    embedded: Callable[[Mapping[str, int]], EmbeddedBroker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    """A shop whose statistics are known: cup goes with pot and tray, lamp with bulb and tray."""
    for name in list(os.environ):
        if name.upper().startswith("PENCHANT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    names = [getattr(Settings(), name) for name in Settings.model_fields if name.startswith("topic_")]
    broker = embedded(dict.fromkeys(names, 3))
    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    settings = Settings()
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap_servers, "partitioner": settings.partitioner, "log_level": 0}
    )
    for item in ITEMS:
        value = {"item_id": item, "title": f"The {item}"}
        producer.produce(settings.topic_items, json.dumps(value).encode(), item.encode())
        near = {item_hash(b if a == item else a): w for (a, b), w in PAIRS.items() if item in (a, b)}
        record = ItemRecord(30, NOW_MS - 90 * DAY_MS, NOW_MS, days(0.0, 0.0, 30.0), neighbours=near)
        producer.produce(settings.topic_item_stats, pack_record(record), item.encode())
    for user, action, item, ago_ms in (
        ("ann", "click", "lamp", 3 * DAY_MS),
        ("bob", "click", "vase", 2 * DAY_MS),
        ("ann", "purchase", "cup", DAY_MS),
    ):
        event = {"user_id": user, "action": action, "item_id": item, "event_time": NOW_MS - ago_ms}
        producer.produce(settings.topic_events, json.dumps(event).encode(), user.encode())
    assert producer.flush(20) == 0
    return settings


def penchant(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["explain", *arguments], prog_name="penchant")


def explained(*arguments: str) -> Any:
    result = penchant(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_list_its_parts_and_the_behaviours_behind_it_are_told(topics: Settings) -> None:
    found = explained("ann")

    first = found["items"][0]
    assert (first["item_id"], first["title"], first["rank"]) == ("pot", "The pot", 1)
    assert [(c["item_id"], c["action"]) for c in first["contributions"]] == [("cup", "purchase")]
    assert sum(first["parts"].values()) == pytest.approx(first["score"], abs=1e-12)
    assert sum(c["contribution"] for c in first["contributions"]) == pytest.approx(first["parts"]["co_occurrence"])
    assert [event["item_id"] for event in found["events"]] == ["lamp", "cup"]
    assert first["reason"].startswith("Because you bought “The cup”")
    assert "cup" not in [item["item_id"] for item in found["items"]]  # bought


def test_what_the_leader_hangs_on_is_what_changes_it(topics: Settings) -> None:
    hangs_on = explained("ann")["counterfactual"]

    assert (hangs_on["removed"], hangs_on["leader"]) == (["cup"], "pot")
    assert hangs_on["verified"]
    assert hangs_on["exact"]
    as_if = explained("ann", "--without", "cup")
    assert as_if["items"][0]["item_id"] == hangs_on["replacement"]


def test_an_event_is_left_out_by_its_offset_too(topics: Settings) -> None:
    offset = explained("ann")["events"][1]["offset"]
    by_offset, by_item = explained("ann", "--without", str(offset)), explained("ann", "--without", "cup")

    assert by_offset == by_item
    assert [event["item_id"] for event in by_offset["events"]] == ["lamp"]


def test_a_click_is_added(topics: Settings) -> None:
    before, after = explained("bob"), explained("bob", "--with", "lamp")

    assert after["items"][0]["item_id"] == "bulb"
    assert before["items"][0]["contributions"] == []
    assert [c["item_id"] for c in after["items"][0]["contributions"]] == ["lamp"]


def test_one_item_is_told_alone_with_bars_and_in_chinese(topics: Settings) -> None:
    result = penchant("ann", "tray", "--lang", "zh")

    assert result.exit_code == 0
    assert "The tray" in result.stdout
    assert "The pot" not in result.stdout
    assert "因为您" in result.stdout
    assert "█" in result.stdout
    assert "未读取文本" in result.stdout


def test_in_chinese_nothing_but_names_is_english(topics: Settings) -> None:
    result = penchant("ann", "--lang", "zh", "--without", "cup")

    assert result.exit_code == 0
    assert result.stderr == "假设：没有cup。\n"
    head, used, *lines = result.stdout.splitlines()
    assert head == "ann  1次行为，排序依据1件商品"
    assert used.startswith("排序模型 ")
    words = {word for line in lines for word in re.findall(r"[A-Za-z]{2,}", line)}
    assert words <= {"The", "tray", "pot", "bulb", "cup", "lamp", "vase"}, "titles and ids"


def test_a_person_asks_in_a_language_that_is_not_published(topics: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_EXPLANATION_LANGUAGES", "en")

    assert "因为您" in penchant("ann", "tray", "--lang", "zh").stdout


@pytest.mark.parametrize(("others", "told"), [(0.000_003, False), (-0.25, True)])
def test_what_weak_behaviours_add_is_told_but_not_what_rounding_left_over(others: float, told: bool) -> None:
    record = reasons_record("r", "ann", ["cup"])
    record = replace(record, places=(replace(record.places[0], others=others),))
    item = RecommendedItem("cup", 1, 1.0, 0.1, "interest", 1.0, {"co_occurrence": 1.0})
    model = ModelVersions(None, None, "r")
    list_ = Recommendation("r", "ann", 0, 0, EventSource("t", 0, 0), "event", model, (item,))
    listing = Listing(
        Published(
            WrittenList(encode(list_), list_.recommendation_id, len(list_.items)), WrittenReasons(encode(record), 0.0)
        ),
        None,
        1,
        {},
    )

    lines = lines_of(listing, [], Shown("ann", 1, None, "en", str))

    assert any("weaker ones together" in line.plain for line in lines) == told


def test_the_terminal_shows_what_the_leader_hangs_on(topics: Settings) -> None:
    assert "Without The cup: " in penchant("ann").stdout
    assert "Without" not in penchant("ann", "--rankings", "0").stdout
    assert penchant("ann", "--without", "cup", "--with", "pot").stderr == ("As if: without cup; with a click on pot.\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "'nobody'"),
        (["ann", "nothing"], "'nothing'"),
        (["ann", "--with", "nothing"], "'nothing'"),
        (["ann", "--without", "nothing"], "--without nothing"),
    ],
)
def test_who_or_what_is_not_known_is_one_line_with_a_fix_and_exit_code_2(
    arguments: list[str], said: str, topics: Settings
) -> None:
    result = penchant(*arguments)

    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert said in line
    assert "Fix: " in line
    assert result.stdout == ""


def test_an_event_that_another_partitioner_placed_is_found(topics: Settings) -> None:
    key = b"eve"
    elsewhere = (key_partition(key, 3, topics.partitioner) + 1) % 3
    producer = Producer({"bootstrap.servers": topics.bootstrap_servers, "log_level": 0})
    event = {"user_id": "eve", "action": "click", "item_id": "lamp", "event_time": NOW_MS}
    producer.produce(topics.topic_events, json.dumps(event).encode(), key, elsewhere)
    assert producer.flush(20) == 0

    assert explained("eve")["items"][0]["item_id"] == "bulb"


def test_the_partition_of_a_key_is_the_one_that_the_clients_choose() -> None:
    # From Apache Kafka's UtilsTest.testMurmur2.
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    assert {key: np.uint32(murmur2(key)).astype(np.int32) for key in known} == known
    assert key_partition(b"123456789", 1 << 40, "consistent_random") == 0xCBF43926  # CRC-32's check value


# --- in other words ---


@pytest.fixture
def rewriting(topics: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeChatService]:
    with fake_chat_service() as service:
        monkeypatch.setenv("PENCHANT_EXPLANATION_REWRITER_URL", service.url)
        monkeypatch.setenv("PENCHANT_EXPLANATION_REWRITER_MODEL", "m")
        yield service


def test_other_words_are_shown_with_the_template_beside_and_what_was_kept_with_why(rewriting: FakeChatService) -> None:
    template = explained("ann", "pot", "--rankings", "0")["items"][0]["reason"]
    other = template.replace("Because you bought", "Since you purchased")
    rewriting.answer = lambda data: saying(data["sentences"] | {"en": other})
    arguments = ("ann", "pot", "--rankings", "0", "--rewrite")

    shown = penchant(*arguments).stdout
    assert other in shown
    assert f"template: {template}" in shown
    (item,) = explained(*arguments)["items"]
    assert (item["reason"], item["rewritten"], item["not_rewritten"]) == (template, other, None)

    rewriting.answer = lambda data: saying(data["sentences"] | {"en": template + " BUY NOW"})
    shown = penchant(*arguments).stdout
    assert template in shown
    assert "BUY NOW" not in shown
    assert "not rewritten: en: it says what the template does not" in shown
    assert "ann" not in json.dumps([body["messages"][1] for _, _, body in rewriting.requests])


def test_to_rewrite_without_the_setting_is_one_line_that_names_it_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENCHANT_EXPLANATION_REWRITER_URL", raising=False)
    result = penchant("ann", "--rewrite", "--bootstrap-servers", "127.0.0.1:1")

    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert "explanation_rewriter_url" in line
    assert "Fix: " in line


def test_what_the_sequence_model_looked_at_is_a_block_of_its_own_with_its_residual(
    topics: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = random_items()._replace(
        ids=list(ITEMS), vectors=random_items().vectors[: len(ITEMS)], biases=random_items().biases[: len(ITEMS)]
    )
    weights = random_weights()
    trained = Trained(SHAPE, weights, items, "texts@1", 1_600_000_000_000, {})
    export(trained, tmp_path / "model", ("numpy", reference(weights, SHAPE, items.vectors)))
    publish_model(topics, sequence_version(tmp_path / "model", 5))
    publish_model(topics, with_sequence_weight(2.0))

    found = explained("ann")["items"]

    expected = [item for item in found if item["parts"]["sequence"] > 0]
    assert expected
    for item in found:
        looked_at = item["sequence_looked_at"]
        if not item["parts"]["sequence"]:
            assert looked_at is None
            continue
        assert (looked_at["method"], looked_at["is_additive"]) == ("leave_one_out", False)
        assert looked_at["expectation"] == pytest.approx(item["parts"]["sequence"], abs=1e-4)
        told = sum(event["difference"] for event in looked_at["events"])
        assert looked_at["of_nobody"] + told + looked_at["residual"] == pytest.approx(looked_at["expectation"])
        assert {event["item_id"] for event in looked_at["events"]} <= {"lamp", "cup"}
        assert sum(c["contribution"] for c in item["contributions"]) == pytest.approx(item["parts"]["co_occurrence"])
    assert any(abs(item["sequence_looked_at"]["residual"]) > 1e-3 for item in expected)
    shown = penchant("ann").stdout
    assert "what the sequence model looked at (leave-one-out, does not add up)" in shown
    assert "residual" in shown


def with_sequence_weight(weight: float) -> RankerModel:
    default = default_weights()
    table = default.table.copy()
    table[0, SEQUENCE] = weight
    return ranker_model(make_weights(table, default.cold, default.calibration), 5)


def test_with_texts_the_part_interest_is_there_and_queries_can_be_causes(
    topics: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "hashing")
    monkeypatch.setenv("PENCHANT_DATA_DIR", str(tmp_path / "data"))
    producer = Producer({"bootstrap.servers": topics.bootstrap_servers, "partitioner": topics.partitioner})
    event = {"user_id": "eve", "action": "query", "text": "The vase", "event_time": NOW_MS}
    producer.produce(topics.topic_events, json.dumps(event).encode(), b"eve")
    assert producer.flush(20) == 0

    without, found = explained("eve"), explained("eve", "--texts")

    assert (without["left_out"], found["left_out"]) == (["interest"], [])
    assert without["model"]["encoder"] is None
    assert found["model"]["encoder"].startswith("hashing")
    vase = next(item for item in found["items"] if item["item_id"] == "vase")
    assert vase["parts"]["interest"] > 0
    assert sum(c["contribution"] for c in vase["contributions"]) == pytest.approx(vase["parts"]["interest"])
    assert all(item["parts"]["interest"] == 0 for item in without["items"])
    kept = list((tmp_path / "data" / "evaluation").glob("vectors-*.npy"))
    assert len(kept) == 1
    assert explained("eve", "--texts") == found
    assert "encoder hashing" in penchant("eve", "--texts").stdout


def test_texts_without_an_encoder_are_one_line_and_exit_code_2(
    topics: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENCHANT_ENCODER_MODEL", "none")
    result = penchant("ann", "--texts")

    assert result.exit_code == 2
    assert "encoder_model" in result.stderr
