"""The items nearest by text to each item, made when somebody first asks for them: candidates without a search a list.

A search compares a user's interest with every item, 1.5 ms of memory traffic with 10,000 of them; the items near to one item
are the same for everybody who met it. So rows are made for what people have met, some at a time, and kept. A row holds also
what came after it was made: newcomers are compared with it when it is next asked for. When a hundredth of all vectors has
come or gone, and with them the mean that is taken off, rows are old: used as they are, and made again as time allows. The same
is done for texts that are no items, such as queries.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4, I8
from models.compiled import compiled, compiled_sums
from models.items.index import NO_INDEX

WIDTH: Final = 50
"""Items kept near to each."""

PRODUCTS_AT_ONCE: Final = 2_000_000
"""Pairs compared in one call at most, so that nobody waits longer: 20 to 30 ms."""

MEETING: Final = 10
"""Products that take as long as to compare a row with one newcomer, and find its place."""

NO_LIMIT: Final = 2**62

OTHERS_REMEMBERED: Final = 10_000
"""Texts that are no items, about 2 KB each."""

NEVER: Final = -1
FEW: Final = 8


class Near(NamedTuple):
    """What is near to some items or texts, in no order, `NO_INDEX` pads."""

    items: I4
    """(m, WIDTH) int32 dense indices."""
    cosines: F4
    """(m, WIDTH) float32."""


class Vectors(Protocol):
    """What rows are made of: `models.items.vectors.ItemVectors`."""

    size: int

    def has(self, indices: I4) -> NDArray[np.bool_]:
        """Whether each item has a vector."""
        ...

    def centred_of(self, indices: I8) -> F4:
        """(m, dims) float32."""
        ...

    def centred_rows(self) -> F4 | None:
        """(n, dims) float32 of all items, None if they are too many."""
        ...

    def nearest_items(self, queries: F4, k: int) -> Near:
        """The k nearest items with a vector, found by a graph."""
        ...


class _Other(NamedTuple):
    """What was near to a text after so many changes."""

    items: I4
    """(WIDTH,)."""
    cosines: F4
    changes: int


class NearItems:
    """Grows in place; all calls from one thread."""

    def __init__(self) -> None:
        self.items: I4 = np.zeros((0, WIDTH), np.int32)
        """(n, WIDTH) int32 by dense index; all `NO_INDEX` where no row was made."""
        self.cosines: F4 = np.zeros((0, WIDTH), np.float32)
        """(n, WIDTH) float32."""
        self._made: I4 = np.zeros(0, np.int32)
        """(n,) the generation in which each row was made, `NEVER` where it was not."""
        self._met: I4 = np.zeros(0, np.int32)
        """(n,) how many of this generation's newcomers each row was compared with."""
        self._generation = 0
        self._newcomers: I4 = np.zeros(0, np.int32)
        self._others: OrderedDict[bytes, _Other] = OrderedDict()
        self._changes = 0

    # --- what changes ---

    def begin_again(self) -> None:
        """Many vectors have come or gone: all rows are old."""
        self._generation += 1
        self._newcomers = np.zeros(0, np.int32)
        self._met[:] = 0
        self._others.clear()

    def changed(self, items: I4) -> None:
        """These distinct items are new, or have another vector, or none any more."""
        known = items[items < len(self._made)]
        self._made[known], self.items[known] = NEVER, NO_INDEX
        self._newcomers = np.concatenate([self._newcomers, items.astype(np.int32)])
        self._changes += 1

    # --- what is asked ---

    def make(self, wanted: I8, vectors: Vectors, at_once: int = PRODUCTS_AT_ONCE) -> None:
        """Have rows for these distinct items, as many as `at_once` comparisons allow: first for those that have none."""
        if int(wanted.max(initial=-1)) >= len(self._made):
            self._reserve(int(wanted.max()) + 1)
        made = self._made[wanted]
        due = np.concatenate([wanted[made == NEVER], wanted[(made != NEVER) & (made != self._generation)]])
        due = due[: max(1, at_once // max(vectors.size, 1))]
        if len(due):
            self.items[due], self.cosines[due] = _search(vectors.centred_of(due), vectors)
            self._made[due], self._met[due] = self._generation, len(self._newcomers)
        rows = vectors.centred_rows()
        if rows is not None and len(self._newcomers):
            behind = wanted[(self._made[wanted] != NEVER) & (self._met[wanted] < len(self._newcomers))]
            meetings = np.cumsum(len(self._newcomers) - self._met[behind])
            behind = behind[: max(1, int(np.searchsorted(meetings, at_once // MEETING, "right")))]
            _meet(behind, self._met, self._newcomers, rows, self.items, self.cosines)
            self._met[behind] = len(self._newcomers)

    def of_others(self, texts: F4, vectors: Vectors, at_once: int = PRODUCTS_AT_ONCE) -> Near:
        """What is near to (m, dims) float32 centred vectors of texts that are no items, as far as `at_once` comparisons allow:
        a text that was never compared has an empty row then, and one that was before the last change its row of before."""
        near = Near(np.full((len(texts), WIDTH), NO_INDEX, np.int32), np.zeros((len(texts), WIDTH), np.float32))
        keys = [text.tobytes() for text in texts]
        self._search_others(keys, texts, vectors, max(1, at_once // max(vectors.size, 1)))
        for row, key in enumerate(keys):
            known = self._others.get(key)
            if known is not None:
                self._others.move_to_end(key)
                near.items[row], near.cosines[row] = known.items, known.cosines
        while len(self._others) > OTHERS_REMEMBERED:
            self._others.popitem(last=False)
        return near

    def _search_others(self, keys: Sequence[bytes], texts: F4, vectors: Vectors, limit: int) -> None:
        """Compare so many of these texts, first those that never were."""
        row_of = {key: row for row, key in enumerate(keys)}
        new = [row for key, row in row_of.items() if key not in self._others]
        stale = [r for key, r in row_of.items() if key in self._others and self._others[key].changes != self._changes]
        due = (new + stale)[:limit]
        if due:
            found = _search(texts[due], vectors)
            for row, items, cosines in zip(due, found.items, found.cosines, strict=True):
                self._others[keys[row]] = _Other(items.copy(), cosines.copy(), self._changes)

    def _reserve(self, size: int) -> None:
        room, before = 1 << (size - 1).bit_length(), len(self._made)
        items, cosines = np.full((room, WIDTH), NO_INDEX, np.int32), np.zeros((room, WIDTH), np.float32)
        made, met = np.full(room, NEVER, np.int32), np.zeros(room, np.int32)
        items[:before], cosines[:before], made[:before], met[:before] = self.items, self.cosines, self._made, self._met
        self.items, self.cosines, self._made, self._met = items, cosines, made, met


def _search(centred: F4, vectors: Vectors) -> Near:
    """Nearest to each of (m, dims)."""
    rows = vectors.centred_rows()
    if rows is None:
        return vectors.nearest_items(centred, WIDTH)
    found = Near(np.full((len(centred), WIDTH), NO_INDEX, np.int32), np.zeros((len(centred), WIDTH), np.float32))
    _take_best(_products(centred, rows), vectors.has(np.arange(len(rows), dtype=np.int32)), *found)
    return found


def _products(centred: F4, rows: F4) -> F4:
    """(m, n) float32. For few one after another: a product of two matrices first copies all rows, which costs as much as the
    products with ten vectors."""
    if len(centred) > FEW:
        together: F4 = centred @ rows.T
        return together
    return np.stack([rows @ one for one in centred])


@compiled
def _take_best(similar: F4, usable: NDArray[np.bool_], items: I4, cosines: F4) -> None:
    """Fill (m, k) with the most similar usable ones of each row; of equal ones the lower index. Nothing where all are 0."""
    k = items.shape[1]
    for u in range(len(similar)):
        n, least, is_something = 0, 0, False
        for j in range(similar.shape[1]):
            value = similar[u, j]
            is_something = is_something or value != 0.0
            if not usable[j] or (n == k and value <= cosines[u, least]):
                continue
            at = n if n < k else least
            cosines[u, at], items[u, at] = value, j
            n = min(n + 1, k)
            if n == k:
                least = int(np.argmin(cosines[u]))
        if not is_something:
            items[u], cosines[u] = -1, 0.0


@compiled
def _meet(behind: I8, met: I4, newcomers: I4, rows: F4, items: I4, cosines: F4) -> None:
    """Compare rows with the newcomers that they have not met."""
    for r in behind:
        for i in range(met[r], len(newcomers)):
            j = newcomers[i]
            cosine = dot(rows[r], rows[j]) if j < len(rows) else np.float32(0.0)
            place = -1
            for k in range(items.shape[1]):
                if items[r, k] == j or (place < 0 and items[r, k] < 0):
                    place = k
                    if items[r, k] == j:
                        break
            if place < 0:
                least = int(np.argmin(cosines[r]))
                place = least if cosine > cosines[r, least] else -1
            if place >= 0 and (cosine != 0.0 or items[r, place] == j):
                items[r, place], cosines[r, place] = j, cosine


@compiled_sums
def dot(one: F4, other: F4) -> np.float32:
    """Of two vectors, float32."""
    total = np.float32(0.0)
    for d in range(len(one)):
        total += one[d] * other[d]
    return total
