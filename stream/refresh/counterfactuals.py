"""What would change a list while serving: the smallest set of a person's own items without which another item would lead it.

Ranked again by the code that serves; see `models.reasons.counterfactual`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.arrays import I4
from models.items.index import ItemIndex
from models.reasons.counterfactual import Counterfactual, counterfactual
from models.reasons.removal import used_places
from models.reasons.what_if import WhatIf
from stream.refresh.publish import Published
from stream.refresh.words import NameOf
from stream.wire.reasons import WithoutItems
from stream.wire.records import encode

BUDGET: Final = 200
"""Rankings spent on one list: single items are always searched completely, larger sets greedily beyond it."""


def what_would_change(
    person: WhatIf,
    places: NDArray[np.uint64],
    leader: int,
    index: ItemIndex,
    name_of: NameOf,
    is_withheld: Callable[[I4], bool] = lambda _items: False,
) -> WithoutItems | None:
    """For one person, whose list the item with the dense index `leader` leads; `places` (H,) are the hashes of the items of the
    history. None where nothing that was tried does, or where by scores alone another would lead: a rule forbids that one, say,
    and what is tried here knows no rules. None, too, where an item is in it of which nothing is told: `is_withheld` of the
    dense indices."""
    ranked = person.rank()
    if int(ranked.items[0, 0]) != leader:
        return None
    found = counterfactual(ranked, used_places(person.past), person.leads, BUDGET)
    if found is None or not found.verified:
        return None
    told = index.lookup(places[list(found.removed)])
    return None if is_withheld(np.append(told, np.int32(found.replacement))) else _named(found, places, index, name_of)


def with_counterfactual(published: Published, found: WithoutItems | None) -> Published:
    """With what was found, which is about the first place, in the reasons."""
    if found is None or published.reasons is None:
        return published
    record = msgspec.structs.replace(published.reasons.record, counterfactual=found)
    return published._replace(reasons=published.reasons._replace(value=encode(record)))


def _named(found: Counterfactual, places: NDArray[np.uint64], index: ItemIndex, name_of: NameOf) -> WithoutItems:
    def name(hashed: int) -> str:
        return name_of(hashed) or f"hash:{hashed:016x}"

    replacement = None
    if found.replacement >= 0:
        replacement = name(int(index.hash_of(np.array([found.replacement]))[0]))
    removed: Sequence[str] = [name(int(places[place])) for place in found.removed]
    return WithoutItems(tuple(removed), replacement, found.exact)
