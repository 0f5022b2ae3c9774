"""The likeliest items of a softmax over all of them, without a table of users by items. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.item_index import NO_INDEX

_F4 = NDArray[np.float32]
_I4 = NDArray[np.int32]

_BLOCK: Final = 16_384
"""Items scored at once: with 64 users 4 MB of scores, which stay in the cache."""


class TopK(NamedTuple):
    """The k likeliest allowed items of u users."""

    items: _I4
    """(u, k), likeliest first, of equal ones the lower number; `NO_INDEX` where there are fewer than k."""
    log_probability: _F4
    """(u, k), of the softmax over *all* items, allowed or not; -inf where there is no item."""
    log_normaliser: _F4
    """(u,): `query @ vector + bias - log_normaliser` is any item's log-probability."""


def top_k(queries: _F4, vectors: _F4, biases: _F4, k: int, allowed: NDArray[np.bool_] | None = None) -> TopK:
    """Score every item, keep the best.

    Args:
        queries: (u, d).
        vectors: (n, d) of all items.
        biases: (n,).
        k: at least 1.
        allowed: (m,) bool; items from m on are not allowed. None = all are.
    """
    users, n = queries.shape[0], vectors.shape[0]
    best = np.full((users, k), NO_INDEX, np.int64)
    best_score = np.full((users, k), -np.inf, np.float32)
    largest, total = np.full(users, -np.inf, np.float32), np.zeros(users, np.float64)
    for start in range(0, n, _BLOCK):
        block = slice(start, min(start + _BLOCK, n))
        scores = queries @ vectors[block].T + biases[block]
        larger = np.maximum(largest, scores.max(axis=1))
        total *= np.exp((largest - larger).astype(np.float64))
        total += np.exp(scores - larger[:, None]).sum(axis=1, dtype=np.float64)
        largest = larger
        if allowed is not None:
            inside = np.zeros(scores.shape[1], np.bool_)
            part = allowed[block]
            inside[: part.size] = part
            scores[:, ~inside] = -np.inf
        best, best_score = _merged(best, best_score, start, scores, k)
    best[np.isneginf(best_score)] = NO_INDEX
    normaliser = (largest + np.log(np.maximum(total, 1e-300))).astype(np.float32)
    with np.errstate(invalid="ignore"):  # no items at all: -inf less -inf
        log_probability = np.where(best == NO_INDEX, -np.inf, best_score - normaliser[:, None])
    return TopK(best.astype(np.int32), log_probability.astype(np.float32), normaliser)


def _merged(best: NDArray[np.int64], best_score: _F4, start: int, scores: _F4, k: int) -> tuple[NDArray[np.int64], _F4]:
    """The best k of those so far and of a block whose first item is `start`."""
    if scores.shape[1] > 4 * k:
        # Equal scores at the cut: the lower numbers must win, and argpartition keeps any; so all of them stay in.
        cut = np.partition(scores, scores.shape[1] - k, axis=1)[:, -k]
        columns = np.flatnonzero((scores >= cut[:, None]).any(axis=0))
    else:
        columns = np.arange(scores.shape[1])
    numbers = np.broadcast_to(columns + start, (len(scores), columns.size))
    numbers, merged = np.concatenate((best, numbers), axis=1), np.concatenate((best_score, scores[:, columns]), axis=1)
    order = np.lexsort((numbers, -merged), axis=1)[:, :k]
    return np.take_along_axis(numbers, order, 1), np.take_along_axis(merged, order, 1)
