"""A person's interests as a graph over texts: points (medoids) with weights that fade, edges between points that are alike.

    V = the items that best stand for groups of similar items in the history (PinnerSage's medoids, Pal et al., KDD 2020)
    E = pairs of points whose cosine is above a threshold
    w(v | u) = sum of the decayed gains of the items in v's group
    score(c | u) = sum over v of w(v | u) * cos(v, c)

The score is linear in the points, so it is a product with one vector per user, and each past item's share of it is
`weight * cos(its point, c)`: exact, and equal to the score in sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, F8, I8
from models.compiled import compiled, compiled_sums


class InterestGraph(NamedTuple):
    """Points and edges of u users, P places each, heaviest group first. Empty places: column -1, weight 0."""

    medoid: NDArray[np.int64]
    """(u, P) int64: the column of the history that stands for the group."""
    weight: NDArray[np.float64]
    """(u, P) float64: w(v | u); negative where dislikes prevail."""
    group: NDArray[np.int64]
    """(u, H) int64: the point that each column of the history belongs to, -1 for none."""
    edge: F4
    """(u, P, P) float32: cosine of two points if above the threshold, else 0; 0 on the diagonal."""


def decayed_gains(
    gains: NDArray[np.float64],
    ages_s: NDArray[np.float64],
    half_lives_s: Sequence[float],
    shares: Sequence[float],
) -> NDArray[np.float64]:
    """Gains as they are worth now: gain * sum_k share_k * 2^(-age / half_life_k).

    Several half-lives fade fast at first and slowly later, which one cannot. The sum over behaviours does not depend on
    the order in which they arrived.

    Args:
        gains: any shape.
        ages_s: same shape, s; negative (an event from the future) counts as 0.
        half_lives_s: s, each > 0.
        shares: as many, summing to 1.
    """
    age = np.maximum(ages_s, 0.0)
    fading = np.zeros(age.shape)
    for half_life_s, share in zip(half_lives_s, shares, strict=True):
        fading += share * np.exp2(-age / half_life_s)
    worth: NDArray[np.float64] = gains * fading
    return worth


def interest_graph(
    vectors: F4, weights: NDArray[np.float64], points: int, *, same_point: float = 0.6, edge_above: float = 0.2
) -> InterestGraph:
    """Group each user's items around medoids, heaviest group first, until `points` are found.

    Greedy: of the items left, the one with the largest sum of `|weight| x cosine` over those at least `same_point` near to
    it becomes a point and takes them. Of equal sums the newer item wins. Items beyond the last point join their nearest one.
    A user's graph does not depend on the others.

    Args:
        vectors: (u, H, dims) float32 unit vectors of the history, newest first; zeros where there is none.
        weights: (u, H) float64; 0 = not to be used.
        points: P, at most H are filled.
        same_point: cosine from which on two items are one interest.
        edge_above: cosine above which two points are joined; not negative.
    """
    users, width, _ = vectors.shape
    graph = InterestGraph(
        np.full((users, points), -1, np.int64),
        np.zeros((users, points)),
        np.full((users, width), -1, np.int64),
        np.zeros((users, points, points), np.float32),
    )
    _graphs(np.ascontiguousarray(vectors), weights, same_point, edge_above, *graph)
    return graph


def user_vectors(graph: InterestGraph, vectors: F4) -> F4:
    """(u, dims) float32: sum of w(v) x v, so that its product with an item's vector is `score(item | u)`."""
    summed: F4 = np.einsum("up,upd->ud", graph.weight, point_vectors(graph, vectors)).astype(np.float32)
    return summed


def point_vectors(graph: InterestGraph, vectors: F4) -> F4:
    """(u, P, dims) float32 vectors of the points, zeros for empty places."""
    if not vectors.shape[1]:
        return np.zeros((*graph.medoid.shape, vectors.shape[2]), np.float32)
    rows = np.take_along_axis(vectors, np.maximum(graph.medoid, 0)[:, :, None], axis=1)
    return np.where(graph.medoid[:, :, None] >= 0, rows, np.float32(0))


def contributions(graph: InterestGraph, vectors: F4, weights: F8, candidates: F4) -> F8:
    """(u, k, H) float64: what each past item brings to each candidate's score; sums to the score over H.

    Args:
        graph, vectors, weights: as given to and answered by `interest_graph`.
        candidates: (u, k, dims) float32 unit vectors.
    """
    shares = np.zeros((len(vectors), candidates.shape[1], vectors.shape[1]))
    nothing = np.zeros(weights.shape)
    factors = np.tile((1.0, 0.0), (len(vectors), 1))
    add_shares(
        graph.medoid, graph.group, np.ascontiguousarray(vectors), weights, nothing, np.ascontiguousarray(candidates),
        factors, shares,
    )  # fmt: skip
    return shares


@compiled
def add_shares(
    medoid: I8, group: I8, vectors: F4, weights: F8, recent: F8, candidates: F4, factors: F8, shares: F8
) -> None:
    """Add to (u, k, H) `shares` what each past item brings to two sums, times `factors` (u, 2): that of the points with
    `weights` (u, H), and that of single items with `recent` (u, H)."""
    cosine = np.zeros(medoid.shape[1], np.float32)
    for u in range(len(vectors)):
        for k in range(candidates.shape[1]):
            for p in range(medoid.shape[1]):
                cosine[p] = dot(vectors[u, medoid[u, p]], candidates[u, k]) if medoid[u, p] >= 0 else np.float32(0.0)
            for q in range(vectors.shape[1]):
                g = group[u, q]
                if g >= 0:
                    shares[u, k, q] += factors[u, 0] * weights[u, q] * cosine[g]
                if recent[u, q] != 0.0:
                    alone = cosine[g] if g >= 0 and medoid[u, g] == q else dot(vectors[u, q], candidates[u, k])
                    shares[u, k, q] += factors[u, 1] * recent[u, q] * alone


@compiled_sums
def dot(one: F4, other: F4) -> np.float32:
    """Of two vectors, float32."""
    total = np.float32(0.0)
    for d in range(len(one)):
        total += one[d] * other[d]
    return total


@compiled
def _graphs(
    vectors: F4, weights: F8, same_point: float, edge_above: float, medoid: I8, weight: F8, group: I8, edge: F4
) -> None:
    """Fill the arrays of an `InterestGraph`. One user after another, so that none depends on the others."""
    width = vectors.shape[1]
    used, mass = np.empty(width, np.int64), np.empty(width)
    cosine = np.empty((width, width), np.float32)
    for u in range(len(vectors)):
        n = 0
        for a in range(width):
            if weights[u, a] != 0.0 and np.any(vectors[u, a] != 0.0):
                used[n] = a
                n += 1
        for i in range(n):
            mass[i] = abs(weights[u, used[i]])
            cosine[i, i] = 1.0
            for j in range(i):
                cosine[i, j] = cosine[j, i] = dot(vectors[u, used[i]], vectors[u, used[j]])
        found = _find_points(cosine, mass, used[:n], same_point, medoid[u], group[u])
        _join_nearest(cosine, used[:n], medoid[u, :found], group[u])
        for i in range(n):
            if group[u, used[i]] >= 0:
                weight[u, group[u, used[i]]] += weights[u, used[i]]
        _edges(cosine, used[:n], medoid[u, :found], edge_above, edge[u])


@compiled
def _find_points(cosine: F4, mass: F8, used: I8, same_point: float, medoid: I8, group: I8) -> int:
    """Fill `medoid` and the groups of those near to one; how many points there are. Both in columns of the history."""
    for p in range(len(medoid)):
        best, chosen = -1.0, -1
        for i in range(len(used)):
            if group[used[i]] >= 0:
                continue
            pull = 0.0
            for j in range(len(used)):
                if group[used[j]] < 0 and (i == j or cosine[i, j] >= same_point):
                    pull += np.float64(cosine[i, j]) * mass[j]
            if pull > best:
                best, chosen = pull, i
        if chosen < 0:
            return p
        medoid[p] = used[chosen]
        for j in range(len(used)):
            if group[used[j]] < 0 and (j == chosen or cosine[chosen, j] >= same_point):
                group[used[j]] = p
    return len(medoid)


@compiled
def _join_nearest(cosine: F4, used: I8, medoid: I8, group: I8) -> None:
    """Items of no group join the nearest point."""
    for i in range(len(used)):
        if group[used[i]] >= 0:
            continue
        best = np.float32(-np.inf)
        for p in range(len(medoid)):
            near = cosine[i, np.searchsorted(used, medoid[p])]
            if near > best:
                best = near
                group[used[i]] = p


@compiled
def _edges(cosine: F4, used: I8, medoid: I8, edge_above: float, edge: F4) -> None:
    for p in range(len(medoid)):
        for q in range(len(medoid)):
            between = cosine[np.searchsorted(used, medoid[p]), np.searchsorted(used, medoid[q])]
            if p != q and between > edge_above:
                edge[p, q] = between
