"""What people chose, beside what they might have chosen: the examples that ranking weights are learned from.

A choice keeps the item that was engaged with and a sample of the other candidates: the best by each feature, because those are
what it was chosen from in any list, and some drawn at random. Choices whose item no feature would have proposed are not kept:
fitting on them made everything worse (design notes, "Relevance"), since nothing that is known could have listed them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8
from models.ranking.features import AGE, CATEGORY, FEATURES, FOR_NEWCOMERS

BEST_BY_EACH = 40
AT_RANDOM = 40

_PROPOSING = np.array([f for f, name in enumerate(FEATURES) if f < AGE and f != CATEGORY and name not in FOR_NEWCOMERS])
"""Features whose largest values make an item a candidate; age and being new do not, nor do categories, shared by many items."""


class Choices(NamedTuple):
    """e choices among up to c candidates each; the first candidate is the one that was chosen."""

    features: F4
    """(e, c, F) float32."""
    real: NDArray[np.bool_]
    """(e, c) bool: False pads."""
    history: NDArray[np.int64]
    """(e,) int64: usable places in the history."""
    idle_s: F8
    """(e,) float64."""

    def take(self, rows: NDArray[np.generic]) -> Choices:
        """Those at `rows` (positions or mask)."""
        return Choices(self.features[rows], self.real[rows], self.history[rows], self.idle_s[rows])


class _Choice(NamedTuple):
    features: F4
    """(c, F)."""
    history: int
    idle_s: float


def sample_candidates(x: F8, chosen: int, rng: np.random.Generator) -> NDArray[np.int64] | None:
    """Rows of (n, F) features to keep, the chosen one first; None if no feature would have proposed it."""
    kept = [np.empty(0, np.int64)]
    for f in _PROPOSING:
        column = x[:, f]
        if len(x) <= BEST_BY_EACH:
            kept.append(np.arange(len(x)))
            break
        bar = np.partition(column, -BEST_BY_EACH)[-BEST_BY_EACH]
        best = np.flatnonzero(column > bar) if bar == column.min() else np.flatnonzero(column >= bar)[:BEST_BY_EACH]
        kept.append(best)
    proposed = np.unique(np.concatenate(kept))
    at = np.searchsorted(proposed, chosen)
    if at == len(proposed) or proposed[at] != chosen:
        return None
    others = np.union1d(proposed, rng.integers(0, len(x), AT_RANDOM))
    return np.concatenate(([chosen], others[others != chosen]))


class ChoiceLog:
    """The newest choices, at most so many."""

    def __init__(self, limit: int) -> None:
        self._kept: deque[_Choice] = deque(maxlen=limit)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, features: F4, history: int, idle_s: float) -> None:
        """One choice: (c, F) features, those of the chosen item first."""
        self._kept.append(_Choice(features.astype(np.float32), history, idle_s))

    def choices(self) -> Choices:
        """All that are kept, oldest first."""
        width = max((len(each.features) for each in self._kept), default=1)
        features = np.zeros((len(self._kept), width, len(FEATURES)), np.float32)
        real = np.zeros(features.shape[:2], np.bool_)
        for row, each in enumerate(self._kept):
            features[row, : len(each.features)] = each.features
            real[row, : len(each.features)] = True
        history = np.array([each.history for each in self._kept], np.int64)
        return Choices(features, real, history, np.array([each.idle_s for each in self._kept], np.float64))


def together(parts: Sequence[Choices]) -> Choices:
    """All choices of all parts, padded to one width."""
    width = max(part.real.shape[1] for part in parts)
    grown = [
        part._replace(
            features=np.pad(part.features, ((0, 0), (0, width - part.real.shape[1]), (0, 0))),
            real=np.pad(part.real, ((0, 0), (0, width - part.real.shape[1]))),
        )
        for part in parts
    ]
    return Choices(
        np.concatenate([part.features for part in grown]),
        np.concatenate([part.real for part in grown]),
        np.concatenate([part.history for part in grown]),
        np.concatenate([part.idle_s for part in grown]),
    )
