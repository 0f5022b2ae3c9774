"""What a user must not be shown: what they bought (unless repeats are wanted) or dislike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8
from models.items.index import ItemIndex
from models.vocabulary import PURCHASE
from stream.refresh.question import Behaviours
from stream.state.record import BOUGHT, States


class Exclusions:
    """Looks items up in one index."""

    def __init__(self, index: ItemIndex, *, repeat_purchases: bool) -> None:
        self._index, self._repeat_purchases = index, repeat_purchases
        self._fingerprints: tuple[NDArray[np.uint16], I8] | None = None

    def excluded(self, states: States, rows: I8, behaviours: Behaviours) -> I4:
        """(u, x) dense indices of the users `rows` (u,), -1 pads."""
        out = behaviours.gain < 0
        if not self._repeat_purchases:
            out |= (behaviours.action == PURCHASE) & (behaviours.item != 0)
        excluded = self._index.lookup(np.where(out, behaviours.item, np.uint64(0)))
        if self._repeat_purchases:
            return excluded
        return np.concatenate([excluded, self._bought_before(states, rows)], axis=1)

    def _bought_before(self, states: States, rows: I8) -> I4:
        """Items whose fingerprint is among those of purchases older than the ring; may name others with the same one."""
        lengths = np.minimum(states.n_bought[rows], BOUGHT)
        if not lengths.any():
            return np.empty((len(rows), 0), np.int32)
        user, place = np.nonzero(np.arange(BOUGHT) < lengths[:, None])
        prints, order = self._fingerprint_index()
        wanted = states.bought[rows[user], place]
        begin, end = np.searchsorted(prints, wanted), np.searchsorted(prints, wanted, side="right")
        count = end - begin
        user = np.repeat(user, count)
        found = order[np.repeat(begin - (np.cumsum(count) - count), count) + np.arange(int(count.sum()))]
        per_user = np.bincount(user, minlength=len(rows))
        column = np.arange(len(user)) - np.repeat(np.cumsum(per_user) - per_user, per_user)
        excluded = np.full((len(rows), int(per_user.max(initial=0))), -1, np.int32)
        excluded[user, column] = found
        return excluded

    def _fingerprint_index(self) -> tuple[NDArray[np.uint16], I8]:
        """Fingerprints of all items, ascending, and the dense index of each."""
        if self._fingerprints is None or len(self._fingerprints[1]) != len(self._index):
            hashes = self._index.hash_of(np.arange(len(self._index)))
            prints = (hashes >> np.uint64(48)).astype(np.uint16)
            order = np.argsort(prints, kind="stable")
            self._fingerprints = prints[order], order
        return self._fingerprints
