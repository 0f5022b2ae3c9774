"""`penchant report fairness` on an embedded broker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from fairness_lists import T0, one_list
from typer.testing import CliRunner

from stream.cli.main import app
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings, load_settings
from stream.wire.records import Event, Item, encode


@pytest.fixture
def topics(
    embedded: Callable[[Mapping[str, int]], EmbeddedBroker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    for name in list(os.environ):
        if name.upper().startswith("PENCHANT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    Path("penchant.toml").write_text('sensitive_categories = ["odd", "Helth*"]\n[placements.cart]\nslots = 5\n')
    names = [getattr(Settings(), name) for name in Settings.model_fields if name.startswith("topic_")]
    broker = embedded(dict.fromkeys(names, 3))
    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    return load_settings()


def fill(settings: Settings) -> None:
    """Lists of i0 to i3, of which people take i0 and i1 in turn; one record of each topic is broken."""
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "log_level": 0})
    for n in range(6):
        item = Item(f"i{n}", f"item {n}", ("even" if n % 2 == 0 else "odd",), attributes={"brand": f"b{n % 3}"})
        producer.produce(settings.topic_items, encode(item), item.item_id.encode())
    for n in range(40):
        user = f"u{n}"
        for k, item in enumerate(("i5", f"i{n % 2}")):
            event = Event(user, "click", item, T0 + 10 * k, context={"device": "phone" if n % 4 else "desk"})
            producer.produce(settings.topic_events, encode(event), user.encode())
        record = one_list(user, T0, "abcd")
        items = tuple(type(each)(f"i{k}", k + 1, 0.0, 0.5, "interest", 1.0, {}) for k, each in enumerate(record.items))
        value = encode(type(record)(*(items if f == "items" else getattr(record, f) for f in record.__struct_fields__)))
        producer.produce(settings.topic_recommendations, value, user.encode())
    for topic in (settings.topic_items, settings.topic_events, settings.topic_recommendations):
        producer.produce(topic, b"{broken", b"x")
    assert producer.flush(20) == 0


def penchant(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["report", "fairness", *arguments], prog_name="penchant")


def test_exposure_and_service_are_said_in_tables_in_json_and_on_a_page(topics: Settings) -> None:
    fill(topics)
    result = penchant("--from", "2026-01-01", "--to", "2026-02-01", "--json", "fair.json", "--html", "fair.html")

    assert result.exit_code == 0, result.output
    found = json.loads(Path("fair.json").read_text(encoding="utf-8"))
    assert (found["lists"], found["choices"], found["read"]["unreadable"]) == (40, 40, 3)
    category = {row["group"]: row for row in found["exposure"]["category"]["groups"]}
    assert category["even"]["deserved"]["value"] == pytest.approx(0.5)
    assert found["sensitive_without_category"] == ["Helth*"]
    assert found["items"]["coverage"] == pytest.approx(4 / 6)
    device = {row["group"]: row for row in found["service"]["device"]}
    assert device["phone"]["choices"] == 30
    page = Path("fair.html").read_text(encoding="utf-8")
    assert page.count("<img") >= 4
    for text in (
        "40 lists of 40 people",
        "Exposure by supplier",
        "Lists by device of people",
        "'Helth*' means no category",
    ):
        assert text in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--placement", "nowhere"], "there is no placement 'nowhere' in the settings; there are: home, cart."),
        (["--from", "1d", "--to", "2d"], "--from 1d is not before --to 2d"),
        (["--placement", "cart"], "topic interest.recommendations.cart does not exist"),
        (["--supplier", "shelf"], "No item has the attribute 'shelf' of --supplier; there are: brand."),
        (["--categories", "even,toyz"], "No category of the catalogue is 'toyz', as --categories says."),
        (["--from", "2027-01-01", "--to", "2027-02-01"], "has no list from 2027-01-01T00:00:00+00:00 to 2027-02-01"),
        (["--json", "nowhere/fair.json"], "nowhere/fair.json"),
    ],
)
def test_what_cannot_be_is_one_line_with_a_fix_and_exit_code_2(
    arguments: list[str], said: str, topics: Settings
) -> None:
    fill(topics)
    result = penchant(*arguments)

    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert said in line
    assert "Fix: " in line


def test_topics_without_a_list_are_one_line_and_exit_code_2(topics: Settings) -> None:
    result = penchant()

    assert result.exit_code == 2
    assert result.stderr.strip().startswith(
        "penchant: Topic interest.recommendations has no list from the beginning to "
    )
