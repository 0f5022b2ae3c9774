"""Interest points by whole arrays, as they were made before the loops of `models.ranking.interest_graph`: the slow oracle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4
from models.ranking.interest_graph import InterestGraph
from models.ranking.place_vectors import NO_VECTOR, PlaceVectors


def placed(vectors: F4) -> PlaceVectors:
    """Vectors (u, H, dims) of places, every second one as that of no item; zeros are none."""
    users, width, dims = vectors.shape
    flat = np.ascontiguousarray(vectors.reshape(-1, dims))
    number = np.arange(users * width).reshape(users, width)
    row = np.where(number % 2, -2 - number, number)
    return PlaceVectors(np.where(vectors.any(axis=2), row, NO_VECTOR), flat, flat)


def point_vectors(graph: InterestGraph, vectors: F4) -> F4:
    """(u, P, dims) float32 vectors of the points, zeros for empty places."""
    if not vectors.shape[1]:
        return np.zeros((*graph.medoid.shape, vectors.shape[2]), np.float32)
    rows = np.take_along_axis(vectors, np.maximum(graph.medoid, 0)[:, :, None], axis=1)
    return np.where(graph.medoid[:, :, None] >= 0, rows, np.float32(0))


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
    cosine = np.einsum("uhd,ugd->uhg", vectors, vectors)
    usable = (weights != 0.0) & np.any(vectors != 0, axis=2)
    near = np.where(cosine >= same_point, cosine, 0.0).astype(np.float64)
    near[:, np.arange(width), np.arange(width)] = 1.0
    left = usable.copy()
    medoid = np.full((users, points), -1, np.int64)
    group = np.full((users, width), -1, np.int64)
    everyone = np.arange(users)
    for place in range(points if width else 0):
        mass = np.where(left, np.abs(weights), 0.0)
        # Summed per row of the table in a fixed order, so that a user's sums are the same in any batch.
        pull = np.where(left, (near * mass[:, None, :]).sum(axis=2), -1.0)
        chosen = pull.argmax(axis=1)
        found = left[everyone, chosen]
        medoid[found, place] = chosen[found]
        members = left & (near[everyone, chosen] > 0.0) & found[:, None]
        group[members] = place
        left &= ~members
    group = _join_nearest(group, left, medoid, cosine)
    weight = np.zeros((users, points))
    user, column = np.nonzero(group >= 0)
    np.add.at(weight, (user, group[user, column]), weights[user, column])
    return InterestGraph(medoid, weight, group, _edges(medoid, cosine, edge_above))


def contributions(
    graph: InterestGraph, vectors: F4, weights: NDArray[np.float64], candidates: F4
) -> NDArray[np.float64]:
    """(u, k, H) float64: what each past item brings to each candidate's score; sums to the score over H.

    Args:
        graph, vectors, weights: as given to and answered by `interest_graph`.
        candidates: (u, k, dims) float32 unit vectors.
    """
    similar = np.einsum("upd,ukd->ukp", point_vectors(graph, vectors), candidates).astype(np.float64)
    if not graph.group.shape[1]:
        return np.zeros((*similar.shape[:2], 0))
    member = np.maximum(graph.group, 0)[:, None, :]
    share = np.take_along_axis(similar, np.broadcast_to(member, (*similar.shape[:2], member.shape[2])), axis=2)
    exact: NDArray[np.float64] = np.where(graph.group >= 0, weights, 0.0)[:, None, :] * share
    return exact


def _join_nearest(
    group: NDArray[np.int64], left: NDArray[np.bool_], medoid: NDArray[np.int64], cosine: F4
) -> NDArray[np.int64]:
    user, column = np.nonzero(left)
    if not user.size:
        return group
    similar = cosine[user[:, None], column[:, None], np.maximum(medoid[user], 0)]
    similar = np.where(medoid[user] >= 0, similar, -np.inf)
    group = group.copy()
    group[user, column] = similar.argmax(axis=1)
    return group


def _edges(medoid: NDArray[np.int64], cosine: F4, edge_above: float) -> F4:
    users, points = medoid.shape
    if not cosine.shape[1]:
        return np.zeros((users, points, points), np.float32)
    at = np.maximum(medoid, 0)
    between = cosine[np.arange(users)[:, None, None], at[:, :, None], at[:, None, :]]
    real = (medoid >= 0)[:, :, None] & (medoid >= 0)[:, None, :] & ~np.eye(points, dtype=np.bool_)
    joined: F4 = np.where(real & (between > edge_above), between, np.float32(0))
    return joined
