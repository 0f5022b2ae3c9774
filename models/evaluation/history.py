"""What each user has had so far, for contenders that need it: a prefix of the rows of `Histories`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.evaluation.contract import Known, Stream
from models.evaluation.questions import Histories, audiences, histories


class UserPrefix:
    """First engagements learned so far, by user and by item. Rows are longer than `length` says: the rest is the future."""

    def __init__(self, stream: Stream, known: Known, end: int) -> None:
        """Events `[0, end)` have been learned."""
        self._stream = stream
        self.by_user: Histories = histories(stream, known.n_users)
        self.by_item: Histories = audiences(stream, known.n_items)
        learned = stream.first[:end]
        self.length: NDArray[np.int64] = np.bincount(stream.user[:end][learned], minlength=known.n_users)
        """(n_users,) Items each user has had."""
        self.count: NDArray[np.int64] = np.bincount(stream.item[:end][learned], minlength=known.n_items)
        """(n_items,) Users each item has had."""

    def learn(self, at: int) -> bool:
        """Whether event `at` is a first engagement; if so it is counted."""
        if not self._stream.first[at]:
            return False
        self.length[self._stream.user[at]] += 1
        self.count[self._stream.item[at]] += 1
        return True

    def newest(self, user: int, limit: int) -> NDArray[np.int32]:
        """The user's items, newest first, at most `limit`."""
        start = self.by_user.starts[user]
        stop = start + self.length[user]
        found: NDArray[np.int32] = self.by_user.values[max(start, stop - limit) : stop][::-1]
        return found
