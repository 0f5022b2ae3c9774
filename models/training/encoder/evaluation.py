"""How well vectors of texts find the next item a user engages with: recall at 10 and mean reciprocal rank. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4
from models.training.encoder.pairs import Queries

AT: Final = 10
_BLOCK: Final = 512


class Metrics(NamedTuple):
    """Means over `queries` questions."""

    recall: float
    """Share of targets among the first `AT`."""
    mrr: float
    queries: int
    candidates: int


class Task(NamedTuple):
    """Questions about a window, and what is ranked for each of them."""

    queries: Queries
    candidates: I4
    """Distinct texts, ascending; every question's item and target are among them."""


def make_task(queries: Queries, n_texts: int, max_queries: int, max_candidates: int, seed: int) -> Task:
    """Questions and candidates: the same before and after training, and on every machine.

    Args:
        queries: of a window.
        n_texts: in the catalogue.
        max_queries: more than that are sampled.
        max_candidates: texts ranked; those asked about always are.
        seed: of both samples.
    """
    rng = np.random.default_rng([seed, 1])
    item, target = queries
    if item.size > max_queries:
        chosen = np.sort(rng.choice(item.size, max_queries, replace=False))
        item, target = item[chosen], target[chosen]
    needed = np.unique(np.concatenate((item, target)))
    others = np.setdiff1d(np.arange(n_texts), needed)
    more = min(others.size, max(0, max_candidates - needed.size))
    candidates = np.sort(np.concatenate((needed, rng.choice(others, more, replace=False))))
    return Task(Queries(item, target), candidates.astype(np.int32))


def reciprocal_ranks(task: Task, vectors: F4) -> NDArray[np.float64]:
    """(q,) 1 / rank of each target by cosine among all candidates but the one asked about; equals are above it.

    Args:
        task: q questions.
        vectors: (candidates, dims) float32 unit vectors, in the order of `task.candidates`.
    """
    item = np.searchsorted(task.candidates, task.queries.item)
    target = np.searchsorted(task.candidates, task.queries.target)
    ranks = np.empty(item.size, np.float64)
    for start in range(0, item.size, _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores = vectors[item[rows]] @ vectors.T
        n = np.arange(len(scores))
        own = scores[n, target[rows]].copy()
        scores[n, item[rows]] = -np.inf
        ranks[rows] = np.maximum(1, (scores >= own[:, None]).sum(axis=1))  # counts the target itself
    return 1.0 / ranks


def metrics(task: Task, vectors: F4) -> Metrics:
    """The means over `reciprocal_ranks`."""
    ranks = reciprocal_ranks(task, vectors)
    return Metrics(
        recall=float((ranks >= 1.0 / AT).mean()),
        mrr=float(ranks.mean()),
        queries=ranks.size,
        candidates=task.candidates.size,
    )
