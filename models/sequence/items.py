"""The items a sequence model knows: those it was trained on, and cold ones placed by their text vectors."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.arrays import F4
from models.encoder.errors import ModelError
from models.hashing import item_hash
from models.items.index import NO_INDEX, ItemIndex


class ItemTable(NamedTuple):
    """One state of the items: never changes, so whoever holds it sees no half of an update."""

    vectors: F4
    """(n, d)"""
    biases: F4
    """(n,)"""


class ItemFile(NamedTuple):
    """What training knows of items; `write_items` and `read_items` keep it."""

    ids: list[str]
    """n distinct ids."""
    vectors: F4
    """(n, d): learned part and text together."""
    biases: F4
    """(n,)"""
    project: F4
    """(text dims, d): what a text vector adds; (0, d) for a model without text."""
    project_bias: F4
    """(d,): vector of a cold item = text @ project + project_bias."""
    unknown: F4
    """(d,): in the place of an item that has neither."""
    cold_bias: float
    """Bias of every item without a learned part."""


def write_items(path: Path, items: ItemFile) -> None:
    """Write them; equal items give equal bytes."""
    ids = np.frombuffer(msgspec.msgpack.encode(items.ids), np.uint8)
    arrays = {name: getattr(items, name) for name in ("vectors", "biases", "project", "project_bias", "unknown")}
    with path.open("wb") as file:
        np.savez(file, ids=ids, cold_bias=np.float32(items.cold_bias), **arrays)


def read_items(path: Path) -> ItemFile:
    """What `write_items` wrote.

    Raises:
        ModelError: it is not that.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            ids = msgspec.msgpack.decode(file["ids"].tobytes(), type=list[str])
            arrays = {name: file[name] for name in ("vectors", "biases", "project", "project_bias", "unknown")}
            return ItemFile(ids=ids, cold_bias=float(file["cold_bias"]), **arrays)
    except (OSError, ValueError, KeyError, msgspec.MsgspecError) as error:
        raise ModelError(f"{path} cannot be read: {error}.", "train the model again") from None


class SequenceItems:
    """Numbers items 0, 1, .. ("rows"); trained ones first. Only `put` changes it, from one thread at a time."""

    def __init__(self, items: ItemFile) -> None:
        """Of a model that was just opened.

        Raises:
            ModelError: two ids share a hash.
        """
        self._index = ItemIndex()
        self._index.intern(np.fromiter(map(item_hash, items.ids), np.uint64, len(items.ids)))
        if len(self._index) != len(items.ids):
            raise ModelError("two item ids of the model share a hash.", "train the model again with distinct ids")
        self.trained = len(items.ids)
        """Rows below it have a learned part."""
        self._file = items
        self._vectors, self._biases = items.vectors, items.biases
        self.table = ItemTable(items.vectors, items.biases)
        """The current state; replaced, never changed."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Of a file."""
        return cls(read_items(path))

    def __len__(self) -> int:
        """Rows in use."""
        return len(self._index)

    @property
    def text_dims(self) -> int:
        """Components of a text vector; 0 = the model was trained without text."""
        return int(self._file.project.shape[0])

    def rows_of_hashes(self, hashes: ArrayLike) -> NDArray[np.int32]:
        """Row of each item hash (`models.hashing`), -1 where the item has no place. Any shape uint64 -> int32."""
        return self._index.lookup(hashes)

    def rows(self, ids: Sequence[str]) -> NDArray[np.int32]:
        """Row of each item id, -1 where it has no place: (n,) int32."""
        return self._index.lookup(np.fromiter(map(item_hash, ids), np.uint64, len(ids)))

    def hashes(self, rows: ArrayLike) -> NDArray[np.uint64]:
        """Item hash of each row, `NO_ITEM` for -1. Any shape."""
        return self._index.hash_of(rows)

    def put(self, hashes: NDArray[np.uint64], texts: NDArray[np.float32]) -> int:
        """Place items by their text vectors; how many are new.

        Items with a learned part stay as they are: their text had its say in training. A cold one that is put again moves. Of a
        hash that comes twice the later one counts.

        Args:
            hashes: (m,) item hashes.
            texts: (m, text dims) float16 or float32, of the encoder that the manifest names; a zero row has no place.

        Raises:
            ValueError: the model was trained without text, or with vectors of other dimensions.
        """
        if texts.shape[1] != self.text_dims or not self.text_dims:
            raise ValueError(f"text vectors of {texts.shape[1]} dimensions for a model of {self.text_dims}")
        wanted = np.any(texts != 0, axis=1)
        wanted &= ~self._is_trained(hashes)
        hashes, texts = hashes[wanted], texts[wanted]
        before = len(self._index)
        rows = self._index.intern(hashes)
        if not rows.size:
            return 0
        vectors, biases = self._grown(len(self._index), is_moved=bool((rows < before).any()))
        vectors[rows] = texts.astype(np.float32) @ self._file.project + self._file.project_bias
        biases[rows] = self._file.cold_bias
        self.table = ItemTable(vectors[: len(self._index)], biases[: len(self._index)])
        return len(self._index) - before

    def gathered(self, table: ItemTable, rows: NDArray[np.int32]) -> F4:
        """(..., d) float32 vectors of rows; an item without a place has the `unknown` vector."""
        inside = (rows >= 0) & (rows < len(table.vectors))
        if not len(table.vectors):
            return np.broadcast_to(self._file.unknown, (*rows.shape, self._file.unknown.size)).copy()
        vectors: F4 = table.vectors[np.where(inside, rows, 0)]
        vectors[~inside] = self._file.unknown
        return vectors

    def _is_trained(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        rows = self._index.lookup(hashes)
        trained: NDArray[np.bool_] = (rows != NO_INDEX) & (rows < self.trained)
        return trained

    def _grown(self, n: int, *, is_moved: bool) -> tuple[F4, F4]:
        """Arrays with room for n rows. Rows that a table shows are never written: where one moves, all are copied."""
        if n > len(self._vectors) or is_moved:
            room = max(len(self._vectors), 1 << max(n - 1, 1).bit_length())
            vectors, biases = np.zeros((room, self._vectors.shape[1]), np.float32), np.zeros(room, np.float32)
            used = len(self.table.vectors)
            vectors[:used], biases[:used] = self.table
            self._vectors, self._biases = vectors, biases
        return self._vectors, self._biases
