"""`penchant report experiment` on an embedded broker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from models.experiments.assignment import arm_of
from stream.cli.main import app
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings, load_settings
from stream.wire.records import (
    Event,
    EventSource,
    Item,
    ModelVersions,
    OutcomeAttribution,
    Recommendation,
    RecommendedItem,
    encode,
)

T0 = 1_767_225_600_000
DAY_MS = 86_400_000
CONFIG = """\
[experiments.diverse]
arms = { control = 0.5, treatment = 0.5 }
[experiments.diverse.changes.treatment.home]
diversity = 0.3
"""


@pytest.fixture
def topics(
    embedded: Callable[[Mapping[str, int]], EmbeddedBroker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    for name in list(os.environ):
        if name.upper().startswith("PENCHANT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    Path("penchant.toml").write_text(CONFIG)
    names = [getattr(Settings(), name) for name in Settings.model_fields if name.startswith("topic_")]
    broker = embedded(dict.fromkeys(names, 3))
    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    return load_settings()


def fill(settings: Settings, people: int) -> None:
    """Everybody sees four items; the treatment makes them click twice as often, and its lists are of two kinds."""
    rng = np.random.default_rng(4)
    (asked,) = settings.experiments_in_order()
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "log_level": 0})
    for n in range(6):
        item = Item(f"i{n}", f"item {n}", categories=("even" if n % 2 == 0 else "odd",))
        producer.produce(settings.topic_items, encode(item), item.item_id.encode())
    for n in range(people):
        user, at_ms, id_ = f"u{n}", T0 + DAY_MS + n, f"{n:032x}"
        arm = arm_of(asked, user.encode())
        is_treated = arm == "treatment"
        items = ("i0", "i1", "i2", "i3") if is_treated else ("i0", "i2", "i4")
        places = tuple(RecommendedItem(i, k + 1, 0.0, 0.5, "interest", 1.0, {}) for k, i in enumerate(items))
        record = Recommendation(
            id_, user, at_ms + 250, at_ms, EventSource("e", 0, n), "event", ModelVersions(None, None, "v"), places,
            experiments={"diverse": str(arm)},
        )  # fmt: skip
        producer.produce(settings.topic_recommendations, encode(record), user.encode())
        for k in range(4):
            action: Any = "click" if rng.random() < 0.2 * (1 + is_treated) else "impression"
            event = Event(user, action, f"i{k}", at_ms + k, recommendation_id=id_)
            producer.produce(settings.topic_events, encode(event), user.encode())
            if action == "click":
                outcome = OutcomeAttribution(
                    f"{user}-{k}", user, f"i{k}", "click", at_ms + k, None, (), "last_touch", 1.0
                )
                producer.produce(settings.topic_attributions, encode(outcome), user.encode())
        for k in range(rng.poisson(1)):  # before
            outcome = OutcomeAttribution(f"{user}<{k}", user, "i0", "click", T0 - 5, None, (), "last_touch", 1.0)
            producer.produce(settings.topic_attributions, encode(outcome), user.encode())
    producer.produce(settings.topic_recommendations, b"{broken", b"u0x")
    assert producer.flush(20) == 0


def penchant(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["report", "experiment", *arguments], prog_name="penchant")


def test_a_lift_is_found_and_said_in_tables_and_in_json(topics: Settings) -> None:
    fill(topics, 1200)
    result = penchant("diverse", "--from", "2026-01-01", "--to", "2026-02-01", "--json", "report.json")

    assert result.exit_code == 0, result.output
    found = json.loads(Path("report.json").read_text(encoding="utf-8"))
    said = {row["outcome"]: row for row in found["lifts"]}
    for name in ("clicks", "click_rate"):
        assert said[name]["is_found"]
        assert said[name]["relative_low"] < 1.0 < said[name]["relative_high"]
    # What was before is no outcome of the experiment.
    assert said["clicks"]["outcomes"] == sum(arm["clicked"] for arm in found["arms"])
    assert sum(arm["people"] for arm in found["arms"]) == 1200
    assert found["read"]["unreadable"] == 1
    assert not found["balance"]["is_alarm"]
    rails = {row["arm"]: row for row in found["guardrails"]}
    assert (rails["control"]["items"], rails["control"]["categories"]) == (3, 1.0)
    assert (rails["treatment"]["items"], rails["treatment"]["categories"]) == (4, 2.0)
    assert rails["control"]["late_s_median"] == 0.25
    for text in ("Experiment diverse", "better", "always-valid", "too few outcomes", "As many people"):
        assert text in result.stdout


def test_too_few_people_and_changed_settings_are_refused_with_a_reason(topics: Settings) -> None:
    fill(topics, 150)
    few = penchant("diverse", "--from", "2026-01-01")
    Path("penchant.toml").write_text(CONFIG.replace("arms =", 'salt = "other"\narms ='))
    other = penchant("diverse", "--from", "2026-01-01")

    for result in (few, other):
        assert result.exit_code == 2
        (line,) = result.stderr.strip().splitlines()
        assert "too few people" in line
        assert "Fix: wait" in line
    assert "another arm" in other.stderr
    assert "another arm" not in few.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "--from", "7d"], "no experiment 'nothing' in the settings; there are: diverse."),
        (["diverse"], "--from"),
        (["diverse", "--from", "1d", "--to", "2d"], "--from 1d is not before --to 2d"),
        (["diverse", "--from", "1d", "--before", "soon"], "--before 'soon'"),
        (["diverse", "--from", "1d", "--json", "nowhere/report.json"], "nowhere/report.json"),
    ],
)
def test_what_cannot_be_is_one_line_with_a_fix_and_exit_code_2(
    arguments: list[str], said: str, topics: Settings
) -> None:
    result = penchant(*arguments)

    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert said in line
    assert "Fix: " in line
