"""`recency_popularity`: popularity that decays, with the half-life that does best on the warm-up part."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.calendar import DAY_MS
from models.evaluation.baselines.chosen import Chosen
from models.evaluation.contract import Answer, Known, Setup, Stream

NAME: Final = "recency_popularity"
HALF_LIVES_DAYS: Final = (30.0, 1.0, 3.0, 7.0, 90.0, 365.0)
_LARGEST_EXPONENT: Final = 600.0  # 2^600 is a float64; beyond, everything is scaled down


def recency_popularity(setup: Setup) -> Chosen[float]:
    """The contender."""
    del setup
    return Chosen(NAME, DecayedCounts, {f"half-life {days:g} d": days for days in HALF_LIVES_DAYS})


class DecayedCounts:
    """First engagements, each worth 2^(-age / half-life).

    Kept as sums of 2^(t / half-life), which order items as the decayed counts do and need no work as time passes; scaled down
    before they overflow.
    """

    name = NAME

    def __init__(self, half_life_days: float) -> None:
        self._half_life_ms = half_life_days * DAY_MS

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        self._stream = stream
        firsts = np.flatnonzero(stream.first[:end])
        self._zero_ms = int(stream.time_ms[firsts[-1]]) if firsts.size else int(stream.time_ms[0])
        age = (stream.time_ms[firsts] - self._zero_ms) / self._half_life_ms
        self._sum: NDArray[np.float64] = np.zeros(known.n_items)
        np.add.at(self._sum, stream.item[firsts], np.exp2(np.maximum(age, -1000.0)))

    def ask(self, at: int) -> Answer:
        del at
        return Answer(self._sum)

    def learn(self, at: int) -> None:
        if not self._stream.first[at]:
            return
        exponent = (int(self._stream.time_ms[at]) - self._zero_ms) / self._half_life_ms
        if exponent > _LARGEST_EXPONENT:
            self._sum *= 2.0 ** max(-exponent, -1074.0)
            self._zero_ms, exponent = int(self._stream.time_ms[at]), 0.0
        self._sum[self._stream.item[at]] += 2.0**exponent
