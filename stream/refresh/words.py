"""How items and queries are written in records: id and title as JSON, kept, so that a list copies bytes.

The same items stand in list after list. To clean a title, and to write a text as JSON, costs as much as all else that is done
for a place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8, U64
from models.items.catalog import Catalog
from models.items.index import NO_INDEX
from stream.reasons.sentence import title_of
from stream.refresh.json_bytes import Ids
from stream.refresh.sensitive_items import SensitiveItems

NameOf = Callable[[int], str | None]

UNLISTED_MS: Final = np.iinfo(np.int64).max
"""As the moment of what has none."""

GARBAGE_BYTES: Final = 1 << 20
"""Of what is not asked for any more so much may stay, and as much as of what is."""

OTHERS_REMEMBERED: Final = 100_000
"""Words that are no items of the index, such as queries."""

_NOTHING: Final = -1


class Words:
    """Numbers them in the order in which they are asked for.

    Arrays are by number; the next `numbers` may replace them, and `begin_batch` may give other numbers.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.data: NDArray[np.uint8] = np.zeros(1 << 16, np.uint8)
        """Bytes: ids as JSON strings, titles as they stand inside one."""
        self.start: NDArray[np.int64] = np.zeros(0, np.int64)
        """(w,): an id lies in `data` from `start` to `middle`, its title from there to `end`."""
        self.middle: NDArray[np.int64] = np.zeros(0, np.int64)
        self.end: NDArray[np.int64] = np.zeros(0, np.int64)
        self.title: NDArray[np.int64] = np.zeros(0, np.int64)
        """(w,): the same number for the same title."""
        self.listed_ms: NDArray[np.int64] = np.zeros(0, np.int64)
        """(w,): when the catalogue published it, `UNLISTED_MS` where it does not say."""
        self.is_item: NDArray[np.bool_] = np.zeros(0, np.bool_)
        """(w,): whether it is in the catalogue."""
        self._size = self._end = self._garbage_bytes = 0
        self._of_index: I4 = np.zeros(0, np.int32)
        self._of_hash: dict[int, int] = {}
        self._titles: dict[str, int] = {}
        self._unnamed: list[tuple[int, int]] = []

    def begin_batch(self) -> None:
        """Numbers given out before are not used any more."""
        for index, hashed in self._unnamed:  # their names may have come
            number = self._of_hash.pop(hashed, _NOTHING) if index == NO_INDEX else int(self._of_index[index])
            self._discard(np.array([number]))
            if index != NO_INDEX:
                self._of_index[index] = _NOTHING
        self._unnamed.clear()
        most = max(GARBAGE_BYTES, self._end // 2)
        if self._garbage_bytes > most or len(self._of_hash) > OTHERS_REMEMBERED:
            self._begin()

    def forget(self, indices: I4) -> None:
        """The catalogue says something else of these dense indices now."""
        known = indices[(indices >= 0) & (indices < len(self._of_index))]
        self._discard(self._of_index[known])
        self._of_index[known] = _NOTHING

    def numbers(self, hashes: U64, catalog: Catalog, name_of: NameOf) -> I8:
        """(m,) int64 of (m,) hashes; what nobody has a name for is written as its hash."""
        size = len(catalog.index)
        if size >= len(self._of_index):  # one place more: that of `NO_INDEX`
            grown = np.full(1 << size.bit_length(), _NOTHING, np.int32)
            grown[: len(self._of_index)] = self._of_index
            self._of_index = grown
        indices = catalog.index.lookup(hashes)
        found: I8 = self._of_index[indices].astype(np.int64)
        missing = np.flatnonzero(found == _NOTHING)
        if len(missing):
            found[missing] = [
                self._number(index, hashed, catalog, name_of)
                for index, hashed in zip(indices[missing].tolist(), hashes[missing].tolist(), strict=True)
            ]
        return found

    def ids(self, numbers: I8) -> Ids:
        """Of (m,) numbers."""
        return Ids(self.data, self.start[numbers], self.middle[numbers])

    def _number(self, index: int, hashed: int, catalog: Catalog, name_of: NameOf) -> int:
        known = self._of_hash.get(hashed, _NOTHING) if index == NO_INDEX else int(self._of_index[index])
        if known != _NOTHING:
            return known
        item, name = catalog.item(index), name_of(hashed)
        item_id = item.item_id if item is not None else name or f"hash:{hashed:016x}"
        number = self._add(item_id, title_of(item_id if item is None else item.title))
        self.is_item[number] = item is not None
        if item is not None and item.published_at_ms is not None:
            self.listed_ms[number] = item.published_at_ms
        if index == NO_INDEX:
            self._of_hash[hashed] = number
        else:
            self._of_index[index] = number
        if item is None and name is None:
            self._unnamed.append((index, hashed))
        return number

    def _add(self, item_id: str, title: str) -> int:
        number = self._size
        if number == len(self.start):
            for name in ("start", "middle", "end", "title", "listed_ms", "is_item"):
                setattr(self, name, _grown(getattr(self, name), max(1024, 2 * number)))
        written, inside = msgspec.json.encode(item_id), msgspec.json.encode(title)[1:-1]
        start, middle, end = self._end, self._end + len(written), self._end + len(written) + len(inside)
        if end > len(self.data):
            self.data = _grown(self.data, 2 * end)
        self.data[start:end] = np.frombuffer(written + inside, np.uint8)
        self.start[number], self.middle[number], self.end[number] = start, middle, end
        self.title[number] = self._titles.setdefault(title, len(self._titles))
        self.listed_ms[number] = UNLISTED_MS
        self._size, self._end = number + 1, end
        return number

    def _discard(self, numbers: NDArray[Any]) -> None:
        gone = numbers[numbers != _NOTHING]
        self._garbage_bytes += int((self.end[gone] - self.start[gone]).sum())


class Naming(NamedTuple):
    """What gives items and queries their names."""

    words: Words
    catalog: Catalog
    name_of: NameOf
    sensitive: SensitiveItems | None = None
    """Of which nothing is told; None: there are none."""

    def numbers(self, hashes: U64) -> I8:
        """(m,) int64 numbers of `words`."""
        return self.words.numbers(hashes, self.catalog, self.name_of)

    def are_sensitive(self, hashes: U64) -> NDArray[np.bool_] | None:
        """Which of these items, of any shape, nothing is told of; None: of none."""
        if self.sensitive is None:
            return None
        return self.sensitive.are(self.catalog.index.lookup(hashes))


def _grown(array: NDArray[Any], length: int) -> NDArray[Any]:
    grown = np.zeros((length, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
