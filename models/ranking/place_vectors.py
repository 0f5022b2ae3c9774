"""Where the vectors of users' histories are: rows of two tables, so that nothing of them is copied to rank.

A history has up to 64 places of 384 numbers a user; that of a batch would be six megabytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.arrays import F4, I4, I8
from models.compiled import compiled
from models.items.vectors import ItemVectors, centred

NO_VECTOR = -1


class PastTexts(NamedTuple):
    """What the places of u histories say by text: items, and texts that are no items."""

    row: I8
    """(u, H): dense index of the item, `-2 - q` for text q, `NO_VECTOR` where there is none."""
    others: F4
    """(m, dims) float32 unit vectors, as the encoder gave them, of texts that are no items: of what was searched for."""

    def take(self, users: slice | I8) -> PastTexts:
        """Of these users."""
        return self._replace(row=self.row[users])


class PlaceVectors(NamedTuple):
    """Centred vectors of the places of u histories."""

    row: I8
    """(u, H): a row of `table`, `-2 - q` for row q of `others`, `NO_VECTOR` where there is none."""
    table: F4
    """(n, dims)."""
    others: F4
    """(m, dims)."""

    def take(self, users: slice | I8) -> PlaceVectors:
        """Of these users."""
        return self._replace(row=self.row[users])


def past_of_items(history: I4, vectors: ItemVectors) -> PastTexts:
    """Of (u, H) dense indices, where those without a vector have none."""
    row = np.where(vectors.has(history), history, NO_VECTOR).astype(np.int64)
    return PastTexts(row, np.zeros((0, vectors.dims), np.float32))


def place_vectors(past: PastTexts, vectors: ItemVectors) -> PlaceVectors:
    """Centred as the catalogue's; places whose vector is nothing but what all have in common get none."""
    table, row = rows_of(np.maximum(past.row, NO_VECTOR), vectors)
    row = np.where(past.row < NO_VECTOR, past.row, row)
    found = PlaceVectors(row, table, centred(past.others, vectors.mean))
    _leave_out_nothing(found.row, found.table, found.others)
    return found


def rows_of(items: I8, vectors: ItemVectors) -> tuple[F4, I8]:
    """A table with the centred vectors of these items, and the row of each in it, of any shape; `NO_VECTOR` for negative ones.

    The table is that of all items where it is kept ready, then each is its own row; else one of these alone.
    """
    table = vectors.centred_rows()
    if table is not None:
        return table, np.where(items < len(table), items, NO_VECTOR)
    distinct, place = np.unique(items, return_inverse=True)
    made = vectors.centred_of(distinct)
    return made, np.where(items < 0, NO_VECTOR, place.reshape(items.shape))


@compiled
def _leave_out_nothing(row: I8, table: F4, others: F4) -> None:
    for u in range(len(row)):
        for h in range(row.shape[1]):
            if row[u, h] == NO_VECTOR:
                continue
            vector = table[row[u, h]] if row[u, h] >= 0 else others[-2 - row[u, h]]
            is_nothing = True
            for d in range(len(vector)):
                if vector[d] != 0.0:
                    is_nothing = False
                    break
            if is_nothing:
                row[u, h] = NO_VECTOR
