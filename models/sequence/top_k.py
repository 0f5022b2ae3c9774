"""The likeliest items of a softmax over all of them, without a table of users by items. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4
from models.compiled import compiled, compiled_part
from models.items.index import NO_INDEX

_BLOCK: Final = 16_384
"""Items scored at once: with 64 users 4 MB of scores, which stay in the cache."""


class TopK(NamedTuple):
    """The k likeliest allowed items of u users."""

    items: I4
    """(u, k), likeliest first, of equal ones the lower number; `NO_INDEX` where there are fewer than k."""
    log_probability: F4
    """(u, k), of the softmax over *all* items, allowed or not; -inf where there is no item."""
    log_normaliser: F4
    """(u,): `query @ vector + bias - log_normaliser` is any item's log-probability."""


def top_k(queries: F4, vectors: F4, biases: F4, k: int, allowed: NDArray[np.bool_] | None = None) -> TopK:
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
        inside = np.ones(scores.shape[1], np.bool_)
        if allowed is not None:
            part = allowed[block]
            inside[: part.size] = part
            inside[part.size :] = False
        _insert(best, best_score, scores, inside, start)
    order = np.lexsort((best, -best_score), axis=1)
    best, best_score = np.take_along_axis(best, order, 1), np.take_along_axis(best_score, order, 1)
    normaliser = (largest + np.log(np.maximum(total, 1e-300))).astype(np.float32)
    with np.errstate(invalid="ignore"):  # no items at all: -inf less -inf
        log_probability = np.where(best == NO_INDEX, -np.inf, best_score - normaliser[:, None])
    return TopK(best.astype(np.int32), log_probability.astype(np.float32), normaliser)


@compiled_part
def _is_worse(score: float, item: int, other_score: float, other_item: int) -> bool:
    return score < other_score or (score == other_score and item > other_item)


@compiled
def _insert(best: NDArray[np.int64], best_score: F4, scores: F4, inside: NDArray[np.bool_], start: int) -> None:
    """Put what belongs there of a block, whose first item is `start`, among the best so far, in place.

    A user's best are a heap with the worst at the root. Items come in ascending order and take an equal's place never, so of
    equals the lower numbers stay.
    """
    k = best.shape[1]
    for user in range(len(scores)):
        for j in range(scores.shape[1]):
            score = scores[user, j]
            if not inside[j] or not score > best_score[user, 0]:
                continue
            item, place = start + j, 0
            while True:
                child = 2 * place + 1
                if child >= k:
                    break
                other = child + 1
                if other < k and _is_worse(
                    best_score[user, other], best[user, other], best_score[user, child], best[user, child]
                ):
                    child = other
                if not _is_worse(best_score[user, child], best[user, child], score, item):
                    break
                best_score[user, place], best[user, place] = best_score[user, child], best[user, child]
                place = child
            best_score[user, place], best[user, place] = score, item
