"""What of each person is counted: never more than the bounds, over all releases of a horizon together.

A release counts what is new in it. Where a person did more in it than is left of their share, those count whose keyed hash is
lowest: the same ones whenever they are counted again, no matter in which order, and nobody can choose theirs. What a later
release would have counted does not matter to an earlier one, so that each can be made when its time has come.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import I8
from models.privacy.bounds import Contribution

DEFAULT_KEY = b"penchant"
"""The choice is deterministic, not secret: what keeps it private is the noise."""


class Engagements(NamedTuple):
    """First engagements of a person with an item, each pair of them once, in time order; (m,) int64 each."""

    user: I8
    item: I8
    """Number of an item in the catalogue, which is public, from 0."""
    release: I8
    """Which release is the first that counts it, from 0, ascending."""


class PublicPairs(NamedTuple):
    """Pairs of items that may be counted at all: chosen by what is public, such as texts. (p,) int64 each, ascending."""

    first: I8
    second: I8
    """Above `first`."""

    def code(self, one: I8, other: I8, n_items: int) -> I8:
        """(m,) int64: where the pair stands here, -1 if it does not."""
        wanted = np.minimum(one, other) * n_items + np.maximum(one, other)
        have = self.first * n_items + self.second
        at = np.minimum(np.searchsorted(have, wanted), len(have) - 1) if len(have) else np.zeros(len(wanted), np.int64)
        is_there = have[at] == wanted if len(have) else np.zeros(len(wanted), np.bool_)
        return np.where(is_there, at, -1)


class Counted(NamedTuple):
    """What counts, one entry each; one person has at most `Contribution.items` and `Contribution.pairs` of them."""

    items: I8
    """Numbers of items, one for each engagement that counts."""
    items_release: I8
    items_user: I8
    pairs: I8
    """Places in `PublicPairs`."""
    pairs_release: I8
    pairs_user: I8


def counted(
    engagements: Engagements, pairs: PublicPairs, n_items: int, bounds: Contribution, key: bytes = DEFAULT_KEY
) -> Counted:
    """What counts of these engagements."""
    user, item, release = engagements
    kept = _bounded(user, item, release, bounds.items, key)
    new, code = _candidates(engagements, pairs, n_items, bounds.window)
    kept_pairs = _bounded(user[new], code, release[new], bounds.pairs, key)
    pair = new[kept_pairs]
    return Counted(item[kept], release[kept], user[kept], code[kept_pairs], release[pair], user[pair])


def _candidates(engagements: Engagements, pairs: PublicPairs, n_items: int, window: int) -> tuple[I8, I8]:
    """(c,) each: which engagement completes a pair that may be counted, and which pair."""
    order = np.argsort(engagements.user, kind="stable")
    user, item = engagements.user[order], engagements.item[order]
    rows, codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for back in range(1, min(window, max(1, len(user) - 1)) + 1):
        at = np.flatnonzero(user[back:] == user[:-back]) + back
        code = pairs.code(item[at], item[at - back], n_items)
        rows.append(order[at[code >= 0]])
        codes.append(code[code >= 0])
    return np.concatenate(rows), np.concatenate(codes)


def _bounded(user: I8, what: I8, release: I8, most: int, key: bytes) -> NDArray[np.int64]:
    """Positions of what counts: of each user the first `most`, by release and within one by keyed hash."""
    drawn = np.fromiter(
        (_drawn(u, w, key) for u, w in zip(user.tolist(), what.tolist(), strict=True)), np.uint64, len(user)
    )
    order = np.lexsort((what, drawn, release, user))
    starts = np.flatnonzero(np.diff(user[order], prepend=-1) != 0)
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.sort(order[place < most])


def _drawn(user: int, what: int, key: bytes) -> int:
    said = user.to_bytes(8, "little", signed=True) + what.to_bytes(8, "little", signed=True)
    return int.from_bytes(blake2b(said, digest_size=8, key=key).digest(), "little")
