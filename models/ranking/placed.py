"""Why items of a list stand where they do, where more than their scores decided it (`models.page`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4


class Placed(NamedTuple):
    """Of u lists with k places."""

    moved_by: NDArray[np.int16]
    """(u, k): position in `names`."""
    propensity: F4
    """(u, k): probability that this item stands here."""
    promoted: NDArray[np.bool_]
    """(u, k): placed by a promotion."""
    names: tuple[str, ...]
    """Reasons to move; the first one, "", is of what nothing moved."""
    placement: str
    """Where the lists are shown."""
    relaxed: tuple[tuple[str, ...], ...] = ()
    """Of each user: rules that were left out, since with them there would have been too few items. Empty: of nobody."""
    arms: tuple[tuple[str, str] | None, ...] = ()
    """Of each user: the experiment they are in and their arm; None: in none. Empty: there is no experiment."""
    of_asked: F4 | None = None
    """(u, k) probability that the item that was asked for stands here; None: nobody asked."""
