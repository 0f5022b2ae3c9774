"""Which pairs of items may be counted at all, chosen by what is public: whose texts are near.

Noise has the same size for a pair of two items that nobody would put together. There are n^2 / 2 pairs, and a person
has few that say something; counted are those of each item and the few nearest to it by text. On
online-retail they hold nine tenths of what all pairs together are worth to the ranking, in a thousandth of the pairs
(deploy/docs/measured/privacy.md).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.privacy.contribution import PublicPairs

_SLICE: Final = 1024


def near_pairs(vectors: NDArray[np.float32], each: int) -> PublicPairs:
    """Pairs of each item and its `each` nearest.

    Args:
        vectors: (n, d) unit vectors of public texts; an item with zeros has none, and is in no pair.
        each: of equal ones the lower number comes first.
    """
    there = np.flatnonzero(np.any(vectors != 0.0, axis=1))
    own = np.ascontiguousarray(vectors[there])
    k = min(each, len(there) - 1)
    if k < 1:
        return PublicPairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    codes = []
    for begin in range(0, len(there), _SLICE):
        near = own[begin : begin + _SLICE] @ own.T
        near[np.arange(len(near)), begin + np.arange(len(near))] = -np.inf
        nearest = np.argsort(-near, axis=1, kind="stable")[:, :k]
        one, other = np.repeat(there[begin : begin + len(near)], k), there[nearest.ravel()]
        codes.append(np.minimum(one, other) * len(vectors) + np.maximum(one, other))
    first, second = np.divmod(np.unique(np.concatenate(codes)), len(vectors))
    return PublicPairs(first.astype(np.int64), second.astype(np.int64))
