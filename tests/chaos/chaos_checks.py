"""What must be true after a chaos run, each as lines for a person: which user or item, what was expected, what was found."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_load import Load
from confluent_kafka import Message
from sequential_reader import Items
from topic_checks import (
    confused_ids,
    header,
    item_differences,
    list_differences,
    missing_reasons,
    state_differences,
)
from worker_process import Topics, is_user

from stream.storage.rocks import DataDirectory
from stream.wire.records import (
    OutcomeAttribution,
    Recommendation,
    read_attribution,
    recommendation_decoder,
)
from stream.worker.chunks import REKEYED_HEADER

SHOWN = 5
"""Differences of one kind that are told one by one; of the rest only the number."""


@dataclass
class Findings:
    """`problems` empty: everything holds."""

    problems: list[str] = field(default_factory=list)
    facts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, differences: Iterable[str]) -> None:
        found = list(differences)
        self.problems += [f"{what}: {line}" for line in found[:SHOWN]]
        if len(found) > SHOWN:
            self.problems.append(f"{what}: {len(found) - SHOWN} more")


def check_everything(topics: Topics, load: Load, state: dict[bytes, bytes], items: Items) -> Findings:
    """All checks of what is on the topics, against the reference's `state` and `items`; nothing may change them any more."""
    settings = topics.settings
    findings = Findings()
    events = topics.read(settings.topic_events)
    partition_of = {m.key(): m.partition() for m in events if m.key() in state}
    last_offset = {user: header(packed)["fence"] for user, packed in state.items()}

    findings.add("user state", state_differences(state, topics.state()))
    findings.add("item statistics", item_differences(items, topics.items()))
    lists = [recommendation_decoder.decode(m.value()) for m in topics.read(settings.topic_recommendations)]
    attributions = [read_attribution(m.value()) for m in topics.read(settings.topic_attributions)]
    findings.add("last recommendation", list_differences(lists, last_offset, partition_of))
    findings.add("reasons of a last recommendation", missing_reasons(lists, attributions))
    findings.add("recommendation ids", confused_ids(lists))
    outcomes = [a for a in attributions if isinstance(a, OutcomeAttribution)]
    findings.add("outcome credit", credit_differences(outcomes))
    findings.add("outcomes", topics.outcome_problems())
    letters = topics.read(settings.topic_dead_letter)
    findings.add("dead letters", letter_differences([m for m in events if m.value() in load.garbage], letters))
    findings.add("events without a key", keyless_differences(events, load.garbage))
    findings.facts = {
        "events": len(events),
        "users": len(state),
        "items": len(items),
        "garbage": len({_place(m) for m in events if m.value() in load.garbage}),
        "dead_letter_duplicates": len(letters) - len({_origin(m) for m in letters}),
        "rekeyed_duplicates": _repeats(_header_of(m, REKEYED_HEADER) for m in events if _header_of(m, REKEYED_HEADER)),
        "recommendations": len(lists),
        "recommendations_repeated": _repeats(one.recommendation_id for one in lists),
        "recommendations_made_again_otherwise": _made_again_otherwise(lists),
        "outcome_ids": len({o.outcome_id for o in outcomes}),
        "outcomes_attributed": sum(bool(o.credits) for o in outcomes),
        "outcomes_refunded": sum(o.reverses is not None for o in outcomes),
        "stale_changelog_records": stale_records(topics.read(settings.changelog_topic)),
        "recommendations_behind_an_earlier_one": _lists_behind(lists),
    }
    return findings


def check_disks(topics: Topics, directories: Iterable[Path], expected: dict[bytes, bytes]) -> Findings:
    """Every store on a stopped worker's disk that claims to include its whole changelog does so."""
    findings = Findings()
    per_partition: dict[int, dict[bytes, bytes]] = defaultdict(dict)
    last: dict[int, int] = {}
    for message in topics.read(topics.settings.changelog_topic):
        last[message.partition()] = message.offset()  # behind it there is only the marker of its transaction
        if message.key() in expected:
            per_partition[message.partition()][message.key()] = expected[message.key()]
    current = 0
    for directory in directories:
        if not (directory / "users").is_dir():
            continue
        disk = DataDirectory(directory, 1 << 20, 1 << 20)
        try:
            stores = disk.stores("users")
            for partition, last_offset in last.items():
                if not (directory / "users" / f"{partition}.db").is_dir():
                    continue
                if (stores[partition].changelog_offset() or -1) >= last_offset:
                    current += 1
                    found = {key: value for key, value in stores[partition].items() if is_user(key)}
                    what = f"disk {directory.name}, partition {partition}"
                    findings.add(what, state_differences(per_partition[partition], found))
            stores.close_all()
        finally:
            disk.close()
    findings.facts["disk_partitions_compared"] = current
    return findings


def credit_differences(outcomes: Iterable[OutcomeAttribution]) -> Iterator[str]:
    """Outcomes credited twice in different ways, or credits that are not one whole."""
    by_id: dict[str, OutcomeAttribution] = {}
    for outcome in outcomes:
        first = by_id.setdefault(outcome.outcome_id, outcome)
        if first != outcome:
            yield f"{outcome.user_id}, outcome {outcome.outcome_id}: credited as {first} and as {outcome}"
        whole = sum(credit.credit for credit in outcome.credits) + outcome.unattributed
        if abs(whole - (-1 if outcome.action == "refund" else 1)) > 1e-9:
            yield f"{outcome.user_id}, outcome {outcome.outcome_id}: the credits sum to {whole}"


def letter_differences(garbage: Iterable[Message], letters: Iterable[Message]) -> Iterator[str]:
    """Garbage without its dead letter, letters of what was no garbage, and letters with other bytes."""
    wanted = {_place(m): (m.key(), m.value()) for m in garbage}
    found: dict[tuple[str, int, int], tuple[bytes | None, bytes | None]] = {}
    for letter in letters:
        origin, content = _origin(letter), (letter.key(), letter.value())
        if found.setdefault(origin, content) != content or wanted.get(origin, content) != content:
            yield f"{origin}: not the original's bytes"
    for origin in sorted(wanted.keys() ^ found.keys()):
        yield f"{origin}: {'no letter' if origin in wanted else 'a letter, but the record was good'}"


def keyless_differences(events: list[Message], garbage: set[bytes]) -> Iterator[str]:
    """Good records without a key that were not produced again under their user's."""
    again = {_header_of(m, REKEYED_HEADER): m for m in events if _header_of(m, REKEYED_HEADER)}
    for message in events:
        if message.key() is None and message.value() not in garbage:
            origin = f"{message.partition()}-{message.offset()}".encode()
            keyed = again.get(origin)
            if keyed is None:
                yield f"{origin.decode()}: not produced again"
            elif keyed.key() != json.loads(message.value())["user_id"].encode():
                yield f"{origin.decode()}: produced again with key {keyed.key()!r}"


def stale_records(changelog: Iterable[Message]) -> int:
    """Changelog records that are older than one before them: written by a worker that had lost the partition."""
    newest: dict[bytes, int] = {}
    stale = 0
    for message in changelog:
        if not is_user(message.key()):
            continue
        fence = header(message.value())["fence"]
        stale += fence < newest.get(message.key(), -1)
        newest[message.key()] = max(fence, newest.get(message.key(), -1))
    return stale


def _lists_behind(lists: Iterable[Recommendation]) -> int:
    """After a crash lists are made again from the last commit on: at least once, and for a moment behind what was out."""
    newest: dict[str, int] = {}
    stale = 0
    for one in lists:
        stale += one.source.offset < newest.get(one.user_id, -1)
        newest[one.user_id] = max(one.source.offset, newest.get(one.user_id, -1))
    return stale


def _made_again_otherwise(lists: Iterable[Recommendation]) -> int:
    """Events that were answered with several lists, each under its own id: after a crash statistics have moved on."""
    named: dict[tuple[str, int, int], set[str]] = defaultdict(set)
    for one in lists:
        if one.trigger == "event":
            named[one.user_id, one.source.partition, one.source.offset].add(one.recommendation_id)
    return sum(len(ids) > 1 for ids in named.values())


def _repeats(ids: Iterable[Any]) -> int:
    return sum(n - 1 for n in Counter(ids).values())


def _header_of(message: Message, name: str) -> bytes | None:
    return dict(message.headers() or []).get(name)


def _place(message: Message) -> tuple[str, int, int]:
    return message.topic(), message.partition(), message.offset()


def _origin(letter: Message) -> tuple[str, int, int]:
    headers = dict(letter.headers() or [])
    return headers["topic"].decode(), int(headers["partition"]), int(headers["offset"])
