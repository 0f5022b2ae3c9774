"""How alike two items are, and the choice of a list whose items are not: maximal marginal relevance and determinantal point
processes, one place after another, so that caps can be kept on the way.

With quality r(j) (a score, scaled to [0, 1] over the pool) and likeness s(i, j) in [0, 1], at `diversity` d:

    MMR   the next item maximises (1 - d) r(j) - d max over chosen i of s(i, j)
          (Carbonell and Goldstein, SIGIR 1998)
    DPP   the next item maximises log q(j)^2 + log of what remains of it after the chosen ones are projected out, with kernel
          L = q(i) s(i, j) q(j), q(j) = exp(alpha r(j)), alpha = 2 (1 - d) / d
          (greedy MAP by an incremental Cholesky factor: Chen, Zhang and Zhou, NeurIPS 2018, algorithm 1)

Likeness is the cosine of text sketches; an item without text is like what the same people engage with: c / (c + 0.05), c being
the cosine of co-occurrence.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I4
from models.compiled import compiled_part, compiled_sums
from models.ranking.features import COUNT_SMOOTHING

HALF_ALIKE: Final = 0.05
"""Cosine of co-occurrence of two items that are half alike."""


@compiled_sums
def likeness_to(chosen: F4, pool: F4, like: F4) -> None:
    """Fill (P,) `like` with max(0, cosine) of the (P, D) rows of a pool to a (D,) row."""
    for i in range(len(pool)):
        total = np.float32(0.0)
        for d in range(pool.shape[1]):
            total += chosen[d] * pool[i, d]
        like[i] = max(total, np.float32(0.0))


@compiled_part
def co_likeness_to(
    chosen: int, neighbour_row: I4, neighbours: I4, weights: F8, count: F8, place: NDArray[np.uint16], like: F4
) -> None:
    """As `likeness_to`, from co-occurrence; `place[j]` is 1 + where item j stands in the pool, 0 elsewhere."""
    like[:] = np.float32(0.0)
    if chosen >= len(neighbour_row):
        return
    row, own = neighbour_row[chosen], count[chosen] + COUNT_SMOOTHING
    for k in range(neighbours.shape[1]):
        j = neighbours[row, k]
        if j < 0:
            break
        if place[j] > 0:
            cosine = weights[row, k] / np.sqrt(own * (count[j] + COUNT_SMOOTHING))
            like[place[j] - 1] = np.float32(cosine / (cosine + HALF_ALIKE))


@compiled_part
def dpp_project(like: F4, at: int, step: int, left: F8, factor: F8) -> None:
    """Take what item `at` explains out of `left` (P,), the squared part of each item that the chosen ones do not explain.

    `factor` (k, P) are the rows of the Cholesky factor so far, `like` (P,) the likeness of `at` to each.
    """
    own = np.sqrt(max(left[at], 1e-12))
    for i in range(len(left)):
        total = float(like[i])
        for s in range(step):
            total -= factor[s, at] * factor[s, i]
        factor[step, i] = total / own
        left[i] = max(left[i] - factor[step, i] * factor[step, i], 0.0)
