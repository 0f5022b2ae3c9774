"""What was seen before, by hand; and `penchant train fatigue` on topics where the weight is known."""

from __future__ import annotations

import json
import os

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer
from reason_records import reasons_record
from typer.testing import CliRunner

from models.page.ranked import FATIGUE_PART, RULES_PART
from stream.analysis.fatigue.exposures import SeenJourneys
from stream.analysis.fatigue.figures import figures, placement_of
from stream.analysis.outcomes.journeys import Range
from stream.cli.main import app
from stream.rules.topic import read_book
from stream.settings import Settings
from stream.wire.reasons import OF_PLACEMENTS
from stream.wire.records import Event, encode

T0, HOUR_MS = 1_767_225_600_000, 3_600_000
EVER = Range(None, None)


def impression(user, item, at_h, list_=None, action="impression"):
    return Event(user, action, item, T0 + int(at_h * HOUR_MS), recommendation_id=list_), T0 + int(at_h * HOUR_MS)


def test_what_was_seen_before_by_hand():
    """As a user's state counts it: every impression, whatever it names, until anything is done with the item."""
    journeys = SeenJourneys(EVER)
    for event, at_ms in (
        impression("ann", "a", 0, "r1"),
        impression("ann", "a", 1, "r1"),  # the same list, seen again
        impression("ann", "b", 1, "r1"),
        impression("ann", "a", 2),  # names no list
        impression("ann", "a", 4, "r2"),
        impression("ann", "b", 4.5, action="view"),  # names none either
        impression("ann", "b", 5, "r2"),
        impression("bob", "a", 3, "r3"),
        impression("bob", "a", 3.1, "r3", "click"),
        impression("bob", "a", 9, "r4"),
    ):
        journeys.add_event(event, at_ms)
    for name, user in (("r1", "ann"), ("r2", "ann"), ("r3", "bob"), ("r4", "bob")):
        journeys.add_places(reasons_record(name, user, ["a", "b"]))
    found = journeys.seen_before()

    assert found.earlier_h == [[], [], [4.0, 3.0, 2.0], []]
    assert found.clicked.tolist() == [0, 0, 0, 1]
    assert found.person.tolist() == [0, 0, 0, 1]
    assert found.seen(2.0).tolist() == pytest.approx([0, 0, 2**-2 + 2**-1.5 + 2**-1, 0])
    told = figures(found, [6.0])
    assert told["seen_before"] == 1
    assert "500" in told["refused"]
    assert placement_of(told) is None


def test_of_too_many_half_of_the_people_are_forgotten_wholly():
    journeys = SeenJourneys(EVER, 400)
    for n in range(3000):
        journeys.add_event(*impression(f"u{n % 300}", f"i{n}", n / 60, f"r{n}"))
    assert 0 < len(journeys.people) < 200
    assert set(journeys._seen) <= set(journeys.people)
    for n in range(3000):
        journeys.add_places(reasons_record(f"r{n}", f"u{n % 300}", [f"i{n}"]))
    assert len(set(journeys.seen_before().person.tolist())) == len(journeys.people)


@pytest.fixture
def topics(embedded, monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.upper().startswith("PENCHANT_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    names = [getattr(Settings(), name) for name in Settings.model_fields if name.startswith("topic_")]
    broker = embedded(dict.fromkeys(names, 2))
    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    return Settings(bootstrap_servers=broker.bootstrap_servers)


def fill(settings, weight, people=320, lists=8):
    """People who are shown the same few items again and again."""
    rng = np.random.default_rng(5)
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    for n in range(people):
        user, seen, taken = f"u{n}", {}, set()
        for m in range(lists):
            at_ms = T0 + (n * lists + m) * 1000 + m * 4 * HOUR_MS
            items = rng.permutation(12)[:4].tolist()
            score = {item: float(rng.normal(0.0, 1.5)) for item in items}
            record = reasons_record(f"{n * lists + m:032x}", user, [f"i{item}" for item in items])
            places = [
                msgspec.structs.replace(place, parts=(score[item], -9.0, 0.5), score=score[item] - 8.5)
                for item, place in zip(items, record.places, strict=True)
            ]
            record = msgspec.structs.replace(
                record, places=tuple(places), part_names=("co_occurrence", "fatigue", "rules")
            )
            producer.produce(settings.topic_attributions, encode(record), user.encode())
            for slot, item in enumerate(items, 1):
                event = Event(
                    user, "impression", f"i{item}", at_ms, recommendation_id=record.recommendation_id, slot=slot
                )
                producer.produce(settings.topic_events, encode(event), user.encode())
                tired = sum(2.0 ** (-(at_ms - t) / HOUR_MS / 24.0) for t in seen.get(item, []))
                logit = -1.0 + score[item] - weight * tired - 0.3 * np.log2(1 + slot)
                if item not in taken and rng.random() < 1.0 / (1.0 + np.exp(-logit)):
                    click = msgspec.structs.replace(event, action="click", event_time=at_ms + 500)
                    producer.produce(settings.topic_events, encode(click), user.encode())
                    taken.add(item)
                seen.setdefault(item, []).append(at_ms)
            producer.poll(0)
    assert producer.flush(30) == 0


def train(*arguments):
    return CliRunner().invoke(app, ["train", "fatigue", *arguments])


def test_a_planted_weight_is_found_and_given_to_workers(topics):
    fill(topics, 0.8)
    result = train("--publish", "--json", "found.json")

    assert result.exit_code == 0, result.output
    with open("found.json", encoding="utf-8") as file:
        found = json.load(file)
    (day,) = [row for row in found["half_lives"] if row["half_life_h"] == 24.0]
    assert day["low"] < 0.8 < day["high"]
    assert day["low"] > 0.0
    live = read_book(topics).placements["home"]
    assert live.fatigue == pytest.approx(found["best"]["weight"], abs=1e-3)
    assert live.fatigue_half_life_h == found["best"]["half_life_h"]
    assert "Workers make lists of home with it now." in result.output


def test_where_it_is_not_surely_above_0_nobody_s_setting_is_taken_away(topics):
    fill(topics, 0.0, people=160)
    result = train("--half-lives", "24", "--publish")
    assert result.exit_code == 1
    assert "not surely above 0: what is set stays" in result.output
    assert read_book(topics).placements == {}


def test_too_little_says_nothing_and_what_cannot_be_is_one_line(topics):
    result = train()
    assert result.exit_code == 1
    assert "Nothing is said: 0 exposures" in result.output
    for arguments, says in (
        (("--half-lives", "6,x"), "--half-lives"),
        (("--half-lives", "0"), "--half-lives"),
        (("--from", "yesterdayish"), "--from"),
    ):
        refused = train(*arguments)
        assert refused.exit_code == 2
        assert says in refused.stderr
    fill(topics, 0.8, people=120)
    refused = train("--publish", "--placement", "cart")
    assert refused.exit_code == 2
    assert "no placement 'cart'" in refused.stderr


def test_scores_are_told_without_what_placements_add():
    assert set(OF_PLACEMENTS) == {FATIGUE_PART, RULES_PART}
