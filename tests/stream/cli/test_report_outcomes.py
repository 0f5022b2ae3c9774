"""`penchant report attribution`: what is collected, what is computed from it, and the command on an embedded broker."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st
from reason_records import reasons_record
from typer.testing import CliRunner

from models.credit.off_policy import estimates
from models.hashing import item_hash
from models.vocabulary import STRATEGIES
from stream.analysis.outcomes import read as report_read
from stream.analysis.outcomes.cells import cells_of, exposed_cells, known
from stream.analysis.outcomes.credits import ALL_RULES, credit_figures, outcome_rows
from stream.analysis.outcomes.journeys import Journeys, Range
from stream.cli.main import app
from stream.cli.moments import parse_moment_ms, parse_span_ms
from stream.errors import UsageError
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings
from stream.wire.reasons import Explanation, RecommendationAttribution
from stream.wire.records import Credit, Event, OutcomeAttribution, StrategyStats, encode

T0 = 1_767_225_600_000
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
EVER = Range(None, None)
NO_TEXT = Explanation("", "")


def seen(user: str, item: str, list_: str, at_ms: int = T0, action: Any = "impression", **more: Any) -> Event:
    return Event(user, action, item, at_ms, recommendation_id=list_, **more)


def place(
    user: str, item: str, list_: str, rank: int = 1, strategy: Any = "interest", p: float = 1.0
) -> RecommendationAttribution:
    """As before 0.3: a record an item."""
    return RecommendationAttribution(list_, user, item, rank, 1.0, (), 0.0, "exact-additive", NO_TEXT, 0.0, strategy, p)


def outcome(
    name: str,
    user: str = "ann",
    touches: tuple[tuple[Any, int, float], ...] = (),
    action: Any = "purchase",
    **more: Any,
) -> OutcomeAttribution:
    """`touches`: (strategy, shown_at, credit), in slots 1, 2, and so on."""
    made = tuple(Credit(f"r{n}", n + 1, s, at_ms, credit) for n, (s, at_ms, credit) in enumerate(touches))
    sign = -1.0 if action == "refund" else 1.0
    facts = {"item_id": "cup", "event_time": T0 + DAY_MS, "value": None, "rule": "last_touch"} | more
    return OutcomeAttribution(
        outcome_id=name,
        user_id=user,
        action=action,
        credits=made,
        unattributed=sign - sum(each.credit for each in made),
        **facts,
    )


def collected(*records: Any, asked: Range = EVER, rows_max: int = 1000) -> Journeys:
    journeys = Journeys(asked, rows_max)
    for record in records:
        if isinstance(record, Event):
            assert isinstance(record.event_time, int)
            journeys.add_event(record, record.event_time)
        elif isinstance(record, OutcomeAttribution):
            journeys.add_outcome(record)
        else:
            journeys.add_places(record)
    return journeys


def exposures(journeys: Journeys) -> list[Any]:
    return [each for person in journeys.people.values() for each in person.exposures.values()]


# --- collecting


def test_the_places_of_a_list_are_known_by_its_record_of_reasons_or_by_those_of_before_it() -> None:
    shown = [seen("ann", "cup", "r1", T0), seen("ann", "pot", "r1", T0)]
    new = collected(
        *shown, reasons_record("r1", "ann", ["pot", "cup"], strategies=["explore", "popular"], propensity=0.25)
    )
    old = collected(
        *shown, place("ann", "pot", "r1", 1, "explore", 0.25), place("ann", "cup", "r1", 2, "popular", 0.25)
    )
    for journeys in (new, old):
        assert [(e.slot, e.strategy, e.propensity) for e in exposures(journeys)] == [(2, 1, 0.25), (1, 3, 0.25)]


def test_an_item_of_a_list_is_one_exposure_and_clicked_once() -> None:
    journeys = collected(
        seen("ann", "cup", "r1", T0 + 5),
        seen("ann", "cup", "r1", T0, "click"),
        seen("ann", "cup", "r1", T0 + 9, "click"),
        seen("ann", "cup", "r2", T0 + 9, slot=4),
        place("ann", "cup", "r1", 3, "explore", 0.25),
        place("ann", "pot", "r1"),
        place("bob", "cup", "r1"),
    )

    first, second = exposures(journeys)
    assert (first.clicked, first.shown_ms, first.slot, first.propensity) == (True, T0, 3, 0.25)
    assert STRATEGIES[first.strategy] == "explore"
    assert (second.clicked, second.slot, STRATEGIES[second.strategy]) == (False, 4, "unknown")
    assert known(exposures(journeys)) == [first]


def test_events_that_name_no_recommendation_or_lie_outside_are_passed_over() -> None:
    journeys = collected(
        Event("ann", "click", "cup", T0),
        Event("ann", "query", None, T0, text="cup", recommendation_id="r1"),
        seen("ann", "cup", "r1", T0 - 1),
        seen("ann", "cup", "r1", T0 + DAY_MS),
        outcome("early", event_time=T0 - 1),
        asked=Range(T0, T0 + DAY_MS),
    )

    assert journeys.people == {}


def test_of_an_outcome_that_was_written_twice_the_last_counts() -> None:
    journeys = collected(outcome("o1", value=5.0), outcome("o1", value=7.0), outcome("o2", value=1.0))

    (row,) = outcome_rows(journeys.people.values())
    assert (row["outcomes"], row["value"], row["unattributed"]) == (2, 8.0, 1.0)


def test_memory_is_bounded_by_forgetting_half_of_the_people_wholly() -> None:
    events = [seen(f"u{n}", f"i{k}", "r", T0) for n in range(400) for k in range(5)]
    journeys = collected(*events, rows_max=600)

    assert len(exposures(journeys)) <= 600
    assert journeys.share == 0.25
    assert 60 < len(journeys.people) < 140
    assert all(len(person.exposures) == 5 for person in journeys.people.values())
    assert set(journeys.people) == {f"u{n}" for n in range(400) if item_hash(f"u{n}") < 2**64 // 4}


@given(st.permutations(range(60)))
def test_which_people_are_remembered_does_not_depend_on_the_order(order) -> None:
    events = [seen(f"u{n % 20}", f"i{n}", "r", T0) for n in order]

    assert set(collected(*events, rows_max=20).people) == set(
        collected(*sorted(events, key=lambda event: event.item_id or ""), rows_max=20).people
    )


# --- credits

TWO = (("interest", T0, 0.0), ("explore", T0 + 12 * HOUR_MS, 1.0))


def test_an_outcome_is_divided_anew_under_every_rule() -> None:
    people = list(collected(outcome("o1", touches=TWO, value=10.0)).people.values())
    found = credit_figures(people, 12 * HOUR_MS)["purchase"]

    earned = {rule: each["strategies"] for rule, each in found["rules"].items()}
    assert tuple(earned) == ALL_RULES
    by_rule = {rule: (each["interest"]["credit"], each["explore"]["credit"]) for rule, each in earned.items()}
    assert by_rule["recorded"] == by_rule["last_touch"] == (0.0, 1.0)
    assert by_rule["first_touch"] == (1.0, 0.0)
    assert by_rule["linear"] == by_rule["position_based"] == (0.5, 0.5)
    assert by_rule["time_decay"] == pytest.approx((1 / 3, 2 / 3))
    assert by_rule["markov"] == by_rule["shapley"] == pytest.approx((0.5, 0.5))
    assert earned["time_decay"]["explore"]["value"] == pytest.approx(20 / 3)
    assert found["rules"]["linear"]["slots"] == {"1": 0.5, "2": 0.5}


def test_a_refund_takes_back_what_its_purchase_gave_under_every_rule() -> None:
    back = (("interest", T0, 0.0), ("explore", T0 + 12 * HOUR_MS, -1.0))
    people = collected(
        outcome("o1", touches=TWO, value=10.0),
        outcome("o2", touches=back, value=-10.0, action="refund", reverses="o1", event_time=T0 + 30 * DAY_MS),
    ).people

    found = credit_figures(list(people.values()), HOUR_MS)["purchase"]
    for rule in ALL_RULES:
        for each in found["rules"][rule]["strategies"].values():
            assert each["credit"] == pytest.approx(0.0, abs=1e-12)
            assert each["value"] == pytest.approx(0.0, abs=1e-12)
    assert found["unattributed"] == 0.0
    assert found["paths"]["converted"] == 0.0


def test_what_nothing_earned_stays_with_nothing() -> None:
    people = collected(
        outcome("o1"), outcome("o2", touches=(("popular", T0, 0.75),)), outcome("o3", action="cart", touches=TWO)
    ).people
    found = credit_figures(list(people.values()), HOUR_MS)

    assert sorted(found) == ["cart", "purchase"]
    assert found["purchase"]["unattributed"] == 1.25
    for each in found["purchase"]["rules"].values():
        assert each["strategies"]["popular"]["credit"] == 0.75


def test_paths_without_an_outcome_are_what_markov_learns_from() -> None:
    # interest -> explore converts; explore alone was seen three times by others, in vain.
    records = [outcome("o1", touches=TWO)]
    for n in range(3):
        records += [seen(f"u{n}", "pot", "r"), place(f"u{n}", "pot", "r", 1, "explore")]
    # Of a person who bought the item the exposures are the path of the outcome, not one in vain.
    records += [seen("ann", "cup", "r"), place("ann", "cup", "r", 1, "popular")]
    people = list(collected(*records).people.values())

    paths = credit_figures(people, HOUR_MS)["purchase"]["paths"]
    assert (paths["converted"], paths["others"]) == (1.0, 3.0)
    # Start -> interest 1/4, explore 3/4; interest -> explore; explore converts in 1/4. All goes by explore: effect 1;
    # without interest 3/16 of 1/4 are left: effect 1/4.
    assert paths["markov"]["explore"] == pytest.approx(1 / 1.25)
    assert paths["markov"]["interest"] == pytest.approx(0.25 / 1.25)
    assert paths["markov"]["popular"] == 0.0
    assert paths["shapley"]["interest"] == pytest.approx(0.5)


_TOUCHES = st.lists(st.tuples(st.sampled_from(STRATEGIES), st.integers(0, 10**9)), max_size=8)


@given(st.lists(_TOUCHES, min_size=1, max_size=6))
def test_every_rule_gives_away_all_that_was_recorded(paths) -> None:
    records = []
    for n, path in enumerate(paths):
        touches = tuple((name, T0 + at_ms, 1.0 / len(path)) for name, at_ms in path)
        records.append(outcome(f"o{n}", touches=touches))
    found = credit_figures(list(collected(*records).people.values()), DAY_MS)["purchase"]

    for each in found["rules"].values():
        given_ = sum(strategy["credit"] for strategy in each["strategies"].values())
        assert given_ + found["unattributed"] == pytest.approx(len(paths))
        assert sum(each["slots"].values()) == pytest.approx(given_)


# --- cells


def stats(partition: int, strategy: Any = "interest", n: int = 4, clicks: int = 2, **more: Any) -> StrategyStats:
    sums = {"inverse_propensity": 2.0 * n, "inverse_propensity_squared": 4.0 * n}
    clicked = {"clicks_inverse_propensity": 2.0 * clicks, "clicks_inverse_propensity_squared": 4.0 * clicks}
    return StrategyStats(strategy, 1, 0, partition, n, clicks, 0.5, 0.25, 22.5, **(sums | clicked | more))


def test_totals_of_partitions_add_up_to_what_their_exposures_say() -> None:
    found = cells_of(
        [stats(0, n=4, clicks=2), stats(1, n=6, clicks=1), stats(0, "explore", 10, 1), stats(1, "unknown")]
    )

    assert found.exposures.tolist() == [10.0, 10.0]
    assert estimates(found).ips.value.tolist() == pytest.approx([2 * 3 / 20, 2 * 1 / 20])


def test_exposures_make_the_same_cells() -> None:
    records: list[Any] = []
    for n in range(20):
        records.append(seen("ann", "cup", f"r{n}", T0, "click" if n < 4 else "impression"))
        records.append(place("ann", "cup", f"r{n}", 1, "explore" if n % 2 else "interest", 0.5))

    found = exposed_cells(known(exposures(collected(*records))))
    assert found.exposures.tolist() == [10.0, 10.0]
    assert found.clicks_inverse_propensity.tolist() == [4.0, 4.0]
    assert estimates(found).overlap.tolist() == [1.0, 1.0]


# --- times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7d", T0 - 7 * DAY_MS),
        ("90m", T0 - 90 * 60_000),
        ("2w", T0 - 14 * DAY_MS),
        ("2026-01-01", T0),
        ("2026-01-01T01:00:00+01:00", T0),
    ],
)
def test_a_moment_is_told_by_how_long_ago_or_by_date(text: str, expected: int) -> None:
    assert parse_moment_ms("--from", text, T0) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "7", "7y", "2026-13-01", "2026-01-01T00:00:00"])
def test_what_is_no_time_is_named_with_a_fix(text: str) -> None:
    with pytest.raises(UsageError, match=r"--from .* Fix: say 7d"):
        parse_moment_ms("--from", text, T0)


def test_a_span_is_more_than_nothing() -> None:
    assert parse_span_ms("--half-life", "12h") == 12 * HOUR_MS
    with pytest.raises(UsageError, match="--half-life '0d'"):
        parse_span_ms("--half-life", "0d")


# --- the command


@pytest.fixture
def topics(
    embedded: Callable[[Mapping[str, int]], EmbeddedBroker], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    for name in list(os.environ):
        if name.upper().startswith("PENCHANT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    names = [getattr(Settings(), name) for name in Settings.model_fields if name.startswith("topic_")]
    broker = embedded(dict.fromkeys(names, 3))
    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    return Settings()


@pytest.fixture
def filled(topics: Settings) -> Settings:
    """Three weeks: each user sees items in two slots, explore and interest in turn, clicks and buys some."""
    rng = np.random.default_rng(3)
    producer = Producer({"bootstrap.servers": topics.bootstrap_servers, "log_level": 0})

    def send(topic: str, user: str, record: Any) -> None:
        producer.produce(topic, encode(record), user.encode())

    for n in range(300):
        user, at_ms = f"u{n}", T0 + n * 21 * DAY_MS // 300
        for rank in (1, 2):
            item, list_ = f"i{(n + rank) % 7}", f"{n:032x}"
            strategy = "explore" if (n + rank) % 2 else "interest"
            send(topics.topic_events, user, seen(user, item, list_, at_ms, slot=rank))
            if n % 2:  # half of the lists are of before 0.3
                send(topics.topic_attributions, user, place(user, item, list_, rank, strategy, 0.5))
            elif rank == 2:
                items = [f"i{(n + each) % 7}" for each in (1, 2)]
                strategies = ["explore" if (n + each) % 2 else "interest" for each in (1, 2)]
                record = reasons_record(list_, user, items, strategies=strategies, propensity=0.5)
                pinned = msgspec.structs.replace(record.places[0], moved_by="rule:pin")
                record = msgspec.structs.replace(record, places=(pinned, *record.places[1:]))
                send(topics.topic_attributions, user, record)
            if rng.random() < (0.4 if rank == 1 else 0.2):
                send(topics.topic_events, user, seen(user, item, list_, at_ms + 1000, "click"))
        bought = outcome(f"o{n}", user, TWO, item_id=f"i{(n + 1) % 7}", value=10.0, evidence="impression")
        if n % 3 == 0:
            for _ in range(2):  # delivered twice
                send(topics.topic_attributions, user, bought.__class__(**_fields(bought, event_time=at_ms + 2000)))
    for partition in (0, 1):
        for _ in range(2):  # compacted or not, the newest of a key counts
            producer.produce(
                topics.topic_strategy_stats,
                encode(stats(partition, n=40, clicks=8)),
                f"interest/1/0/{partition}".encode(),
            )
    producer.produce(topics.topic_attributions, b"{broken", b"u0")
    producer.produce(topics.topic_events, b"{broken", b"u0")
    assert producer.flush(20) == 0
    return topics


def _fields(record: Any, **changes: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__} | changes


def penchant(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["report", "outcomes", *arguments], prog_name="penchant")


def reported(*arguments: str) -> dict[str, Any]:
    result = penchant(*arguments, "--json", "report.json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(Path("report.json").read_text(encoding="utf-8"))
    return found


def test_the_report_holds_what_the_topics_say(filled: Settings) -> None:
    found = reported("--rule", "linear", "--from", "2026-01-01")

    assert found["read"]["exposures"] == 600
    assert found["read"]["exposures_not_placed"] == 0
    assert found["read"]["unreadable"] == 2
    assert found["outcomes"] == [
        {"action": "purchase", "evidence": "impression", "outcomes": 100, "unattributed": 0.0, "value": 1000.0}
    ]
    assert found["recorded_rules"] == {"last_touch": 100}
    earned = found["credits"]["purchase"]["rules"]
    assert earned["recorded"]["strategies"]["explore"] == {"credit": 100.0, "value": 1000.0}
    assert earned["linear"]["strategies"]["interest"] == pytest.approx({"credit": 50.0, "value": 500.0})
    assert found["credits"]["purchase"]["paths"]["others"] == 500  # 200 people both items, 100 the one not bought

    rates = {(row["slot"], row["strategy"]): row for row in found["click_rates"]}
    assert sorted(rates) == [(1, "explore"), (1, "interest"), (2, "explore"), (2, "interest")]
    row = rates[1, "explore"]
    assert row["exposures"] == 150
    assert row["overlap"] == 1.0
    assert row["ips"] is row["snips"] is row["doubly_robust"] is None  # its propensities are those of items
    other = rates[1, "interest"]
    assert other["ips"]["value"] == pytest.approx(other["clicks"] / 150)  # shown half the time, by chances of one half
    explored = found["explored"][0]
    assert [each["slot"] for each in found["explored"]] == [1, 2]
    assert (explored["exposures"], explored["clicks"], explored["kept_weight"]) == (150, row["clicks"], 150)
    assert explored["kept_click_rate"]["value"] == pytest.approx(other["clicks"] / 150)
    assert explored["click_rate"]["low"] < 0.4 < explored["click_rate"]["high"]
    assert found["ever"]["explored"] == []
    (pinned,) = found["moved"]
    assert (pinned["moved_by"], pinned["exposures"], pinned["purchases"]) == ("rule:pin", 150, 0)
    assert pinned["click_rate"] == pytest.approx(pinned["clicks"] / 150)
    in_slot_1 = sum(each["clicks"] for each in found["click_rates"] if each["slot"] == 1)
    assert pinned["unmoved_click_rate"] == pytest.approx((in_slot_1 - pinned["clicks"]) / 150)
    assert pinned["difference"]["low"] < 0.0 < pinned["difference"]["high"]
    second = found["position_bias"][1]
    assert second["harvested"]["low"] < 0.5 < second["harvested"]["high"]
    assert second["harvested"]["value"] < 0.8
    for each in found["strategies_at_slot_1"]:
        assert each["corrected"]["value"] > each["click_rate"]["value"]
    (ever,) = found["ever"]["click_rates"]
    assert (ever["exposures"], ever["clicks"], ever["snips"]["value"]) == (80.0, 16.0, 0.2)
    assert found["ever"]["earned"]["interest"] == {"carts": 1.0, "purchases": 0.5, "value": 45.0}


def test_a_range_of_event_times_leaves_the_others_out(filled: Settings) -> None:
    found = reported("--from", "2026-01-08", "--to", "2026-01-15T00:00:00Z")

    assert found["read"]["exposures"] == 200
    assert found["outcomes"][0]["outcomes"] in (33, 34)
    assert found["from"] == "2026-01-08T00:00:00+00:00"


def test_the_terminal_shows_tables_and_the_page_its_plots(filled: Settings) -> None:
    result = penchant("--html", "report.html", "--rule", "shapley")

    assert result.exit_code == 0, result.output
    for said in ("100 outcomes", "impression", "last_touch", "value, shapley", "explore", "rule:pin"):
        assert said in result.stdout
    page = Path("report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 4
    assert "overlap" in page
    assert "<script" not in page


def test_empty_topics_are_an_empty_report(topics: Settings) -> None:
    found = reported("--html", "report.html")

    assert found["outcomes"] == found["click_rates"] == found["position_bias"] == []
    assert "No outcome of purchase" in penchant().stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "yesterday"], "--from 'yesterday'"),
        (["--from", "1d", "--to", "2d"], "--from 1d is not before --to 2d"),
        (["--half-life", "soon"], "--half-life 'soon'"),
        (["--json", "nowhere/report.json"], "nowhere/report.json"),
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


def test_reading_that_takes_too_long_ends_with_what_to_do(filled: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = count(0, 10)
    monkeypatch.setattr(report_read, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    result = penchant("--deadline", "5")

    assert result.exit_code == 2
    assert "more than 5 s" in result.stderr
    assert "--deadline" in result.stderr
