"""Loops over arrays that run as machine code: Numba, told once how.

For what is one event after another by its nature (a ring that the next event sees changed). A compiled loop says it in the
order in which it happens, costs a fraction of a microsecond an event, and lets other threads run meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile at the first call; the machine code is kept beside the source, or in the user's cache directory.

    Arithmetic is that of IEEE 754 in the order written (no `fastmath`), so results do not depend on the machine's vector
    width. Arrays are not bounds-checked: whoever calls has made sure of the indices.
    """
    try:
        made: Function = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # neither place can be written: compile again in every process
        made = numba.njit(nogil=True, error_model="numpy")(function)
    return made
