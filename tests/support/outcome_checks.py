"""What must be true of outcomes after anything: each credited exactly once, to whom a plain sequential reader says.

The reader knows no published lists, since when they were published is a matter of timing; so what it credits must be among what
was credited, and what it counts of lists that Penchant did not make must be the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sequential_reader import Expected, SequentialReader

from models.ranking.evidence import MEMORY
from models.vocabulary import EVIDENCE
from stream.outcomes.newcomers import RECORD_PREFIX
from stream.settings import Settings
from stream.wire.records import (
    OutcomeAttribution,
    StrategyStats,
    newcomer_stats_decoder,
    read_attribution,
    strategy_stats_decoder,
)

PATH = 8


def outcome_problems(settings: Settings, events: list[Any], attributions: list[Any], stats: list[Any]) -> list[str]:
    """Lines for a person; empty: everything holds. Each argument is all messages of the topic."""
    reader = SequentialReader(settings)
    reader.feed(events)
    decoded = [read_attribution(m.value()) for m in attributions]
    found = [each for each in decoded if isinstance(each, OutcomeAttribution)]
    newest = {m.key(): strategy_stats_decoder.decode(m.value()) for m in stats if not is_of_newcomers(m.key())}
    problems = credit_problems(settings, reader.outcomes, reader.exposures, found, list(newest.values()))
    return problems + newcomer_problems(stats, reader.newcomers)


def is_of_newcomers(key: bytes | None) -> bool:
    return (key or b"").startswith(RECORD_PREFIX)


def credit_problems(
    settings: Settings,
    expected: dict[str, Expected],
    exposures: int,
    found: list[OutcomeAttribution],
    stats: list[StrategyStats],
) -> list[str]:
    """The same, of what the sequential reader has, all credited outcomes, and the newest totals of each strategy."""
    problems = [f"outcome {i} was credited {n} times" for i, n in Counter(o.outcome_id for o in found).items() if n > 1]
    by_id = {each.outcome_id: each for each in found}
    problems += [f"outcome {i} of {expected[i]} is missing" for i in expected.keys() - by_id.keys()]
    problems += [f"nobody expected {by_id[i]}" for i in by_id.keys() - expected.keys()]
    for i in expected.keys() & by_id.keys():
        problems += _differences(settings, expected[i], by_id[i], expected)
    return problems + list(_total_differences(found, stats, exposures))


def newcomer_problems(stats: list[Any], came: Counter[int]) -> list[str]:
    """Nobody may count twice. Those who came before a worker knew what leads do not count, so fewer are right, too."""
    newest = {m.key(): newcomer_stats_decoder.decode(m.value()) for m in stats if is_of_newcomers(m.key())}
    return [
        f"partition {each.partition} counts {each.newcomers} newcomers; {came[each.partition]} came"
        for each in newest.values()
        if each.newcomers > _faded(came[each.partition]) + 1e-6
    ]


def _faded(n: int) -> float:
    """What n newcomers count together."""
    keep = math.exp(-1.0 / MEMORY)
    return (1.0 - keep**n) / (1.0 - keep)


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
