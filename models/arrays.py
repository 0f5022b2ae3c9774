"""Short names of NumPy array types: a letter for the kind, a digit for the bytes of an element."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F4 = NDArray[np.float32]
F8 = NDArray[np.float64]
I4 = NDArray[np.int32]
I8 = NDArray[np.int64]
U64 = NDArray[np.uint64]
"""Hashes of items: 64 bits."""
