"""What is ranked, by whom, and in which order the calls come: the contract between the evaluation and its contenders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.items.catalog import CatalogItem

NO_ITEM_NUMBER: Final = -1
NEVER_MS: Final = np.iinfo(np.int64).max
ALWAYS_MS: Final = np.iinfo(np.int64).min


class Stream(NamedTuple):
    """Every accepted event in global time order; events of one time stand in the order of the file. `(n,)` each."""

    user: NDArray[np.int32]
    """Dense number of the user, by first appearance in this order."""
    item: NDArray[np.int32]
    """Dense number of the item, by first appearance in this order; `NO_ITEM_NUMBER` where there is none (queries)."""
    time_ms: NDArray[np.int64]
    action: NDArray[np.uint8]
    """Position in `models.vocabulary.ACTIONS`."""
    dwell_ms: NDArray[np.int64]
    """0 where none was given."""
    context: NDArray[np.uint8]
    """Bucket 0 (none) to 7, as `stream.wire.codes.context_bucket` gives it."""
    event_id: NDArray[np.uint32]
    """24-bit hash of the event id as `stream.wire.codes.event_id_hash` gives it; 0 where there is none."""
    slot: NDArray[np.uint8]
    text: NDArray[np.int32]
    """Of a query: the place of its text in `Known.texts`; -1 elsewhere."""
    positive: NDArray[np.bool_]
    """The event is about an item, and its action shows interest (`strength_*` above 0)."""
    first: NDArray[np.bool_]
    """The first positive event of this user about this item. Those from the warm-up mark on are the questions."""

    @property
    def n_events(self) -> int:
        """n."""
        return self.time_ms.size


class Known(NamedTuple):
    """Whom and what the numbers mean.

    Items of the events come first, in order of first appearance, so `item < 1 + max(item[:at])` says "seen before `at`".
    Items that are only in the catalogue file come after them, in its order.
    """

    user_ids: list[str]
    item_ids: list[str]
    catalogue: list[CatalogItem | None]
    """By item number; None for an item that no catalogue file describes."""
    listed_from_ms: NDArray[np.int64]
    """(n_items,) When the catalogue knows the item: `ALWAYS_MS`, its `published_at`, or `NEVER_MS` if it is not in it."""
    texts: list[str]
    """Texts of queries, each once."""
    text_vectors: NDArray[np.float32] | None = None
    """(n_items, dims) unit vectors of the items' texts, zeros where there is none; None without catalogue or encoder."""

    @property
    def n_items(self) -> int:
        """All items there will ever be in this evaluation."""
        return len(self.item_ids)

    @property
    def n_users(self) -> int:
        """All users."""
        return len(self.user_ids)


class Answer(NamedTuple):
    """A contender's answer to one question. Arrays may be the contender's own: they are read before its next call."""

    scores: NDArray[np.float64]
    """(n_items,) Higher is better; no NaN. Entries of items that are no candidates are not looked at."""
    listed: NDArray[np.int32] | None = None
    """(k,) What would really be shown, best first (after diversity, exploration, ..); None: the best by score."""
    probability: NDArray[np.float64] | None = None
    """(n_items,) Probability that the user takes the item if it is shown; None: the contender states none."""


class Contender(Protocol):
    """Something that ranks. One thread calls `warm_up` once, then for every event `ask` if it is a question, and `learn`.

    A contender may look at events before the one it is asked about, and of that one at its user and time, nothing else.
    If it has an attribute `chosen: dict[str, Any]` (what it chose in `warm_up`, JSON-able), that goes into the report.
    """

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        """Learn events `[0, end)`; tune and fit on them only. `stream` and `known` stay valid for later calls.

        Raises:
            UnavailableError: it cannot take part with these data.
        """

    def ask(self, at: int) -> Answer:
        """Rank for the user of event `at` as of its time; events `[0, at)` have been learned, `at` has not."""

    def learn(self, at: int) -> None:
        """Event `at` has happened. Called for every event from `end` on, in order, positive or not."""


class Setup(NamedTuple):
    """What a contender is made with."""

    seed: int = 0


Factory = Callable[[Setup], Contender]
"""Makes a contender. May raise `UnavailableError`."""


class UnavailableError(Exception):
    """A contender cannot take part here (a package or the text vectors are missing); the message says why, in one line."""
