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
from models.compiled import compiled, compiled_part
from models.items.near import dot
from models.ranking.place_vectors import NO_VECTOR, PlaceVectors


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
    vectors: PlaceVectors,
    weights: NDArray[np.float64],
    points: int,
    *,
    same_point: float = 0.6,
    edge_above: float = 0.2,
) -> InterestGraph:
    """Group each user's items around medoids, heaviest group first, until `points` are found.

    Greedy: of the items left, the one with the largest sum of `|weight| x cosine` over those at least `same_point` near to
    it becomes a point and takes them. Of equal sums the newer item wins. Items beyond the last point join their nearest one.
    A user's graph does not depend on the others.

    Args:
        vectors: of the histories of u users, newest first.
        weights: (u, H) float64; 0 = not to be used.
        points: P, at most H are filled.
        same_point: cosine from which on two items are one interest.
        edge_above: cosine above which two points are joined; not negative.
    """
    users, width = vectors.row.shape
    graph = InterestGraph(
        np.full((users, points), -1, np.int64),
        np.zeros((users, points)),
        np.full((users, width), -1, np.int64),
        np.zeros((users, points, points), np.float32),
    )
    row, table, others = vectors
    medoid, weight, group, edge = graph
    _graphs(row, table, others, weights, same_point, edge_above, medoid, weight, group, edge)
    return graph


def user_vectors(graph: InterestGraph, vectors: PlaceVectors, recent: F8) -> F4:
    """(u, 2, dims) float32: the sum of w(v) x v, so that its product with an item's vector is `score(item | u)`; and that of
    single places with weights `recent` (u, H)."""
    summed = np.zeros((len(vectors.row), 2, vectors.table.shape[1]), np.float32)
    _add_up(*vectors, graph.medoid, graph.weight, recent, summed)
    return summed


@compiled
def add_shares(
    medoid: I8,
    group: I8,
    row: I8,
    table: F4,
    others: F4,
    weights: F8,
    recent: F8,
    items: F4,
    item_row: I8,
    factors: F8,
    shares: F8,
) -> None:
    """Add to (u, k, H) `shares` what each past item brings to two sums, times `factors` (u, 2): that of the points with
    `weights` (u, H), and that of single items with `recent` (u, H)."""
    for u in range(len(row)):
        add_user_shares(
            medoid[u], group[u], row[u], table, others, weights[u], recent[u], items, item_row[u], factors[u], shares[u]
        )


@compiled_part
def add_user_shares(
    medoid: I8,
    group: I8,
    row: I8,
    table: F4,
    others: F4,
    weights: F8,
    recent: F8,
    items: F4,
    item_row: I8,
    factors: F8,
    shares: F8,
) -> None:
    """The same of one user: all arrays without their first axis, but the tables."""
    cosine = np.zeros(len(medoid), np.float32)
    for k in range(len(item_row)):
        if item_row[k] < 0:
            continue
        item = items[item_row[k]]
        for p in range(len(medoid)):
            cosine[p] = 0.0
            if medoid[p] >= 0:
                cosine[p] = dot(_vector(row[medoid[p]], table, others), item)
        for q in range(len(row)):
            g = group[q]
            if g >= 0:
                shares[k, q] += factors[0] * weights[q] * cosine[g]
            if recent[q] != 0.0 and row[q] != NO_VECTOR:
                alone = cosine[g] if g >= 0 and medoid[g] == q else dot(_vector(row[q], table, others), item)
                shares[k, q] += factors[1] * recent[q] * alone


@compiled_part
def _vector(row: int, table: F4, others: F4) -> F4:
    found: F4 = table[row] if row >= 0 else others[-2 - row]
    return found


@compiled
def _add_up(row: I8, table: F4, others: F4, medoid: I8, weight: F8, recent: F8, summed: F4) -> None:
    for u in range(len(row)):
        for p in range(medoid.shape[1]):
            if medoid[u, p] >= 0:
                _add(summed[u, 0], np.float32(weight[u, p]), _vector(row[u, medoid[u, p]], table, others))
        for q in range(row.shape[1]):
            if recent[u, q] != 0.0 and row[u, q] != NO_VECTOR:
                _add(summed[u, 1], np.float32(recent[u, q]), _vector(row[u, q], table, others))


@compiled_part
def _add(total: F4, factor: np.float32, vector: F4) -> None:
    for d in range(len(total)):
        total[d] += factor * vector[d]


@compiled
def _graphs(
    row: I8,
    table: F4,
    others: F4,
    weights: F8,
    same_point: float,
    edge_above: float,
    medoid: I8,
    weight: F8,
    group: I8,
    edge: F4,
) -> None:
    """Fill the arrays of an `InterestGraph`. One user after another, so that none depends on the others."""
    width = row.shape[1]
    used, mass = np.empty(width, np.int64), np.empty(width)
    cosine, own = np.empty((width, width), np.float32), np.empty((width, table.shape[1]), np.float32)
    for u in range(len(row)):
        n = 0
        for a in range(width):
            if weights[u, a] != 0.0 and row[u, a] != NO_VECTOR:
                used[n] = a
                own[n] = _vector(row[u, a], table, others)  # together, so that they stay in the cache
                n += 1
        for i in range(n):
            mass[i] = abs(weights[u, used[i]])
            cosine[i, i] = 1.0
            for j in range(i):
                cosine[i, j] = cosine[j, i] = dot(own[i], own[j])
        found = _find_points(cosine, mass, used[:n], same_point, medoid[u], group[u])
        _join_nearest(cosine, used[:n], medoid[u, :found], group[u])
        for i in range(n):
            if group[u, used[i]] >= 0:
                weight[u, group[u, used[i]]] += weights[u, used[i]]
        _edges(cosine, used[:n], medoid[u, :found], edge_above, edge[u])


@compiled_part
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


@compiled_part
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


@compiled_part
def _edges(cosine: F4, used: I8, medoid: I8, edge_above: float, edge: F4) -> None:
    for p in range(len(medoid)):
        for q in range(len(medoid)):
            between = cosine[np.searchsorted(used, medoid[p]), np.searchsorted(used, medoid[q])]
            if p != q and between > edge_above:
                edge[p, q] = between
