"""What the sequence model reads of people: their first engagements."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class FirstEngagements(NamedTuple):
    """What the sequence model reads: first engagements still in the ring of u users, oldest first, at the left."""

    items: NDArray[np.uint64]
    """(u, t) uint64 hashes, 0 beyond the length."""
    times_ms: NDArray[np.int64]
    """(u, t) int64, ascending."""
    lengths: NDArray[np.int64]
    """(u,) int64."""
