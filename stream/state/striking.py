"""One item struck out of a person's state and ledger, as far as they tell items apart. Pure."""

from __future__ import annotations

import numpy as np

from stream.state.edits import remembered, strike
from stream.state.ledger import Ledgers
from stream.state.record import BOUGHT, EXPOSURES, States
from stream.state.update import UpdateParams

_EXPOSURE_COLUMNS = ("exposed_item", "exposed_s", "exposed_slot", "exposed_strategy", "exposed_context")


def strike_item(states: States, row: int, item: int, params: UpdateParams) -> int:
    """Strike out of one row all that is known of the item of this hash; how many behaviours of the ring these were."""
    one = states.take(np.array([row]), 1)
    struck = {each.key for each in remembered(one) if each.item == item}
    if struck:
        strike(one, struck, params)
    _strike_exposures(one, item)
    n_points = int(one.n_points[0])
    kept = one.point[0, :n_points][one.point[0, :n_points]["item"] != item].copy()
    one.point[0] = np.zeros((), one.point.dtype)
    one.point[0, : len(kept)], one.n_points[0] = kept, len(kept)
    _strike_bought(one, item)
    for name, column in states.columns._asdict().items():
        column[row] = getattr(one, name)[0]
    return len(struck)


def _strike_exposures(one: States, item: int) -> None:
    total = int(one.n_exposures[0])
    at = np.arange(total - min(total, EXPOSURES), total) % EXPOSURES
    at = at[one.exposed_item[0, at] != np.uint32(item >> 32)]
    for name in _EXPOSURE_COLUMNS:
        column = getattr(one, name)
        values = column[0, at].copy()
        column[0] = 0
        column[0, : len(values)] = values
    one.n_exposures[0] = len(at)


def _strike_bought(one: States, item: int) -> None:
    total = int(one.n_bought[0])
    at = np.arange(total - min(total, BOUGHT), total) % BOUGHT
    values = one.bought[0, at]
    values = values[values != np.uint16(item >> 48)].copy()
    one.bought[0] = 0
    one.bought[0, : len(values)], one.n_bought[0] = values, len(values)


def forget_item(ledgers: Ledgers, row: int, item: int) -> bool:
    """Take the item's touches and purchases out of one row; whether there were any."""
    c, short = ledgers.columns, np.uint32(item >> 32)
    n_touches, n_purchases = int(c.n_touches[row]), int(c.n_purchases[row])
    touches = c.touches[row, :n_touches][c.touches[row, :n_touches]["item"] != short].copy()
    stays = c.purchases[row, :n_purchases]["item"] != short
    purchases, credits_ = c.purchases[row, :n_purchases][stays].copy(), c.credits[row, :n_purchases][stays].copy()
    c.touches[row, : len(touches)], c.n_touches[row] = touches, len(touches)
    c.purchases[row, : len(purchases)], c.n_purchases[row] = purchases, len(purchases)
    c.credits[row, : len(credits_)] = credits_
    return len(touches) < n_touches or len(purchases) < n_purchases
