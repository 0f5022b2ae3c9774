"""Which behaviours the places of a list cite, each once, numbered in the order in which they are first cited."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled
from models.reasons.contributions import Contributions


class Citations(NamedTuple):
    """Of u lists, flat: c contributions cite m behaviours."""

    cited: NDArray[np.int64]
    """(c,): of each contribution, the place below of its behaviour."""
    user: NDArray[np.int64]
    """(m,) ascending."""
    behaviour: NDArray[np.int64]
    """(m,): as in `Contributions`."""
    start: NDArray[np.int64]
    """(u + 1,): a list's behaviours are those from its start to the next one's."""


def citations_of(causes: Contributions, users: int, width: int) -> Citations:
    """Of the lists of `users` users, each of whom has `width` places for behaviours."""
    cited, behaviour = np.empty(len(causes.user), np.int64), np.empty(len(causes.user), np.int64)
    start = np.zeros(users + 1, np.int64)
    n = _number(causes.user, causes.behaviour, np.empty(width, np.int64), cited, behaviour, start)
    return Citations(cited, np.repeat(np.arange(users), np.diff(start)), behaviour[:n], start)


@compiled
def _number(
    user: NDArray[np.int64],
    behaviour: NDArray[np.int64],
    number: NDArray[np.int64],
    cited: NDArray[np.int64],
    found: NDArray[np.int64],
    start: NDArray[np.int64],
) -> int:
    n, i = 0, 0
    for u in range(len(start) - 1):
        start[u] = n
        number[:] = -1
        while i < len(user) and user[i] == u:
            b = behaviour[i]
            if number[b] < 0:
                number[b] = n
                found[n] = b
                n += 1
            cited[i] = number[b]
            i += 1
    start[len(start) - 1] = n
    return n
