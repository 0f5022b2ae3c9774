"""What somebody was shown and did not take is worth less to them for a while: the part `fatigue` of a score, at most 0.

    fatigue(j) = -w sum over exposures e of j that were not taken of 2^(-age(e) / half-life)

The exposures are those in the user's own state (`stream.state.record`), which one worker owns and changes in the order of the
topic, so what is read here is never older than the events that the list reflects.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8, I8
from models.compiled import compiled


class FatigueParams(NamedTuple):
    """How much an exposure takes off."""

    weight: float = 0.0
    """Of one that was just seen; 0 = no fatigue."""
    half_life_s: float = 86_400.0


class Exposed(NamedTuple):
    """What u users were shown; X places each."""

    item: NDArray[np.uint32]
    """(u, X): upper half of the item's hash; 0 where there is none."""
    time_s: NDArray[np.uint32]
    """(u, X): event time, s."""


@compiled
def fatigue_of(
    item: NDArray[np.uint32],
    time_s: NDArray[np.uint32],
    hashes: NDArray[np.uint64],
    now_s: I8,
    params: FatigueParams,
    out: F8,
) -> None:
    """Fill (u, P) `out` for the items with these (u, P) hashes, 0 pads; `now_s` (u,). Of exposures after now the age is 0."""
    for u in range(len(out)):
        out[u] = 0.0
        for x in range(item.shape[1]):
            if item[u, x] == 0:
                continue
            age_s = max(0.0, float(now_s[u]) - float(time_s[u, x]))
            worth = params.weight * 0.5 ** (age_s / params.half_life_s)
            for i in range(out.shape[1]):
                if np.uint32(hashes[u, i] >> np.uint64(32)) == item[u, x] and hashes[u, i] != 0:
                    out[u, i] -= worth
