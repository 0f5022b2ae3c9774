"""Lists and reasons joined, shown and counted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st
from reason_records import reasons_record
from rich.console import Console
from typer.testing import CliRunner

from stream.cli.main import app
from stream.cli.watch_lists import Record, handle
from stream.cli.watch_screen import Wanted, format_list, list_to_json, show
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings
from stream.wire import join as joining
from stream.wire.join import HOLD_MAX_S, HOLD_S, PENDING_MAX, Joined, Joiner
from stream.wire.reasons import Contribution, Explanation, RecommendationAttribution, item_reasons
from stream.wire.records import EventSource, ModelVersions, Recommendation, RecommendedItem, encode

T0 = 1_700_000_000_000
DEFAULT = Wanted()


def make_list(n: int = 1, user: str = "u1", items: int = 2, **changes: Any) -> Recommendation:
    places = tuple(
        RecommendedItem(f"i{rank}", rank, 1.0 / rank, 0.1, "interest", 1.0, {"co_occurrence": 1.0 / rank})
        for rank in range(1, items + 1)
    )
    plain = Recommendation(
        f"r{n}",
        user,
        T0 + 250,
        T0 - 10**9,
        EventSource("interest.events", 0, n),
        "event",
        ModelVersions(None, None, "r"),
        places,
    )
    return msgspec.structs.replace(plain, **changes)


def make_reason(n: int = 1, rank: int = 1, user: str = "u1", **changes: Any) -> RecommendationAttribution:
    plain = RecommendationAttribution(
        f"r{n}",
        user,
        f"i{rank}",
        rank,
        1.0 / rank,
        (Contribution("i9", "purchase", T0, 1.0 / rank),),
        0.0,
        "exact-additive",
        Explanation(f"Because of {rank}.", f"因为{rank}。"),
        0.0,
    )
    return msgspec.structs.replace(plain, **changes)


def joined(*reasons: int, freshness_ms: int | None = 250, **changes: Any) -> Joined:
    return Joined(
        make_list(**changes), {rank: item_reasons(make_reason(rank=rank))[0] for rank in reasons}, freshness_ms
    )


# --- joining


def test_a_list_is_given_once_and_when_the_last_wanted_reason_is_there() -> None:
    joiner = Joiner(top=2)
    joiner.add_list(make_list(items=3), now=0.0)
    joiner.add_reasons(make_reason(rank=1), now=0.0)
    assert joiner.ready(0.1) == []

    joiner.add_reasons(make_reason(rank=2), now=0.1)

    [given] = joiner.ready(0.1)
    assert sorted(given.reasons) == [1, 2]
    assert joiner.ready(100.0) == []


def test_one_record_holds_the_reasons_of_a_whole_list() -> None:
    joiner = Joiner(top=2)
    joiner.add_list(make_list(items=3), now=0.0)
    joiner.add_reasons(reasons_record("r1", "u1", ["i1", "i2", "i3"]), now=0.0)

    [given] = joiner.ready(0.1)

    assert {rank: why.sentence("en") for rank, why in given.reasons.items()} == {1: "Because i1.", 2: "Because i2."}


def test_reasons_that_come_before_their_list_are_kept_for_it() -> None:
    joiner = Joiner(top=2)
    joiner.add_reasons(make_reason(rank=1), now=0.0)
    joiner.add_reasons(make_reason(rank=2), now=0.0)

    joiner.add_list(make_list(), now=0.0)

    assert sorted(joiner.ready(0.0)[0].reasons) == [1, 2]


def test_a_list_whose_reasons_do_not_come_is_shown_without_them_after_a_while() -> None:
    joiner = Joiner(top=2)
    joiner.add_list(make_list(), now=0.0)

    assert joiner.ready(HOLD_S - 0.01) == []
    assert joiner.ready(HOLD_S)[0].reasons == {}


def test_a_list_waits_longer_while_reasons_arrive_but_not_for_ever() -> None:
    joiner = Joiner(top=1)
    joiner.add_list(make_list(1), now=0.0)
    joiner.add_reasons(make_reason(n=2), now=HOLD_S)
    assert joiner.ready(HOLD_S + 0.1) == []

    joiner.add_reasons(make_reason(n=3), now=HOLD_MAX_S)

    assert len(joiner.ready(HOLD_MAX_S)) == 1


def test_an_empty_list_waits_for_nothing() -> None:
    joiner = Joiner(top=3)
    joiner.add_list(make_list(items=0), now=0.0)

    assert len(joiner.ready(0.0)) == 1


def test_a_list_that_says_it_has_no_reasons_waits_for_none() -> None:
    joiner = Joiner(top=2)
    joiner.add_list(make_list(explained=False), now=0.0)

    assert joiner.ready(0.0)[0].reasons == {}


def test_a_list_published_twice_is_shown_once_while_it_waits() -> None:
    joiner = Joiner(top=1)
    joiner.add_list(make_list(), now=0.0)
    joiner.add_reasons(make_reason(), now=0.0)
    joiner.add_list(make_list(), now=0.0)

    assert len(joiner.ready(0.0)) == 1


def test_freshness_is_from_the_events_arrival_in_kafka_to_the_making_of_the_list() -> None:
    joiner = Joiner(top=1)
    joiner.add_arrival(0, 1, T0 + 50)
    joiner.add_list(make_list(items=0), now=0.0)

    assert joiner.ready(0.0)[0].freshness_ms == 200


def test_a_list_that_no_event_caused_or_whose_event_was_not_seen_has_no_freshness() -> None:
    joiner = Joiner(top=1)
    joiner.add_arrival(0, 1, T0)
    joiner.add_list(make_list(1, items=0, trigger="catalog"), now=0.0)
    joiner.add_list(make_list(2, items=0), now=0.0)

    assert [each.freshness_ms for each in joiner.ready(0.0)] == [None, None]


def test_memory_is_bounded_whatever_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EARLY_MAX", "TITLES_MAX", "ARRIVALS_MAX"):
        monkeypatch.setattr(joining, name, 10)
    joiner = Joiner(top=2)

    for n in range(50):
        joiner.add_reasons(make_reason(n), now=0.0)
        joiner.add_arrival(0, n, T0)
        joiner.set_title(f"i{n}", "title")

    assert len(joiner._early) == len(joiner._arrivals) == joiner.titles == 10
    assert joiner.title("i49") == "title"
    assert joiner.title("i0") is None


def test_a_joiner_says_when_no_more_lists_should_be_read() -> None:
    joiner = Joiner(top=1)
    for n in range(PENDING_MAX):
        assert not joiner.full
        joiner.add_list(make_list(n), now=0.0)

    assert joiner.full


@given(st.permutations([("list", 0), ("list", 1), *(("reason", n) for n in range(4))]))
def test_in_whatever_order_records_arrive_every_list_comes_out_once_and_complete(order: list[tuple[str, int]]) -> None:
    joiner, given_ = Joiner(top=2), []
    for kind, n in order:
        if kind == "list":
            joiner.add_list(make_list(n), now=0.0)
        else:
            joiner.add_reasons(make_reason(n // 2, rank=n % 2 + 1), now=0.0)
        given_ += joiner.ready(0.0)

    assert sorted(each.recommendation.recommendation_id for each in given_) == ["r0", "r1"]
    assert all(sorted(each.reasons) == [1, 2] for each in given_)


# --- what is shown


def plain(each: Joined, wanted: Wanted = DEFAULT) -> list[str]:
    return [line.plain for line in format_list(each, {"i1": "First"}.get, wanted)]


def test_a_list_tells_for_whom_how_fresh_which_items_and_why() -> None:
    head, first, why, second, *rest = plain(joined(1))

    assert head.endswith("  u1  250 ms after the event")
    assert first == "   1  First  i1  1.000"
    assert why == "      Because of 1."
    assert second == "   2  i2  0.500"
    assert rest == []


def test_only_the_first_items_are_shown_and_in_the_language_asked_for() -> None:
    lines = plain(joined(1, 2), Wanted(top=1, lang="zh"))

    assert lines[0].endswith("  u1  行为后 250 毫秒")
    assert lines[1:] == ["   1  First  i1  1.000", "      因为1。"]


def test_a_list_that_no_event_caused_says_what_did() -> None:
    assert plain(joined(freshness_ms=None, trigger="catalog"))[0].endswith("  u1  (catalog)")


def test_a_stale_list_is_told_in_seconds() -> None:
    assert plain(joined(freshness_ms=3_600_000))[0].endswith("3,600 s after the event")


def test_an_empty_list_says_so() -> None:
    assert plain(joined(items=0))[1:] == ["    nothing to recommend"]


def test_a_title_cannot_command_the_terminal() -> None:
    lines = format_list(joined(1), {"i1": "\x1b[2J\x07evil\n\u202etitle"}.get, Wanted())

    assert lines[1].plain == "   1   [2J evil  title  i1  1.000"


@pytest.mark.parametrize("terminal", [True, False])
def test_markup_in_a_title_is_shown_as_it_is(terminal: bool, capsys: pytest.CaptureFixture[str]) -> None:
    show(Console(force_terminal=terminal, width=80), joined(1), {"i1": "[bold]x[/nope]"}.get, Wanted())

    out = capsys.readouterr().out
    assert "[bold]x[/nope]" in out
    assert ("\x1b" in out) == terminal


def test_as_json_a_list_keeps_its_fields_and_gains_titles_reasons_and_freshness() -> None:
    record = list_to_json(joined(1), {"i1": "First"}.get, Wanted())

    assert record["recommendation_id"] == "r1"
    assert record["freshness_ms"] == 250
    assert [item["title"] for item in record["items"]] == ["First", None]
    assert record["items"][0]["reason"] == "Because of 1."
    assert record["items"][0]["contributions"][0]["item_id"] == "i9"
    assert "reason" not in record["items"][1]


# --- records


def test_what_cannot_be_read_or_is_of_another_user_is_passed_over() -> None:
    settings, joiner, wanted = Settings(), Joiner(top=1), Wanted(user="u1")
    for topic in (settings.topic_items, settings.topic_recommendations, settings.topic_attributions):
        for value in (None, b"", b"{", b"[]", b"\xff"):
            handle(Record(topic, 0, 0, T0, b"u1", value), joiner, settings, wanted, 0.0)
    handle(Record(settings.topic_items, 0, 0, T0, b"\xff", b"{}"), joiner, settings, wanted, 0.0)
    list_of_another = encode(make_list(user="u2", items=0))
    handle(Record(settings.topic_recommendations, 0, 0, T0, b"u2", list_of_another), joiner, settings, wanted, 0.0)

    assert joiner.ready(10.0**6) == []


def test_watch_reads_the_catalogue_as_a_worker_does_and_knows_no_arrival_without_a_timestamp() -> None:
    settings, joiner = Settings(), Joiner(3)
    odd = rb'{"item_id":"i1","title":"Tea \ud83d","price":"much"}'
    handle(Record(settings.topic_items, 0, 0, T0, b"i1", odd), joiner, settings, Wanted(), 0.0)
    handle(Record(settings.topic_items, 0, 1, T0, b"i1", b'{"item_id":"i1"}'), joiner, settings, Wanted(), 0.0)
    assert joiner.title("i1") == "Tea \ufffd"
    handle(Record(settings.topic_events, 0, 7, -1, b"u", b"{}"), joiner, settings, Wanted(), 0.0)
    assert joiner._arrivals == {}


def test_a_removed_item_loses_its_title() -> None:
    settings, joiner = Settings(), Joiner(top=1)
    handle(
        Record(settings.topic_items, 0, 0, T0, b"i1", b'{"item_id":"i1","title":"T"}'), joiner, settings, Wanted(), 0.0
    )
    assert joiner.title("i1") == "T"

    handle(Record(settings.topic_items, 0, 1, T0, b"i1", None), joiner, settings, Wanted(), 0.0)

    assert joiner.title("i1") is None


# --- against a broker


@pytest.fixture
def broker(embedded: Callable[[Mapping[str, int]], EmbeddedBroker], monkeypatch: pytest.MonkeyPatch) -> EmbeddedBroker:
    for name in list(os.environ):
        if name.upper().startswith("PENCHANT_"):
            monkeypatch.delenv(name)
    topics = ("events", "items", "recommendations", "attributions")
    made = embedded({f"interest.{name}": 1 for name in topics})
    monkeypatch.setenv("PENCHANT_BOOTSTRAP_SERVERS", made.bootstrap_servers)
    return made


def produce(broker: EmbeddedBroker, records: list[tuple[str, str, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "log_level": 0})
    for topic, key, value in records:
        producer.produce(topic, value, key)
    assert producer.flush(30) == 0


@pytest.mark.timeout(60)
def test_watch_shows_what_is_on_the_topics_joined_and_with_titles(broker: EmbeddedBroker) -> None:
    made_at = int(time.time() * 1000)
    produce(broker, [("interest.events", "u1", b"{}"), ("interest.events", "u1", b"{}")])
    produce(
        broker,
        [
            ("interest.items", "i1", b'{"item_id":"i1","title":"First"}'),
            ("interest.recommendations", "u1", encode(make_list(1, generated_at=made_at + 60_000))),
            ("interest.recommendations", "u2", encode(make_list(2, user="u2"))),
            ("interest.attributions", "u1", b'{"kind":"reasons","schema_version":3}'),  # of a later version
            ("interest.attributions", "u1", encode(make_reason(1, 1))),  # of before 0.3
            ("interest.attributions", "u1", encode(reasons_record("r1", "u1", ["i1", "i2"]))),
        ],
    )

    result = CliRunner().invoke(app, ["watch", "--from-beginning", "--user", "u1", "--limit", "1", "--json"])

    assert result.exit_code == 0, result.output
    [line] = result.stdout.splitlines()
    shown = msgspec.json.decode(line)
    assert shown["user_id"] == "u1"
    assert [item["title"] for item in shown["items"]] == ["First", None]
    assert [item["reason"] for item in shown["items"]] == ["Because i1.", "Because i2."]
    assert 30_000 < shown["freshness_ms"] <= 60_000
    assert result.stderr.endswith("1 list shown.\n")


@pytest.mark.timeout(60)
def test_watch_shows_the_lists_of_the_placement_that_is_asked(
    embedded: Callable[[Mapping[str, int]], EmbeddedBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = ("events", "items", "recommendations", "recommendations.cart", "attributions")
    broker = embedded({f"interest.{name}": 1 for name in topics})
    monkeypatch.setenv("PENCHANT_PLACEMENTS", '{"cart": {}}')
    produce(
        broker,
        [
            ("interest.recommendations", "u1", encode(make_list(1))),
            ("interest.recommendations.cart", "u1", encode(make_list(2))),
        ],
    )
    watch = ["watch", "--from-beginning", "--limit", "1", "--json", "--bootstrap-servers", broker.bootstrap_servers]

    for placement, expected in (("home", "r1"), ("cart", "r2")):
        result = CliRunner().invoke(app, [*watch, "--placement", placement])
        assert result.exit_code == 0, result.output
        assert msgspec.json.decode(result.stdout)["recommendation_id"] == expected
    refused = CliRunner().invoke(app, [*watch, "--placement", "shelf"])
    assert refused.exit_code == 2
    assert "there is no placement 'shelf'" in refused.stderr


@pytest.mark.timeout(60)
def test_watch_without_its_topics_says_what_to_do(
    embedded: Callable[[Mapping[str, int]], EmbeddedBroker],
) -> None:
    servers = embedded({"interest.events": 1}).bootstrap_servers

    result = CliRunner().invoke(app, ["watch", "--bootstrap-servers", servers])

    assert result.exit_code == 2
    assert result.stderr.startswith("penchant: missing topics: interest.items")
    assert "penchant topics create" in result.stderr
