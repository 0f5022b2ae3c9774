"""Text vectors as the network reads them. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Scaling(NamedTuple):
    """(text - mean) * scale has a mean of 0 and components of about 1."""

    mean: NDArray[np.float32]
    """(dims,)"""
    scale: float


def scaling(texts: NDArray[np.float32]) -> Scaling:
    """Of (n, dims) vectors; rows of zeros are items without text."""
    has = np.any(texts != 0, axis=1)
    if not has.any():
        return Scaling(np.zeros(texts.shape[1], np.float32), 1.0)
    mean = texts[has].mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = float((texts[has] - mean).std(dtype=np.float64))
    return Scaling(mean, 1.0 / spread if spread > 1e-9 else 1.0)


def scaled(texts: NDArray[np.float32], by: Scaling) -> NDArray[np.float32]:
    """(n, dims) float32; zeros stay zeros."""
    has = np.any(texts != 0, axis=1)[:, None]
    return np.where(has, (texts - by.mean) * np.float32(by.scale), np.float32(0))
