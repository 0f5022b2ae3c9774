"""How faithful explanations are: what becomes of a score when what an explanation names is taken away, or alone stays.

An explanation is an order of the n things a score was made from, the most important first. Measures are those of ERASER
(DeYoung et al., ACL 2020: comprehensiveness, sufficiency) and of RISE (Petsiuk et al., BMVC 2018: deletion, insertion). Scores
are sums of parts (logits), so differences of them are compared, not ratios. Pure; (n,) arrays of one question.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8
from models.evaluation.bootstrap import Part, Resamples

DEPTHS: Final = (1, 3, 5)

MEASURES: Final = (
    "deletion_auc",
    "insertion_auc",
    *(f"comprehensiveness@{k}" for k in DEPTHS),
    *(f"sufficiency@{k}" for k in DEPTHS),
)
LOWER_IS_BETTER: Final = frozenset(["deletion_auc", *(f"sufficiency@{k}" for k in DEPTHS)])

GRID: Final = 21
"""Points of a mean curve."""


class Curves(NamedTuple):
    """Scores of one item for one question and one order, (n + 1,) float64 each."""

    deletion: F8
    """After the first m of the order are taken away, m = 0 .. n."""
    insertion: F8
    """With nothing but the first m of the order, m = 0 .. n."""


class Figures(NamedTuple):
    """Of one explainer over q questions."""

    values: F8
    """(measures, q) float64 in the order of `MEASURES`; the mean over questions is the measure."""
    deletion: F8
    """(GRID,) mean curve: 1 = the whole score, 0 = that of nothing."""
    insertion: F8


def order_masks(order: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """`(deleted, not inserted)`: (n + 1, n) bool each: what is taken away at each point of the two curves."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    points = np.arange(len(order) + 1)[:, None]
    return place < points, place >= points


def area(curve: F8) -> float:
    """Under a curve whose points stand at equal steps from 0 to 1, by trapezoids."""
    return float(np.mean((curve[1:] + curve[:-1]) / 2.0)) if len(curve) > 1 else float(curve[0])


def comprehensiveness(curves: Curves, k: int) -> float:
    """How much is lost without the first k: high where they matter. Of fewer than k all are taken."""
    return float(curves.deletion[0] - curves.deletion[min(k, len(curves.deletion) - 1)])


def sufficiency(curves: Curves, k: int) -> float:
    """How much is lost with nothing but the first k: low where they are enough."""
    return float(curves.deletion[0] - curves.insertion[min(k, len(curves.insertion) - 1)])


def figures(questions: Sequence[Curves]) -> Figures:
    """Of all questions. What the whole past adds to a score, over all of them, is the unit of the areas.

    Raises:
        ValueError: there is no question, or the past adds nothing.
    """
    if not questions:
        raise ValueError("no question")
    empty = np.array([each.deletion[-1] for each in questions])
    span = float(np.mean([each.deletion[0] for each in questions]) - empty.mean())
    if span <= 0.0:
        raise ValueError("the past adds nothing to the scores")
    rows = [
        (np.array([area(each.deletion) for each in questions]) - empty) / span,
        (np.array([area(each.insertion) for each in questions]) - empty) / span,
        *(np.array([comprehensiveness(each, k) for each in questions]) for k in DEPTHS),
        *(np.array([sufficiency(each, k) for each in questions]) for k in DEPTHS),
    ]
    return Figures(
        np.stack(rows),
        (_mean_curve([each.deletion for each in questions]) - empty.mean()) / span,
        (_mean_curve([each.insertion for each in questions]) - empty.mean()) / span,
    )


def differences(ours: Figures, other: Figures, user: NDArray[np.int32], seed: int) -> dict[str, list[float]]:
    """95 % intervals of how much better ours is than another in each measure: above 0 where it wins. Users are resampled."""
    sign = np.array([-1.0 if name in LOWER_IS_BETTER else 1.0 for name in MEASURES])[:, None]
    gain = sign * (ours.values - other.values)
    (intervals,) = Resamples(user, seed).intervals([Part(np.ones(gain.shape[1], np.bool_), gain)])
    return {name: [found.low, found.high] for name, found in zip(MEASURES, intervals, strict=True)}


def _mean_curve(curves: list[F8]) -> F8:
    grid = np.linspace(0.0, 1.0, GRID)
    resampled = [np.interp(grid, np.linspace(0.0, 1.0, len(curve)), curve) for curve in curves]
    mean: F8 = np.mean(resampled, axis=0)
    return mean
