"""Places that rules give to certain items: promotions, which have so many at least, and pins, which have one each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8
from models.compiled import compiled_part
from models.page.placing import BY_RULES, Placing


@compiled_part
def promote(
    items: I4, order: I8, chosen: I8, reason: NDArray[np.int16], placing: Placing, labelled: NDArray[np.bool_]
) -> None:
    """Give each promoting rule the places that it has at least: its best items take the last places of what is not promoted.

    Args:
        items, order: of the pool, as in `models.page.choice`.
        chosen: positions of the pool; changed.
        reason: of each position of the pool.
        placing: the rules.
        labelled: (slots,) places that a promotion filled; out.
    """
    promoted = placing.promoted
    for r in range(len(placing.least)):
        n = 0
        for c in chosen:
            if items[c] < len(promoted) and promoted[items[c]] == r:
                n += 1
        for i in order:
            if n >= placing.least[r]:
                break
            if items[i] >= len(promoted) or promoted[items[i]] != r or _is_in(i, chosen):
                continue
            at = len(chosen) - 1
            while at >= 0 and items[chosen[at]] < len(promoted) and promoted[items[chosen[at]]] >= 0:
                at -= 1
            if at < 0:
                return
            chosen[at], reason[i], labelled[at] = i, BY_RULES + r, True
            n += 1


@compiled_part
def _is_in(value: int, values: I8) -> bool:
    found = False
    for each in values:
        found = found or each == value
    return found


@compiled_part
def pin(
    out: I4, moved_by: NDArray[np.int16], labelled: NDArray[np.bool_], fixed: NDArray[np.bool_], excluded: I4,
    placing: Placing,
) -> None:  # fmt: skip
    """Put what is pinned in its place; what stood there and behind it moves back by one, and the last one falls off.

    Args:
        out, moved_by, labelled: (slots,) the list; changed.
        fixed: (slots,) places of pins and promotions; changed.
        excluded: (X,) what this user must not be shown, pinned or not; -1 pads.
        placing: the rules.
    """
    for p in range(len(placing.pin_place)):
        at, item = placing.pin_place[p], placing.pin_item[p]
        may = at < len(out) and item >= 0
        for j in excluded:
            may = may and j != item
        if not may:
            continue
        used = 0
        while used < len(out) and out[used] >= 0:
            used += 1
        was = min(used, len(out) - 1)
        for r in range(used):
            if out[r] == item:
                was = r
        at = min(at, was if was == used else used - 1)
        step = 1 if was > at else -1
        while was != at:
            before = was - step
            out[was], moved_by[was], labelled[was], fixed[was] = (
                out[before],
                moved_by[before],
                labelled[before],
                fixed[before],
            )
            was = before
        out[at], moved_by[at], labelled[at], fixed[at] = item, BY_RULES + placing.pin_rule[p], False, True
