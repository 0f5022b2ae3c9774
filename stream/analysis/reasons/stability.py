"""Stability of the reasons: what becomes of the leader's contributions when one item of the history is dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.stability import rank_correlation, top_overlap
from models.ranking.rank import RankedBatch
from models.reasons.removal import rows_without
from models.reasons.what_if import WhatIf

PERTURBATIONS: Final = ("without_unrelated", "without_any")
"""The item that says least of the leader is dropped, or one that chance names."""

FIRST: Final = 3
"""As many behaviours as a sentence names."""


class Perturbed(NamedTuple):
    """Contributions to the leader before and after, over the items that stay."""

    correlation: float | None
    """Of their ranks; None: all the same before or after."""
    overlap: float
    """Of the first `FIRST`."""


def perturb(
    person: WhatIf, ranked: RankedBatch, places: NDArray[np.int64], rng: np.random.Generator
) -> dict[str, Perturbed | None]:
    """By perturbation; None: the leader is not listed any more.

    Args:
        person: whose list `ranked` is.
        ranked: the list as it is.
        places: (p,) int64: the history, p at least 2.
        rng: names the item of chance.
    """
    told = np.abs(ranked.contributions[0, 0, places])
    least = len(places) - 1 - int(np.argmin(told[::-1]))  # of equal ones the oldest
    dropped = (least, int(rng.integers(len(places))))
    return {name: _without(person, ranked, places, each) for name, each in zip(PERTURBATIONS, dropped, strict=True)}


def stability_of(is_same: Sequence[bool], found: Sequence[Mapping[str, Perturbed | None]]) -> dict[str, Any]:
    """Of all questions, as JSON has it."""
    report: dict[str, Any] = {"repeated": float(np.mean(is_same))}
    for name in PERTURBATIONS:
        kept = [each for each in (question[name] for question in found) if each is not None]
        correlations = [each.correlation for each in kept if each.correlation is not None]
        report[name] = {
            "leader_listed": len(kept) / len(found),
            "rank_correlation": float(np.mean(correlations)) if correlations else None,
            "rank_correlation_p05": float(np.quantile(correlations, 0.05)) if correlations else None,
            f"same_first_{FIRST}": float(np.mean([each.overlap for each in kept])) if kept else None,
        }
    return report


def _without(person: WhatIf, ranked: RankedBatch, places: NDArray[np.int64], dropped: int) -> Perturbed | None:
    width = person.past.question.history.shape[1]
    again = person.rank(rows_without(width, [(int(places[dropped]),)]))
    (at,) = np.nonzero(again.items[0] == ranked.items[0, 0])
    if not len(at):
        return None
    left = np.delete(places, dropped)
    # What is older than the dropped one has moved up (`models.reasons.removal.without`).
    moved = left - (left > places[dropped])
    before, after = ranked.contributions[0, 0, left], again.contributions[0, int(at[0]), moved]
    return Perturbed(rank_correlation(before, after), top_overlap(before, after, FIRST))
