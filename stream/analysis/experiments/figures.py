"""Everything that `penchant report experiment` says, as one object of JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from models.arrays import F8
from models.experiments.assignment import HOLDOUT, Experiment
from models.experiments.balance import ALARM_BELOW, balance_p
from models.experiments.lift import lift, moments
from stream.analysis.experiments.guardrails import guardrails
from stream.analysis.experiments.lists import LastList
from stream.analysis.outcomes.journeys import Person

PEOPLE_MIN: Final = 100
"""Of an arm: with fewer nothing is said of it."""

OUTCOMES_MIN: Final = 25
"""Of two arms together: with fewer nothing is said of this outcome."""

OUTCOMES: Final = ("click_rate", "clicks", "carts", "purchases", "value")
_ACTIONS: Final = {"click": 2, "cart": 3, "purchase": 4}

_SHOWN, _CLICKED, _VALUE, _VALUE_SQUARED, _VALUED = 0, 1, 5, 6, 7
_COLUMNS: Final = 8
_OF_OUTCOME: Final = {"click_rate": _CLICKED, "clicks": 2, "carts": 3, "purchases": 4, "value": _VALUE}


class Counts(NamedTuple):
    """Of n people, (n, 8) each: exposures, those clicked, clicks, carts, purchases, value, its squares, purchases with one."""

    before: F8
    during: F8


def counts_of(people: Sequence[Person | None], from_ms: int) -> Counts:
    """What each did before and since `from_ms`; None: nothing."""
    before, during = np.zeros((len(people), _COLUMNS)), np.zeros((len(people), _COLUMNS))
    for n, person in enumerate(people):
        if person is None:
            continue
        for exposure in person.exposures.values():
            row = (during if exposure.shown_ms >= from_ms else before)[n]
            row[_SHOWN] += 1
            row[_CLICKED] += exposure.clicked
        for outcome in person.outcomes.values():
            row = (during if outcome.event_ms >= from_ms else before)[n]
            if outcome.action in _ACTIONS:
                row[_ACTIONS[outcome.action]] += 1
            if outcome.action in {"purchase", "refund"}:
                row[_VALUE] += outcome.value
                row[_VALUE_SQUARED] += outcome.value**2
                row[_VALUED] += outcome.value != 0.0
    return Counts(before, during)


def baseline_of(experiment: Experiment) -> str:
    """That the others are compared with: the control; where there is one arm only, the holdout."""
    return HOLDOUT if len(experiment.arms) == 1 else experiment.control


def figures(
    experiment: Experiment,
    lists: Mapping[str, LastList],
    people: Mapping[str, Person],
    categories: Mapping[int, int],
    from_ms: int,
) -> dict[str, Any]:
    """The report, without what it was asked for. Numbers that do not exist are None.

    Args:
        experiment: whose arms are compared.
        lists: of its people, the last one each.
        people: what people did; of others, too.
        categories: as for `guardrails`.
        from_ms: when the experiment began; what people did before is the covariate of CUPED.
    """
    arms, shares = list(experiment.shares), experiment.shares
    members = {arm: [user for user, each in lists.items() if each.arm == arm] for arm in arms}
    counts = {arm: counts_of([people.get(user) for user in of], from_ms) for arm, of in members.items()}
    p = balance_p([len(members[arm]) for arm in arms], [shares[arm] for arm in arms])
    baseline, rails = baseline_of(experiment), guardrails(lists, categories)
    return {
        "baseline": baseline,
        "arms": [
            {
                "arm": arm,
                "share": shares[arm],
                "people": len(members[arm]),
                **dict(zip(("exposures", "clicked"), counts[arm].during[:, :2].sum(axis=0).tolist(), strict=True)),
                **{
                    name: float(counts[arm].during[:, column].sum())
                    for name, column in _OF_OUTCOME.items()
                    if name != "click_rate"
                },
            }
            for arm in arms
        ],
        "balance": {"p": p, "is_alarm": p < ALARM_BELOW},
        "lifts": [
            _lift(name, arm, (counts[baseline], counts[arm]), (shares[baseline], shares[arm]))
            for arm in arms
            if arm != baseline
            for name in OUTCOMES
        ],
        "guardrails": [{"arm": arm} | rails[arm] for arm in arms if arm in rails],
    }


def _lift(name: str, arm: str, of: tuple[Counts, Counts], shares: tuple[float, float]) -> dict[str, Any]:
    column = _OF_OUTCOME[name]
    number = float(sum(each.during[:, _VALUED if name == "value" else column].sum() for each in of))
    found: dict[str, Any] = {"outcome": name, "arm": arm, "outcomes": number}
    if min(len(each.during) for each in of) < PEOPLE_MIN:
        return found | {"too_few": "people"}
    if number < OUTCOMES_MIN:
        return found | {"too_few": "outcomes"}
    control, treatment = (
        moments(
            each.during[:, column], each.during[:, _SHOWN] if name == "click_rate" else None, each.before[:, column]
        )
        for each in of
    )
    unit_squared = sum(float(each.during[:, _VALUE_SQUARED].sum()) for each in of) / number if name == "value" else 1.0
    said = {key: _number(value) for key, value in lift(control, treatment, shares, unit_squared)._asdict().items()}
    low, high = said["low"], said["high"]
    is_found = low is not None and high is not None and (low > 0.0 or high < 0.0)
    return found | {"too_few": None, "is_found": is_found} | said


def _number(value: F8) -> float | None:
    return float(value) if np.isfinite(value) else None
