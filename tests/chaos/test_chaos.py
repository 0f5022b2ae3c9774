"""A short chaos run in CI, and that its parts do what a long run relies on: above all, that the checks can fail."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chaos import EVENTS_PER_S, EXPECTED_CRASHES, SESSION_TIMEOUT_S, run_chaos
from chaos_checks import (
    Findings,
    confused_ids,
    credit_differences,
    item_differences,
    keyless_differences,
    letter_differences,
    list_differences,
    missing_reasons,
    stale_records,
    state_differences,
)
from chaos_load import EventStream
from chaos_schedule import ACTIONS, WORKERS, kills, make_schedule
from kafka_server import KafkaServer
from outcome_checks import newcomer_problems
from reason_records import reasons_record

from models.ranking.newcomers import no_evidence, remember
from models.vocabulary import NEWCOMER_CONTEXTS, NEWCOMER_LISTS
from stream.outcomes.newcomers import record_key, stats_of
from stream.state.record import HEADER
from stream.wire.decode import DecodedEvent, DecodeLimits, decode_event
from stream.wire.reasons import Explanation, RecommendationAttribution
from stream.wire.records import (
    Credit,
    EventSource,
    ModelVersions,
    OutcomeAttribution,
    Recommendation,
    RecommendedItem,
    encode,
)
from stream.worker.chunks import REKEYED_HEADER

SEED, ROUNDS, KILLS = 15, 9, 5


@pytest.mark.kafka
@pytest.mark.timeout(400)
def test_after_five_kills_a_zombie_and_more_everything_is_as_one_sequential_reader_would_have_it(
    kafka: KafkaServer, tmp_path: Path
) -> None:
    report = run_chaos(kafka, tmp_path, SEED, ROUNDS)
    assert report.findings.problems == []
    assert report.held
    assert report.as_json()["kills_total"] == KILLS
    assert report.findings.facts["stale_changelog_records"] == 0
    assert report.findings.facts["disk_partitions_compared"] > 0


def test_the_short_run_has_a_bit_of_everything() -> None:
    steps = make_schedule(SEED, ROUNDS, EVENTS_PER_S, SESSION_TIMEOUT_S)
    assert kills(steps) == KILLS
    assert {step.action for step in steps} >= {"kill", "wipe", "broker", "freeze", "wake", "join", "leave"}


def test_a_schedule_depends_on_its_seed_alone() -> None:
    first, again, other = (make_schedule(seed, 60, 100.0, 3.0) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("seed", range(20))
def test_a_schedule_does_only_what_can_be_done(seed: int) -> None:
    steps = make_schedule(seed, 80, 100.0, 3.0)
    running, frozen = {"a"}, set[str]()
    for step in steps:
        targets = set(step.target.split("+")) - {"broker"}
        match step.action:
            case "join":
                assert not targets & (running | frozen)
                running |= targets
            case "leave":
                assert targets < running, "somebody stays"
                running -= targets
            case "freeze":
                assert step.down_s > 3.0, "longer than the session"
                assert targets <= running
                running, frozen = running - targets, frozen | targets
            case "wake":
                assert targets <= frozen
                running, frozen = running | targets, frozen - targets
            case _:
                assert targets <= running
    assert not frozen, "nobody sleeps at the end"
    assert running <= set(WORKERS)
    assert {step.action for step in steps} <= {*ACTIONS, "wake"}


def test_a_schedule_may_be_made_of_some_actions_only() -> None:
    steps = make_schedule(3, 30, 100.0, 3.0, ["kill", "join"])
    assert {step.action for step in steps} == {"kill", "join"}


def test_the_load_depends_on_its_seed_alone_and_garbage_is_what_nothing_accepts() -> None:
    limits = DecodeLimits(1_000_000, 0, 86_400_000)
    stream, again = EventStream(7), EventStream(7)
    kinds = set()
    for _ in range(3000):
        record = next(stream)
        assert record == next(again)
        accepted = type(decode_event(record.key, record.value, 1_760_000_000_000, limits)) is DecodedEvent
        assert accepted is not record.is_garbage, record
        kinds.add((record.key is None, record.is_garbage))
    assert len(kinds) == 4, "with and without a key, good and garbage"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("penchant: x partition 0 has been claimed by another worker: this one has lost", "lost its partition"),
        ("penchant: no Kafka broker answers at 127.0.0.1:1 (timed out).", "no broker"),
        ("penchant: Kafka: KafkaConnectionError: Unable to bootstrap from [x]", "no broker"),
        ("penchant: 3 records were not acknowledged within 60 s", "records not acknowledged"),
        ("penchant: changelog of items partition 2: offsets 7 to 9 did not arrive", "a hole in recovery"),
        ("penchant: /data/0.db could not be written: disk full", None),
    ],
)
def test_a_crash_that_a_supervisor_mends_is_told_from_any_other(line: str, reason: str | None) -> None:
    assert next((name for name, pattern in EXPECTED_CRASHES.items() if pattern.search(line)), None) == reason


def test_many_differences_are_counted_and_the_first_are_told() -> None:
    findings = Findings()
    findings.add("user state", [f"u{i}" for i in range(12)])
    assert len(findings.problems) == 6
    assert findings.problems[0] == "user state: u0"
    assert findings.problems[-1] == "user state: 7 more"


# --- every check can fail ---


def packed(events: int, fence: int) -> bytes:
    return HEADER.pack(1, 0, 0, 0, 0, 0, events, fence, 0, 0, 0)


def message(offset: int, key: bytes | None, value: bytes, headers: Any = None, topic: str = "events") -> Any:
    return SimpleNamespace(
        topic=lambda: topic,
        partition=lambda: 0,
        offset=lambda: offset,
        key=lambda: key,
        value=lambda: value,
        headers=lambda: headers,
    )


def letter(offset: int, key: bytes | None, value: bytes) -> Any:
    headers = [("topic", b"events"), ("partition", b"0"), ("offset", str(offset).encode())]
    return message(0, key, value, headers, "dead-letter")


def list_of(user: str, offset: int, list_id: str = "x", *items: str) -> Recommendation:
    places = tuple(RecommendedItem(i, n + 1, 0.0, 0.0, "interest", 1.0, {}) for n, i in enumerate(items))
    source = EventSource("events", 0, offset)
    return Recommendation(list_id, user, 0, 0, source, "event", ModelVersions(None, None, "r"), places)


def outcome(outcome_id: str, credit: float, unattributed: float) -> OutcomeAttribution:
    credits_ = (Credit("x", 1, "interest", 0, credit),)
    return OutcomeAttribution(outcome_id, "ann", "cup", "purchase", 0, None, credits_, "last", unattributed)


def test_a_lost_or_doubled_event_of_a_user_is_told_with_both_counts() -> None:
    expected = {b"ann": packed(3, 9), b"bob": packed(1, 2), b"cid": packed(1, 3)}
    found = {b"ann": packed(4, 9), b"bob": packed(1, 2) + b"\x00", b"dan": packed(1, 1)}
    lines = list(state_differences(expected, found))
    assert lines[0] == "ann: events expected 3, found 4"
    assert lines[1] == "bob: the bytes after the header differ"
    assert lines[2].startswith("cid has none")
    assert lines[3].startswith("dan should have none")
    assert list(state_differences(expected, expected)) == []


def test_item_counts_must_be_equal_and_weights_nearly() -> None:
    expected = {"cup": (3, 1, 0, {"pot": 1.0}), "pot": (1, 0, 0, {})}
    assert list(item_differences(expected, {"cup": (3, 1, 0, {"pot": 1.000000001}), "pot": (1, 0, 0, {})})) == []
    lines = list(item_differences(expected, {"cup": (4, 1, 0, {"pot": 1.9}), "tray": (1, 0, 0, {})}))
    assert lines == [
        "cup: first engagements expected 3, found 4",
        "cup: weight of pot expected 1.0, found 1.9 (1 neighbours differ)",
        "pot: missing",
        "tray: nobody met it",
    ]


def test_the_last_list_of_a_user_must_be_of_the_last_event() -> None:
    last, partitions = {b"ann": 7, b"bob": 2}, {b"ann": 0, b"bob": 0}
    assert list(list_differences([list_of("ann", 7), list_of("bob", 2)], last, partitions)) == []
    lines = list(list_differences([list_of("ann", 7), list_of("ann", 5)], last, partitions))
    assert lines[0].startswith("ann: the last list is of partition 0 offset 5, the last event at partition 0 offset 7")
    assert lines[1] == "bob: has no list"


def test_every_place_of_a_last_list_needs_its_reason() -> None:
    before = RecommendationAttribution("x", "ann", "cup", 1, 0.0, (), 0.0, "m", Explanation("", ""), 0.0)
    lists = [list_of("ann", 1, "x", "cup", "pot")]
    for of_the_first in (before, reasons_record("x", "ann", ["cup"])):
        assert list(missing_reasons(lists, [of_the_first])) == ["ann, list x: no reason for ranks [2]"]
    assert list(missing_reasons(lists, [reasons_record("x", "ann", ["cup", "pot"])])) == []
    assert list(missing_reasons(lists, [reasons_record("x", "ann", ["pot", "cup"])])) != []


def test_an_id_names_one_user_event_and_list() -> None:
    assert list(confused_ids([list_of("ann", 1), list_of("ann", 1)])) == []
    assert len(list(confused_ids([list_of("ann", 1), list_of("ann", 2)]))) == 1
    assert list(confused_ids([list_of("ann", 1, "x", "cup", "pot"), list_of("ann", 1, "x", "cup", "pot")])) == []
    for other in (("pot", "cup"), ("cup",)):
        assert len(list(confused_ids([list_of("ann", 1, "x", "cup", "pot"), list_of("ann", 1, "x", *other)]))) == 1


def test_an_outcome_is_credited_once_and_as_one_whole() -> None:
    assert list(credit_differences([outcome("o", 0.75, 0.25), outcome("o", 0.75, 0.25)])) == []
    assert len(list(credit_differences([outcome("o", 0.75, 0.25), outcome("o", 0.5, 0.5)]))) == 1
    assert "sum to 1.5" in next(credit_differences([outcome("o", 0.75, 0.75)]))


def test_each_garbage_record_has_its_letter_and_nothing_else_has() -> None:
    garbage = [message(1, b"u", b"bad"), message(2, None, b"worse")]
    good = [letter(1, b"u", b"bad"), letter(1, b"u", b"bad"), letter(2, None, b"worse")]
    assert list(letter_differences(garbage, good)) == []
    lines = list(letter_differences(garbage, [letter(1, b"u", b"changed"), letter(3, b"u", b"fine")]))
    assert [line.partition(": ")[2] for line in lines] == [
        "not the original's bytes",
        "no letter",
        "a letter, but the record was good",
    ]


def test_a_keyless_event_must_come_again_under_its_users_key() -> None:
    event = message(4, None, b'{"user_id":"ann"}')
    again = message(9, b"ann", b"{}", [(REKEYED_HEADER, b"0-4")])
    wrong = message(9, b"bob", b"{}", [(REKEYED_HEADER, b"0-4")])
    assert list(keyless_differences([event, again], set())) == []
    assert list(keyless_differences([event], set())) == ["0-4: not produced again"]
    assert list(keyless_differences([event, wrong], set())) == ["0-4: produced again with key b'bob'"]


def test_a_record_older_than_the_one_before_it_was_written_by_a_zombie() -> None:
    log = [message(0, b"ann", packed(1, 5)), message(1, b"ann", packed(2, 6)), message(2, b"ann", packed(1, 5))]
    assert stale_records(log) == 1


@pytest.mark.parametrize(
    ("came", "told", "wrong"), [(5, 5, 0), (5, 4, 0), (5, 6, 1), (0, 1, 1), (900, 900, 0), (900, 901, 1)]
)
def test_a_newcomer_who_counts_twice_is_found(came: int, told: int, wrong: int) -> None:
    evidence = remember(
        no_evidence(), np.zeros((told, len(NEWCOMER_LISTS))), "popularity", np.zeros((told, len(NEWCOMER_CONTEXTS)))
    )
    record = stats_of(3, evidence, 0)
    message = SimpleNamespace(key=lambda: record_key(record), value=lambda: encode(record))
    assert len(newcomer_problems([message], Counter({3: came}))) == wrong
