"""Outcomes divided over strategies and slots: as recorded, and anew under every rule. Pure.

A purchase and its refund are one group, in which refunds subtract. Every other action is a group of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from models.arrays import F8
from models.credit.paths import Path, divided, markov_shares, shapley_shares
from models.credit.shares import shares
from models.vocabulary import RULES, STRATEGIES
from stream.analysis.outcomes.journeys import Outcome, Person

RECORDED: Final = "recorded"
LEARNED: Final = ("markov", "shapley")
ALL_RULES: Final = (RECORDED, *RULES, *LEARNED)

TOUCHES_MAX: Final = 8
"""Of a path without outcome: the first and the latest ones, as in the records."""


class Told(NamedTuple):
    """An outcome and the moment that a rule looks back from: a refund is divided as of the purchase that it takes back."""

    outcome: Outcome
    at_ms: int


def group_of(outcome: Outcome) -> str:
    """The action, of a refund `purchase`."""
    return "purchase" if outcome.action == "refund" else outcome.action


def outcome_rows(people: Iterable[Person]) -> list[dict[str, Any]]:
    """Counts by action and evidence, with the share that nothing earned and the value."""
    found: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for person in people:
        for outcome in person.outcomes.values():
            row = found[outcome.action, outcome.evidence]
            row[0] += 1
            row[1] += abs(outcome.unattributed)
            row[2] += outcome.value
    return [
        {"action": action, "evidence": evidence, "outcomes": n, "unattributed": unattributed / n, "value": value}
        for (action, evidence), (n, unattributed, value) in sorted(found.items())
    ]


def recorded_rules(people: Iterable[Person]) -> dict[str, int]:
    """How many outcomes were divided by which rule when they came."""
    return dict(Counter(outcome.rule for person in people for outcome in person.outcomes.values()))


def credit_figures(people: Sequence[Person], half_life_ms: int) -> dict[str, Any]:
    """By group: credits and value of strategies and slots under each of `ALL_RULES`, and the paths that were learned from."""
    groups: dict[str, list[Told]] = defaultdict(list)
    for told in _told(people):
        groups[group_of(told.outcome)].append(told)
    found = {}
    for group, outcomes in sorted(groups.items()):
        paths = _paths(people, group, outcomes)
        learned = {
            "markov": markov_shares(paths, len(STRATEGIES)),
            "shapley": shapley_shares(paths, len(STRATEGIES)),
        }
        found[group] = {
            "outcomes": len(outcomes),
            "unattributed": sum(told.outcome.unattributed for told in outcomes),
            "rules": {rule: _credited(outcomes, rule, learned, half_life_ms) for rule in ALL_RULES},
            "paths": {
                "converted": sum(max(path.conversions, 0.0) for path in paths),
                "others": sum(path.others for path in paths),
                **{rule: dict(zip(STRATEGIES, each.tolist(), strict=True)) for rule, each in learned.items()},
            },
        }
    return found


def credits_of(told: Told, rule: str, learned: dict[str, F8], half_life_ms: int) -> F8:
    """(t,) What each touch of one outcome earns; sums to what the record gave to its touches altogether."""
    touches = told.outcome.touches
    recorded = np.array([touch.credit for touch in touches])
    if rule == RECORDED or len(touches) == 1:
        return recorded
    if rule in LEARNED:
        share = divided([touch.strategy for touch in touches], learned[rule])
    else:
        shown_ms = np.array([touch.shown_ms for touch in touches], np.int64)
        share = shares(rule, shown_ms, told.at_ms, half_life_ms)
    earned: F8 = share * recorded.sum()
    return earned


def _credited(outcomes: Sequence[Told], rule: str, learned: dict[str, F8], half_life_ms: int) -> dict[str, Any]:
    strategies, slots = np.zeros((len(STRATEGIES), 2)), defaultdict[int, float](float)
    for told in outcomes:
        earned = credits_of(told, rule, learned, half_life_ms).tolist()
        for touch, credit in zip(told.outcome.touches, earned, strict=True):
            # The value of a refund is negative as its credits are; once is enough.
            strategies[touch.strategy] += credit, abs(credit) * told.outcome.value
            slots[touch.slot] += credit
    rows = zip(STRATEGIES, strategies.tolist(), strict=True)
    return {
        "strategies": {name: {"credit": credit, "value": value} for name, (credit, value) in rows},
        "slots": {str(slot): credit for slot, credit in sorted(slots.items())},
    }


def _told(people: Sequence[Person]) -> Iterator[Told]:
    for person in people:
        for outcome in person.outcomes.values():
            reversed_ = None if outcome.reverses is None else person.outcomes.get(outcome.reverses)
            yield Told(outcome, outcome.event_ms if reversed_ is None else reversed_.event_ms)


def _paths(people: Sequence[Person], group: str, outcomes: Sequence[Told]) -> list[Path]:
    """Paths of outcomes, refunds subtracting, and those of items that a person saw without such an outcome."""
    counts: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for told in outcomes:
        path = tuple(touch.strategy for touch in told.outcome.touches)
        counts[path][0] += -1.0 if told.outcome.action == "refund" else 1.0
    for person in people:
        for path in _unconverted(person, group):
            counts[path][1] += 1.0
    return [Path(path, conversions, others) for path, (conversions, others) in sorted(counts.items()) if path]


def _unconverted(person: Person, group: str) -> Iterator[tuple[int, ...]]:
    converted = {each.item for each in person.outcomes.values() if group_of(each) == group}
    seen: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for exposure in person.exposures.values():
        if exposure.item not in converted:
            seen[exposure.item].append((exposure.shown_ms, exposure.strategy))
    for touches in seen.values():
        path = tuple(strategy for _, strategy in sorted(touches))
        yield path if len(path) <= TOUCHES_MAX else (path[0], *path[-(TOUCHES_MAX - 1) :])
