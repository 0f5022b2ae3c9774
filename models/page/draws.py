"""Random numbers that are a pure function of what they are for: the same after a crash, in a replay and on another machine.

A number is made from a key and a counter, without a generator whose state would have to be kept (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", SC 2011). The mixing function is that of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np

from models.compiled import compiled_part

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 1.0 / 9007199254740992.0  # 2 ** -53


def draw_key(seed: str, user_id: str, offset: int, placement: str) -> int:
    """Key of all draws for one list, a uint64: of the installation's seed, the user, the offset of the last applied event, the
    placement. A user's events have one partition, so the offset says which event it was."""
    text = "\x00".join((seed, user_id, str(offset), placement))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


@compiled_part
def uniform(key: np.uint64, counter: int) -> float:
    """Number `counter` of a key: uniform in [0, 1), 53 bits."""
    z = key + _GOLDEN * np.uint64(counter + 1)
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    z = z ^ (z >> _S31)
    return float(z >> _S11) * _UNIT
