"""Vectors of a catalogue's texts for an evaluation, encoded once and kept in the work directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Encoder
from models.encoder.text import clean_text, item_text, text_hash
from models.items.catalog import CatalogItem

_BATCH: Final = 64


def vectors_of(
    catalogue: list[CatalogItem | None],
    encoder: Encoder,
    work_dir: Path,
    on_step: Callable[[int, int], None],
) -> NDArray[np.float32]:
    """(n_items, dims) unit vectors by item number, zeros for items without text.

    Args:
        catalogue: by item number.
        encoder: open; stays open.
        work_dir: where the vectors of these very texts and this model are looked for, and put.
        on_step: called with (texts done, texts in all).
    """
    texts = ["" if item is None else clean_text(item_text(item), encoder.max_tokens) for item in catalogue]
    distinct = list(dict.fromkeys(filter(None, texts)))
    digest = blake2b(encoder.model_version.encode(), digest_size=16)
    for text in distinct:
        digest.update(text_hash(text))
    path = work_dir / f"vectors-{digest.hexdigest()}.npy"
    encoded = _load(path, (len(distinct), encoder.dims))
    if encoded is None:
        encoded = _encode(distinct, encoder, on_step)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, encoded)
        os.replace(part, path)
    place = {text: number for number, text in enumerate(distinct)}
    padded = np.vstack((encoded, np.zeros((1, encoder.dims), np.float32)))
    return padded[[place.get(text, -1) for text in texts]]


def _load(path: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    try:
        with path.open("rb") as file:
            found: NDArray[np.float32] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape else None


def _encode(texts: list[str], encoder: Encoder, on_step: Callable[[int, int], None]) -> NDArray[np.float32]:
    """Shortest first, so that a batch has hardly any padding."""
    prepared = encoder.prepare(texts, "passage")
    order = sorted(range(len(texts)), key=lambda n: prepared[n].tokens)
    vectors = np.zeros((len(texts), encoder.dims), np.float32)
    for start in range(0, len(order), _BATCH):
        on_step(start, len(order))
        chosen = order[start : start + _BATCH]
        vectors[chosen] = encoder.encode([prepared[n] for n in chosen])
    on_step(len(order), len(order))
    return vectors
