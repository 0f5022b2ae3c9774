"""Credited outcomes -> the records other services read. Pure; ids are deterministic, so an outcome never has two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import isnan

from models.vocabulary import ACTIONS, EVIDENCE, RULES, STRATEGIES
from stream.outcomes.crediting import Credited
from stream.state.update import EventColumns
from stream.wire.records import Credit, OutcomeAttribution


def outcome_id(topic: str, partition: int, offset: int) -> str:
    """32 hex digits of BLAKE2b over where the event lies."""
    return blake2b(f"{topic}\x00{partition}\x00{offset}".encode(), digest_size=16).hexdigest()


def outcome_records(
    credited: Credited,
    keys: Sequence[bytes],
    events: EventColumns,
    name_of: Callable[[int], str | None],
    topic: str,
    partition: int,
    rule: int,
) -> list[OutcomeAttribution]:
    """One record per outcome; `keys` and `events` are those that the outcomes were made of."""
    outcomes = credited.outcomes
    at = outcomes["event"]
    columns = [
        column.tolist()
        for column in (
            at,
            events.offset[at],
            events.item[at],
            events.action[at],
            events.time_ms[at],
            events.context[at],
            outcomes["evidence"],
            outcomes["value"],
            outcomes["reverses"],
            outcomes["unattributed"],
        )
    ]
    return [
        OutcomeAttribution(
            outcome_id(topic, partition, offset),
            keys[event].decode(),
            name_of(item) or f"hash:{item:016x}",
            ACTIONS[action],
            time_ms,
            None if isnan(value) else value,
            touches,
            RULES[rule],
            unattributed,
            EVIDENCE[evidence],
            context,
            None if reverses < 0 else outcome_id(topic, partition, reverses),
        )
        for event, offset, item, action, time_ms, context, evidence, value, reverses, unattributed, touches in zip(
            *columns, _credits(credited), strict=True
        )
    ]


def _credits(credited: Credited) -> list[tuple[Credit, ...]]:
    made = []
    for n, touches in zip(credited.outcomes["n_credits"].tolist(), credited.credits.tolist(), strict=True):
        made.append(
            tuple(
                Credit(f"{high:016x}{low:016x}", rank, STRATEGIES[strategy], shown_ms, share, round(propensity, 9))
                for high, low, rank, strategy, _, shown_ms, share, propensity in touches[:n]
            )
        )
    return made
