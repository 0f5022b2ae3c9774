"""What workers have written, read on and on, and whether it is what one sequential reader of the events would have written."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from item_records import unpack_record
from outcome_checks import credit_problems
from sequential_reader import Items, SequentialReader
from topic_checks import confused_ids, header, item_differences, list_differences, missing_reasons, state_differences
from topic_tails import TopicTail
from worker_process import is_user

from models.hashing import item_hash
from models.reasons.contributions import COMPLETENESS_GAP_MAX
from stream.errors import CorruptStateError
from stream.outcomes.newcomers import RECORD_PREFIX
from stream.settings import Settings
from stream.state.owed import OWED_PREFIX
from stream.wire.reasons import Reasons
from stream.wire.records import (
    Attribution,
    OutcomeAttribution,
    Recommendation,
    StrategyStats,
    newcomer_stats_decoder,
    read_attribution,
    recommendation_decoder,
    strategy_stats_decoder,
)

SHOWN: Final = 4
COMPARED: Final = re.compile(r"i\d+")
"""Items that are in the catalogue from the beginning on: others are known by their hash alone for a while (limits.md)."""


class TopicsSeen:
    """The newest of each key, and all that is credited."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        names = (
            settings.changelog_topic, settings.topic_item_stats, settings.topic_recommendations,
            settings.topic_attributions, settings.topic_strategy_stats,
        )  # fmt: skip
        self._tails = {name: TopicTail(settings.bootstrap_servers, name) for name in names}
        self._changelog: dict[bytes, bytes | None] = {}
        self._items: dict[str, bytes] = {}
        self._lists: list[Recommendation] = []
        self._attributions: list[Attribution] = []
        self._strategies: dict[bytes, StrategyStats] = {}

    def close(self) -> None:
        for tail in self._tails.values():
            tail.close()

    def owed(self) -> int:
        """Users who are owed a list."""
        self._changelog |= {m.key(): m.value() for m in self._tails[self._settings.changelog_topic].read()}
        return sum(key.startswith(OWED_PREFIX) and value is not None for key, value in self._changelog.items())

    def problems(self, reader: SequentialReader) -> list[str]:
        """What is not as the reader has it; everything has been applied, answered and committed."""
        self._read()
        states = {k: v for k, v in self._changelog.items() if is_user(k) and v is not None}
        expected = reader.states()
        fences = {user: header(packed)["fence"] for user, packed in expected.items()}
        lists = list(self._lists)
        outcomes = [a for a in self._attributions if isinstance(a, OutcomeAttribution)]
        found = {
            "state": state_differences(expected, states),
            "item": item_differences(*map(_compared, (reader.items(), self._statistics()))),
            "list": list_differences(lists, fences, reader.partition_of),
            "reasons": missing_reasons(lists, self._attributions),
            "list ids": confused_ids(lists),
            "outcome": credit_problems(
                self._settings, reader.outcomes, reader.exposures, outcomes, list(self._strategies.values())
            ),
            "numbers": _no_numbers(lists, self._attributions),
            "lists": _mostly_empty(lists),
        }
        return [line for what, lines in found.items() for line in _first(what, lines)]

    def _read(self) -> None:
        self.owed()
        settings, tails = self._settings, self._tails
        for message in tails[settings.topic_item_stats].read():
            try:
                unpack_record(message.value())
            except (CorruptStateError, TypeError, ValueError):
                continue  # a stranger's
            self._items[message.key().decode()] = message.value()
        self._lists += [
            recommendation_decoder.decode(m.value())
            for m in tails[settings.topic_recommendations].read()
            if m.value() is not None
        ]
        self._attributions += [read_attribution(m.value()) for m in tails[settings.topic_attributions].read()]
        for message in tails[settings.topic_strategy_stats].read():
            try:
                if (message.key() or b"").startswith(RECORD_PREFIX):
                    newcomer_stats_decoder.decode(message.value() or b"")
                    continue
                self._strategies[message.key()] = strategy_stats_decoder.decode(message.value() or b"")
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # a stranger's

    def _statistics(self) -> Items:
        records = {item: unpack_record(value) for item, value in self._items.items()}
        id_of = {item_hash(item): item for item in records}
        return {
            item: (
                r.count, r.exposures, r.clicks,
                {id_of[h]: round(w, 9) for h, w in r.neighbours.items() if h in id_of},
            )
            for item, r in records.items()
        }  # fmt: skip


def _compared(items: Items) -> Items:
    return {
        item: (*counts, {other: w for other, w in neighbours.items() if COMPARED.fullmatch(other)})
        for item, (*counts, neighbours) in items.items()
        if COMPARED.fullmatch(item)
    }  # type: ignore[misc]


def _no_numbers(lists: Iterable[Recommendation], attributions: Iterable[Attribution]) -> Iterator[str]:
    for one in lists:
        if not all(math.isfinite(item.score) for item in one.items):
            yield f"a score of {one.user_id} is no number"
    for record in attributions:
        if isinstance(record, Reasons) and not record.gap <= COMPLETENESS_GAP_MAX:
            yield f"reasons of {record.user_id} are {record.gap} apart from the scores"


def _mostly_empty(lists: Iterable[Recommendation]) -> Iterator[str]:
    """Whoever was answered while the catalogue was away has nothing until their next event; that is not everybody."""
    last = {one.user_id: one for one in lists if one.user_id.startswith("good-")}
    empty = [user for user, one in last.items() if not one.items]
    if 2 * len(empty) > len(last):
        yield f"{len(empty)} of {len(last)} good users have an empty one"


def _first(what: str, lines: Iterable[str]) -> Iterator[str]:
    found = [f"{what}: {line[:600]}" for line in lines]
    yield from found[:SHOWN]
    if len(found) > SHOWN:
        yield f"{what}: {len(found) - SHOWN} more"
