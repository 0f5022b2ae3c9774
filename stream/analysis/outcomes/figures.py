"""Everything that `penchant report outcomes` says, as one object of JSON. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.credit.explored import beside_kept
from models.credit.moved import moved_beside_unmoved
from models.credit.off_policy import Bounded, CellSums, bounded, estimates, over_contexts
from models.credit.position_bias import Bias, Counts, corrected, count, harvested, randomised, weighted
from models.vocabulary import EXPLORE, STRATEGIES
from stream.analysis.outcomes.cells import exposed_cells, known
from stream.analysis.outcomes.credits import credit_figures, outcome_rows, recorded_rules
from stream.analysis.outcomes.journeys import Exposure, Person
from stream.analysis.outcomes.read import Found

ESTIMATES: Final = ("ips", "snips", "doubly_robust")
METHODS: Final = ("harvested", "weighted", "randomised")


def figures(found: Found, half_life_ms: int) -> dict[str, Any]:
    """The report, without what it was asked for. Numbers that do not exist are None."""
    people = list(found.journeys.people.values())
    exposures = [exposure for person in people for exposure in person.exposures.values()]
    placed = known(exposures)
    bias, theta = _position_bias(placed)
    cells = exposed_cells(placed)
    return {
        "read": {
            "records": found.records,
            "unreadable": found.unreadable,
            "people": len(people),
            "people_share": found.journeys.share,
            "exposures": len(exposures),
            "exposures_not_placed": len(exposures) - len(placed),
        },
        "outcomes": outcome_rows(people),
        "recorded_rules": recorded_rules(people),
        "half_life_ms": half_life_ms,
        "credits": credit_figures(people, half_life_ms),
        "click_rates": click_rates(over_contexts(cells)),
        "click_rates_by_context": click_rates(cells),
        "explored": explored(cells),
        "moved": moved(people),
        "position_bias": bias,
        "strategies_at_slot_1": _at_slot_1(placed, theta),
        "ever": {
            "click_rates": click_rates(over_contexts(found.ever)),
            "explored": explored(found.ever),
            "earned": {name: each._asdict() for name, each in found.earned.items()},
        },
    }


def click_rates(sums: CellSums) -> list[dict[str, Any]]:
    """A row per cell, by slot, context and strategy.

    Not of `explore`: its propensities are those of items, see `stream.outcomes.strategies.with_estimates`; `explored` is.
    """
    estimated = estimates(sums)
    rows = []
    for n in np.lexsort((sums.strategy, sums.context, sums.slot)).tolist():
        shown, clicks = float(sums.exposures[n]), float(sums.clicks[n])
        row: dict[str, Any] = {
            "strategy": STRATEGIES[int(sums.strategy[n])],
            "slot": int(sums.slot[n]),
            "context": int(sums.context[n]),
            "exposures": shown,
            "clicks": clicks,
            "click_rate": clicks / shown if shown else None,
            "effective": float(estimated.effective[n]),
            "overlap": float(estimated.overlap[n]),
        }
        is_told = sums.strategy[n] != EXPLORE
        rows.append(row | {name: _told(getattr(estimated, name), n) if is_told else None for name in ESTIMATES})
    return rows


def explored(sums: CellSums) -> list[dict[str, Any]]:
    """A row per slot in which something was drawn to be explored, beside what the same places kept."""
    found = beside_kept(sums, EXPLORE)
    return [
        {
            "slot": int(found.slot[n]),
            "exposures": float(found.exposures[n]),
            "clicks": float(found.clicks[n]),
            "click_rate": _told(found.drawn, n),
            "kept_click_rate": _told(found.kept, n),
            "kept_effective": float(found.kept_effective[n]),
            "kept_weight": float(found.weight[n]),
        }
        for n in range(len(found.slot))
    ]


def moved(people: Sequence[Person]) -> list[dict[str, Any]]:
    """A row per rule, and whatever else moved items, beside unmoved exposures in the same slots."""
    rows = [
        (n, each.slot, each.clicked, each.bought, each.moved_by)
        for n, person in enumerate(people)
        for each in known(list(person.exposures.values()))
    ]
    names = sorted({row[4] for row in rows if row[4] is not None})
    if not names:
        return []
    numbers = {name: at for at, name in enumerate(names, 1)}
    person, slot, clicked, bought = (np.array([row[at] for row in rows]) for at in range(4))
    what = np.array([0 if row[4] is None else numbers[row[4]] for row in rows])
    found = moved_beside_unmoved(what, slot, clicked.astype(float), bought.astype(float), person)
    told = []
    for name in names:
        each = found[numbers[name]]
        low, high = (None, None) if each.difference is None else each.difference.interval
        told.append(
            {
                "moved_by": name,
                "exposures": each.exposures,
                "clicks": each.clicks,
                "purchases": each.purchases,
                "click_rate": each.rate,
                "unmoved_click_rate": None if math.isnan(each.unmoved_rate) else each.unmoved_rate,
                "difference": None
                if each.difference is None
                else {"value": each.difference.value, "low": low, "high": high},
            }
        )
    return told


def _position_bias(placed: Sequence[Exposure]) -> tuple[list[dict[str, Any]], NDArray[np.float64]]:
    """Rows by slot, and theta of the method that corrects."""
    counts = _counts(placed)
    slots = int(counts.slot.max()) if len(counts.slot) else 0
    if not slots:
        return [], np.ones(1)
    found = {
        "harvested": harvested(counts, slots),
        "weighted": weighted(counts, slots),
        "randomised": randomised(_counts([each for each in placed if each.propensity < 1.0]), slots),
    }
    shown, clicks = found["weighted"].shown, found["weighted"].clicks
    rows = []
    for slot in range(slots):
        methods = {name: _theta(each, slot) for name, each in found.items()}
        rows.append({"slot": slot + 1, "exposures": float(shown[slot]), "clicks": float(clicks[slot]), **methods})
    return rows, found["harvested"].theta


def _at_slot_1(placed: Sequence[Exposure], theta: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Click rates of strategies, plain and as if everything had stood in slot 1."""
    if not placed:
        return []
    rows = [(each.clicked, each.slot, each.strategy) for each in placed]
    clicked, slot, strategy = np.array(rows, np.int64).T
    rate, variance, shown = corrected(clicked, slot, theta, strategy, len(STRATEGIES))
    plain = corrected(clicked, slot, np.ones_like(theta), strategy, len(STRATEGIES))
    told = bounded(rate, variance, shown), bounded(plain[0], plain[1], shown)
    return [
        {
            "strategy": name,
            "exposures": float(shown[n]),
            "click_rate": _told(told[1], n),
            "corrected": _told(told[0], n),
        }
        for n, name in enumerate(STRATEGIES)
        if shown[n]
    ]


def _counts(placed: Sequence[Exposure]) -> Counts:
    # Hashes of items are 64 bits without sign; as names they may wrap.
    item = np.array([each.item for each in placed], np.uint64).astype(np.int64)
    slot = np.array([each.slot for each in placed], np.int64)
    clicked = np.array([each.clicked for each in placed], np.bool_)
    return count(item, slot, clicked, np.array([each.propensity for each in placed], np.float64))


def _theta(found: Bias, slot: int) -> dict[str, float]:
    values = {"value": found.theta[slot], "low": found.low[slot], "high": found.high[slot]}
    return {name: float(value) for name, value in values.items()} | {"clicks": float(found.clicks[slot])}


def _told(found: Bounded, n: int) -> dict[str, float] | None:
    if math.isnan(found.value[n]):
        return None
    return {"value": float(found.value[n]), "low": float(found.low[n]), "high": float(found.high[n])}
