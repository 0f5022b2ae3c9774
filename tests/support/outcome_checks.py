"""What must be true of outcomes after anything: each credited exactly once, to whom a plain sequential reader says.

The reader knows no published lists, since when they were published is a matter of timing; so what it credits must be among what
was credited, and what it counts of lists that Penchant did not make must be the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from outcome_reference import Outcome, Reference, Told

from models.items.names import ItemNames
from models.vocabulary import ACTIONS, EVIDENCE
from stream.outcomes.publish import outcome_id
from stream.settings import Settings
from stream.state.record import States
from stream.state.update import UpdateParams, apply_events
from stream.storage.overlay import Overlay
from stream.wire.decode import DecodeLimits
from stream.wire.records import OutcomeAttribution, StrategyStats, read_attribution, strategy_stats_decoder
from stream.wire.times import parse_time_ms
from stream.worker.intake import read_chunk

HOUR_MS = 3_600_000
PATH = 8


class Expected(NamedTuple):
    """An outcome as the sequential reader has it."""

    user_id: str
    item_id: str
    action: str
    outcome: Outcome
    named: int | None
    """128 bits of the recommendation id in the event."""
    n_touches: int
    """Of the user, at that time."""


class _NoStore:
    def get_many(self, keys: list[bytes]) -> list[None]:
        return [None] * len(keys)


def outcome_problems(settings: Settings, events: list[Any], attributions: list[Any], stats: list[Any]) -> list[str]:
    """Lines for a person; empty: everything holds. Each argument is all messages of the topic."""
    expected, exposures = expectation(settings, events)
    decoded = [read_attribution(m.value()) for m in attributions]
    found = [each for each in decoded if isinstance(each, OutcomeAttribution)]
    problems = [f"outcome {i} was credited {n} times" for i, n in Counter(o.outcome_id for o in found).items() if n > 1]
    by_id = {each.outcome_id: each for each in found}
    problems += [f"outcome {i} of {expected[i]} is missing" for i in expected.keys() - by_id.keys()]
    problems += [f"nobody expected {by_id[i]}" for i in by_id.keys() - expected.keys()]
    for i in expected.keys() & by_id.keys():
        problems += _differences(settings, expected[i], by_id[i], expected)
    newest = {m.key(): strategy_stats_decoder.decode(m.value()) for m in stats}
    return problems + list(_total_differences(found, list(newest.values()), exposures))


def expectation(settings: Settings, events: list[Any]) -> tuple[dict[str, Expected], int]:
    """Outcomes by their ids, and the number of exposures to lists that Penchant did not make."""
    limits = DecodeLimits(
        settings.message_max_bytes,
        parse_time_ms(settings.event_time_earliest) or 0,
        settings.event_time_max_ahead_s * 1000,
    )
    params = UpdateParams(np.array(settings.strengths()), float(settings.dwell_saturation_ms), settings.pair_window)
    windows_ms = {
        "click": round(settings.outcome_window_click_h * HOUR_MS),
        "cart": round(settings.outcome_window_cart_h * HOUR_MS),
        "purchase": round(settings.outcome_window_purchase_h * HOUR_MS),
    }
    names, made, exposures = ItemNames(), {}, 0
    for partition in {m.partition() for m in events}:
        overlay: Overlay[States] = Overlay(_NoStore(), States)  # type: ignore[arg-type]
        reference = Reference(settings.outcome_rule, windows_ms, settings.outcome_half_life_h * HOUR_MS)
        for message in (m for m in events if m.partition() == partition):
            intake = read_chunk([_record(message)], limits, names)
            if not intake.keys:
                continue
            rows = overlay.rows(intake.keys)
            if not apply_events(overlay.states, intake.columns._replace(row=rows), params).applied[0]:
                continue
            told = _told(intake, int(rows[0]))
            before = len(reference.outcomes)
            reference.apply(told)
            for outcome in reference.outcomes[before:]:
                raw = json.loads(message.value())
                named = told.list_id or None
                n_touches = len(reference.users[told.user].touches)
                made[outcome_id(settings.topic_events, partition, message.offset())] = Expected(
                    raw["user_id"], raw["item_id"], told.action, outcome, named, n_touches
                )
        exposures += len(reference.exposures)
    return made, exposures


def _told(intake: Any, user: int) -> Told:
    columns, referrals = intake.columns, intake.referrals
    high, low = referrals.list_id[0].tolist()
    value = float(referrals.value[0])
    return Told(
        int(columns.offset[0]), user, int(columns.time_ms[0]), int(columns.item[0] >> np.uint64(32)),
        ACTIONS[columns.action[0]], high << 64 | low, int(columns.slot[0]), int(columns.context[0]),
        None if np.isnan(value) else value, int(columns.event_id[0]),
    )  # fmt: skip


def _differences(
    settings: Settings, expected: Expected, found: OutcomeAttribution, others: dict[str, Expected]
) -> Iterator[str]:
    wanted = expected.outcome
    same = (found.user_id, found.item_id, found.action, found.value, found.rule)
    if same != (expected.user_id, expected.item_id, expected.action, wanted.value, settings.outcome_rule):
        yield f"{found}: expected {expected}"
    whole = sum(credit.credit for credit in found.credits) + found.unattributed
    if abs(whole - (-1.0 if found.action == "refund" else 1.0)) > 1e-9:
        yield f"{found}: the credits sum to {whole}"
    if found.evidence not in EVIDENCE:
        yield f"{found}: evidence of no known kind"
    taken_back = None if found.reverses is None else others[found.reverses].outcome.offset
    if taken_back != wanted.reverses:
        yield f"{found}: takes back {taken_back}, expected {wanted.reverses}"
    ids = [int.from_bytes(bytes.fromhex(credit.recommendation_id), "big") for credit in found.credits]
    if expected.named is not None and found.action != "refund" and (not ids or ids[-1] != expected.named):
        yield f"{found}: does not end with what the event names"
    if expected.n_touches < 30 and len(ids) < PATH and not {t[0] for t in wanted.touches} <= set(ids):
        yield f"{found}: lacks touches of {wanted}"


def _total_differences(found: list[OutcomeAttribution], stats: list[StrategyStats], exposures: int) -> Iterator[str]:
    credited = {
        "carts": sum(c.credit for o in found if o.action == "cart" for c in o.credits),
        "purchases": sum(c.credit for o in found if o.action in {"purchase", "refund"} for c in o.credits),
        "value": sum(
            c.credit * abs(o.value or 0.0) for o in found if o.action in {"purchase", "refund"} for c in o.credits
        ),
    }
    for name, wanted in credited.items():
        got = sum(getattr(each, name) for each in stats)
        if abs(got - wanted) > 1e-6 * max(1.0, abs(wanted)):
            yield f"strategies earned {got} {name}, the outcomes say {wanted}"
    foreign = sum(each.exposures for each in stats if each.strategy == "unknown")
    if foreign != exposures:
        yield f"{foreign} exposures to lists of others were counted, expected {exposures}"


class _Record:
    def __init__(self, message: Any) -> None:
        self.topic, self.partition, self.offset = message.topic(), message.partition(), message.offset()
        self.key, self.value, self.timestamp = message.key(), message.value(), message.timestamp()[1]


def _record(message: Any) -> Any:
    return _Record(message)
