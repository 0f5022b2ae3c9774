"""Metrics per question, and what only a whole run of lists has. Pure.

One question has one target, so precision, recall and F1 follow from the hit; they are here because people ask for them.
Definitions and sources: deploy/docs/evaluation.md.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F8
from models.compiled import compiled
from models.evaluation.protocol import Answers
from models.evaluation.questions import Histories

CUTOFFS: Final = (10, 20)
DIVERSITY_AT: Final = 10
_BLOCK: Final = 4096
_LISTS_AT_ONCE: Final = 50_000


def per_question(answers: Answers, known: NDArray[np.bool_], diversity: F8) -> dict[str, F8]:
    """Every metric that is a mean over questions, `(q,)` each; NaN where a question has none.

    Args:
        answers: of q questions.
        known: (q,) whether anybody could have ranked the target; where not, everything counts as missed.
        diversity: (q,) of each list, from `diversity_by_vectors` or `diversity_by_audience`.
    """
    rank = answers.rank
    found: dict[str, F8] = {}
    for k in CUTOFFS:
        hit = known & (rank <= k)
        found[f"hr@{k}"] = hit.astype(np.float64)
        found[f"ndcg@{k}"] = np.where(hit, 1.0 / np.log2(1.0 + rank), 0.0)
        found[f"precision@{k}"] = hit / k
        found[f"recall@{k}"] = found[f"hr@{k}"]
        found[f"f1@{k}"] = hit * 2.0 / (k + 1)
    found["mrr"] = np.where(known, 1.0 / rank, 0.0)
    others = answers.candidates - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        found["auc"] = np.where(others > 0, 1.0 - (rank - 1.0) / others, np.nan)
    found["novelty@10"] = answers.novelty
    found["diversity@10"] = diversity
    return found


def list_hits(answers: Answers, target: NDArray[np.int32]) -> dict[str, F8]:
    """Whether the target is in the first k that the contender would really show, and at which place; `(q,)` each."""
    found = {}
    for k in CUTOFFS:
        at = answers.listed[:, :k] == target[:, None]
        found[f"list_hr@{k}"] = at.any(axis=1).astype(np.float64)
        found[f"list_ndcg@{k}"] = (at / np.log2(2.0 + np.arange(at.shape[1]))).sum(axis=1)
    return found


class Spread(NamedTuple):
    """How the places of all lists are shared out among the items."""

    coverage: float
    """Share of the items known at the end that stood in at least one list."""
    gini: float
    """Of how often each of them stood there: 0 = all alike, nearly 1 = a few have everything."""


def spread(listed: NDArray[np.int32], items: NDArray[np.int32], k: int) -> Spread:
    """Of the first k places of lists (q, >= k), over `items`: the (m,) items that could have been listed."""
    shown = listed[:, :k]
    count = np.bincount(shown[shown >= 0], minlength=int(items.max(initial=-1)) + 1)[items]
    if not count.sum():
        return Spread(0.0, float("nan"))
    return Spread(float((count > 0).mean()), gini(count))


def gini(count: NDArray[np.int64] | F8) -> float:
    """Gini index of (m,) counts or other shares >= 0: sum over i of (2 i - m - 1) c_i / (m sum c), c ascending, i from 1."""
    ascending = np.sort(count).astype(np.float64)
    m = ascending.size
    return float(((2 * np.arange(1, m + 1) - m - 1) * ascending).sum() / (m * ascending.sum()))


def diversity_by_vectors(listed: NDArray[np.int32], vectors: NDArray[np.float32]) -> F8:
    """(q,) Mean of 1 - cosine over the pairs of the first `DIVERSITY_AT` items (Ziegler et al. 2005); NaN below two items.

    Args:
        listed: (q, >= DIVERSITY_AT), padded with -1.
        vectors: (n_items, dims), of length 1, or 0 for an item that nothing is known about: it is left out.
    """
    found = np.full(len(listed), np.nan)
    has = np.append(vectors.any(axis=1), False)
    padded = np.vstack((vectors, np.zeros((1, vectors.shape[1]), vectors.dtype)))
    for start in range(0, len(listed), _BLOCK):
        block = listed[start : start + _BLOCK, :DIVERSITY_AT]
        total = padded[block].sum(axis=1, dtype=np.float64)
        n = has[block].sum(axis=1)
        pairs = n * (n - 1.0)
        cosines = (total * total).sum(axis=1) - n
        with np.errstate(invalid="ignore", divide="ignore"):
            found[start : start + _BLOCK] = np.where(pairs > 0, 1.0 - cosines / pairs, np.nan)
    return found


def diversity_by_audience(listed: NDArray[np.int32], audience: Histories) -> F8:
    """(q,) As `diversity_by_vectors` with the cosine of two items' audiences: |A and B| / sqrt(|A| |B|)."""
    users = audience.values.copy()
    for start, stop in zip(audience.starts[:-1].tolist(), audience.starts[1:].tolist(), strict=True):
        users[start:stop].sort()
    blocks = range(0, len(listed), _LISTS_AT_ONCE)
    return np.concatenate(
        [np.empty(0)]
        + [_distances(listed[at : at + _LISTS_AT_ONCE, :DIVERSITY_AT], audience.starts, users) for at in blocks]
    )


def _distances(listed: NDArray[np.int32], starts: NDArray[np.int64], users: NDArray[np.int32]) -> F8:
    """The distance of every distinct pair is found once: lists have much in common."""
    a, b = np.triu_indices(listed.shape[1], 1)
    first, second = np.minimum(listed[:, a], listed[:, b]), np.maximum(listed[:, a], listed[:, b])
    pairs, place = np.unique(np.where(first < 0, -1, first.astype(np.int64) << 32 | second), return_inverse=True)
    distance = 1.0 - _cosines(pairs >> 32, pairs & 0xFFFFFFFF, starts, users)
    real = first >= 0
    total = np.where(real, distance[place.reshape(real.shape)], 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean: F8 = total / real.sum(axis=1)
    return mean


@compiled
def _cosines(
    first: NDArray[np.int64], second: NDArray[np.int64], starts: NDArray[np.int64], users: NDArray[np.int32]
) -> F8:
    """Of the ascending rows of two items each; 0 where one of them is empty or the first item is -1."""
    found = np.zeros(len(first))
    for n in range(len(first)):
        i, j = first[n], second[n]
        if i < 0:
            continue
        at, other, both = starts[i], starts[j], 0
        while at < starts[i + 1] and other < starts[j + 1]:
            if users[at] == users[other]:
                both += 1
                at += 1
                other += 1
            elif users[at] < users[other]:
                at += 1
            else:
                other += 1
        if both:
            found[n] = both / np.sqrt((starts[i + 1] - starts[i]) * (starts[j + 1] - starts[j]))
    return found
