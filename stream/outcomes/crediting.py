"""What users were shown, and what it earned: events of a chunk -> the ledgers, and flat columns of outcomes and credits. Pure.

One event after another in offset order, in a compiled loop, so it does not matter how the topic is cut into chunks.

An exposure is an item of a list that the person saw: by an impression, or because an event named the list. A touch is an
exposure that is remembered, or a published list that was credited once. The touches of an outcome are those of its item, not
later than it and within the window of its action; the list that it names itself is the last of them. Only users of whom
nobody reports impressions are credited by published lists alone. A repeated impression is the same touch.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from models.compiled import compiled, compiled_part
from models.credit.compiled_shares import divide
from models.vocabulary import (
    ACTIONS,
    CLICK,
    IMPRESSION,
    LISTED,
    NAMED,
    NOTHING,
    PURCHASE,
    REFUND,
    RULES,
    SHOWN,
    UNKNOWN,
    Rule,
)
from stream.state.ledger import CREDIT, LISTS, LISTS_SEEN, PATH, PLACES, PURCHASES, TOUCHES, LedgerColumns, Ledgers
from stream.state.update import EventColumns

SEEN, CLICKED, BY_IMPRESSION = 1, 2, 4
"""Flags of a touch: it is an exposure; it was clicked; an impression said so. A published list's touch has not SEEN."""

TAKEN_BACK = 1
"""Flag of a purchase."""


class Referrals(NamedTuple):
    """What events say of where they come from, beside their `EventColumns`; every array is `(n, ...)`."""

    list_id: NDArray[np.uint64]
    """(n, 2): the recommendation that the event names; 0, 0 = none."""
    value: NDArray[np.float64]
    """NaN = none."""

    def take(self, index: NDArray[np.generic]) -> Referrals:
        """Those at `index` (positions or mask)."""
        return Referrals(self.list_id[index], self.value[index])


class CreditParams(NamedTuple):
    """How outcomes are credited."""

    rule: int
    """Code of `models.credit.compiled_shares`."""
    windows_ms: NDArray[np.int64]
    """By action code: how long before an outcome a touch may lie; 0 = the action is no outcome."""
    half_life_ms: float


OUTCOME = np.dtype(
    [("event", "<i8"), ("evidence", "u1"), ("value", "<f8"), ("reverses", "<i8"), ("unattributed", "<f8"),
     ("n_credits", "<i8")]
)  # fmt: skip
"""`event`: position among the given events; `value` NaN = none, of a refund not positive; `reverses`: offset of the purchase
that a refund takes back, -1 = none."""

_EVENT = np.dtype(
    [("row", "<i8"), ("offset", "<i8"), ("time_ms", "<i8"), ("item", "<u4"), ("action", "u1"), ("context", "u1"),
     ("event_id", "<u4"), ("slot", "u1"), ("id0", "<u8"), ("id1", "<u8"), ("value", "<f8")]
)  # fmt: skip
"""One argument for the compiled loops instead of a dozen: each of them is compiled for every array it is given."""

SEEN_ITEM = np.dtype(
    [("strategy", "u1"), ("rank", "u1"), ("context", "u1"), ("propensity", "<f4"), ("event", "<i8")]
)  # fmt: skip
"""`event`: position among the given events of the one that said so."""


class Credited(NamedTuple):
    """What a chunk's events say of recommendations."""

    outcomes: NDArray[Any]
    """(m,) of `OUTCOME`."""
    credits: NDArray[Any]
    """(m, PATH) of `ledger.CREDIT`: of each outcome the first `n_credits`, in the order of the touches. The context is that of
    the exposure, or of the outcome where that was none."""
    exposures: NDArray[Any]
    """(e,) of `SEEN_ITEM`."""
    clicks: NDArray[Any]
    """(c,) of `SEEN_ITEM`: exposures that were clicked, each once."""
    rows: NDArray[np.int64]
    """Ledgers that changed, each once, ascending."""


def credit_params(rule: str, windows_h: dict[str, float], half_life_h: float) -> CreditParams | None:
    """`rule`: a name of `RULES`, or `none`: then nothing is credited, and this is None. `windows_h`: hours by action."""
    if rule == "none":
        return None
    windows_ms = np.array([round(3_600_000 * windows_h.get(action, 0.0)) for action in ACTIONS], np.int64)
    return CreditParams(RULES.index(cast("Rule", rule)), windows_ms, 3_600_000.0 * half_life_h)


def concerns_lists(events: EventColumns, params: CreditParams) -> NDArray[np.bool_]:
    """(n,) bool: events that say something of recommendations; the others need no ledger."""
    action = events.action
    told: NDArray[np.bool_] = (action == IMPRESSION) | (action == REFUND) | (params.windows_ms[action] > 0)
    return told


def credit(ledgers: LedgerColumns, events: EventColumns, referrals: Referrals, params: CreditParams) -> Credited:
    """Apply events of which `concerns_lists` holds, in offset order, to ledgers in place. `events.row` is the ledger's row."""
    n = len(events.row)
    outcomes, touched = np.zeros(n, OUTCOME), np.zeros((n, PATH), CREDIT)
    exposures, clicks = np.zeros(n, SEEN_ITEM), np.zeros(n, SEEN_ITEM)
    made, changed = np.zeros(3, np.int64), np.zeros(n, np.bool_)
    e = np.zeros(n, _EVENT)
    for name in ("row", "offset", "time_ms", "action", "context", "event_id", "slot"):
        e[name] = getattr(events, name)
    e["item"] = events.item >> np.uint64(32)
    e["id0"], e["id1"], e["value"] = referrals.list_id[:, 0], referrals.list_id[:, 1], referrals.value
    _credit(ledgers, e, params, Credited(outcomes, touched, exposures, clicks, made), changed)
    m, seen, clicked = made.tolist()
    return Credited(outcomes[:m], touched[:m], exposures[:seen], clicks[:clicked], np.unique(events.row[changed]))


class Lists(NamedTuple):
    """Lists that were published, `(m, ...)`."""

    row: NDArray[np.int64]
    """Of the user's ledger."""
    list_id: NDArray[np.uint64]
    """(m, 2)."""
    items: NDArray[np.uint64]
    """(m, k) hashes in the order of the list; of a longer one the first `PLACES` are kept."""
    strategy: NDArray[np.uint8]
    """(m, k)."""
    propensity: NDArray[np.float32]
    """(m, k), > 0; 0 after the last item of a list."""

    def take(self, kept: NDArray[np.bool_]) -> Lists:
        """Of these."""
        return Lists(self.row[kept], self.list_id[kept], self.items[kept], self.strategy[kept], self.propensity[kept])


def note_lists(ledgers: LedgerColumns, lists: Lists, at_ms: int) -> NDArray[np.bool_]:
    """Remember that lists were published; (m,) False where one is remembered already."""
    noted = np.zeros(len(lists.row), np.bool_)
    _note_lists(ledgers, lists, at_ms, noted)
    return noted


def warm_up(params: CreditParams) -> None:
    """Have the loops compiled before there is a chunk that waits for them."""
    ledgers = Ledgers(1).columns
    zeros = np.zeros(1, np.int64)
    event = EventColumns(zeros, zeros, zeros + 1000, *(zeros.astype(k) for k in ("u8", "u1", "u1", "u1", "u4", "u1")))
    credit(ledgers, event, Referrals(np.zeros((1, 2), np.uint64), np.full(1, np.nan)), params)
    ids, one = np.ones((1, 2), np.uint64), np.ones((1, 1), np.uint64)
    note_lists(ledgers, Lists(zeros, ids, one, np.zeros((1, 1), np.uint8), np.ones((1, 1), np.float32)), 0)


@compiled
def _note_lists(c: LedgerColumns, lists: Lists, at_ms: int, noted: NDArray[np.bool_]) -> None:
    for m in range(len(lists.row)):
        r = lists.row[m]
        noted[m] = True
        for k in range(c.n_lists[r]):
            if c.lists[r, k].id0 == lists.list_id[m, 0] and c.lists[r, k].id1 == lists.list_id[m, 1]:
                noted[m] = False
        if not noted[m]:
            continue
        if c.n_lists[r] == LISTS:
            for k in range(_list_to_drop(c, r), LISTS - 1):
                c.lists[r, k] = c.lists[r, k + 1]
                for place in range(PLACES):
                    c.places[r, k, place] = c.places[r, k + 1, place]
            c.n_lists[r] -= 1
        k = c.n_lists[r]
        c.lists[r, k].id0, c.lists[r, k].id1, c.lists[r, k].ms = lists.list_id[m, 0], lists.list_id[m, 1], at_ms
        c.lists[r, k].seen = 0
        n = 0
        while n < min(PLACES, lists.items.shape[1]) and lists.propensity[m, n] > 0.0:
            c.places[r, k, n].item = np.uint32(lists.items[m, n] >> np.uint64(32))
            c.places[r, k, n].strategy = lists.strategy[m, n]
            c.places[r, k, n].propensity = lists.propensity[m, n]
            n += 1
        for place in range(n, PLACES):
            c.places[r, k, place].item = 0
            c.places[r, k, place].strategy = 0
            c.places[r, k, place].propensity = 0.0
        c.n_lists[r] += 1


@compiled_part
def _list_to_drop(c: LedgerColumns, r: int) -> int:
    """The oldest that was not seen, unless more than `LISTS_SEEN` were: then the oldest of those."""
    seen = 0
    for k in range(LISTS):
        seen += c.lists[r, k].seen
    wanted = 1 if seen > LISTS_SEEN else 0
    for k in range(LISTS):
        if c.lists[r, k].seen == wanted:
            return k
    return 0


@compiled
def _credit(
    c: LedgerColumns,
    e: NDArray[Any],
    params: CreditParams,
    out: Credited,
    changed: NDArray[np.bool_],
) -> None:
    """`out.rows` counts what was made: outcomes, exposures, clicks."""
    for i in range(len(e)):
        action, item, id0, id1 = e[i].action, e[i].item, e[i].id0, e[i].id1
        is_impression = action == IMPRESSION  # a variable: `_expose` would be compiled once for True and once for False
        if is_impression:
            changed[i] = _expose(c, e, i, item, id0, id1, is_impression, out) >= 0
        elif action == REFUND:
            changed[i] = _take_back(c, e, e[i].value, i, item, out)
        else:
            m = out.rows[0]
            named = -1
            if id0 != 0 or id1 != 0:
                named = _expose(c, e, i, item, id0, id1, is_impression, out)
            t = _path(c, e, i, item, named, params.windows_ms[action], out)
            times_ms = np.empty(t, np.int64)
            for k in range(t):
                times_ms[k] = out.credits[m, k].ms
            shares = divide(params.rule, times_ms, params.half_life_ms)
            for k in range(t):
                out.credits[m, k].share = shares[k]
            out.outcomes[m].event, out.outcomes[m].value = i, e[i].value
            out.outcomes[m].reverses, out.outcomes[m].n_credits = -1, t
            out.outcomes[m].unattributed = 0.0 if t > 0 else 1.0
            changed[i] = t > 0
            if action == PURCHASE:
                _remember(c, e, i, item, out)
                changed[i] = True
            out.rows[0] += 1


@compiled_part
def _expose(
    c: LedgerColumns,
    e: NDArray[Any],
    i: int,
    item: np.uint32,
    id0: np.uint64,
    id1: np.uint64,
    is_impression: bool,
    out: Credited,
) -> int:
    """Position of the touch that event i proves; -1: it shows an item of no list."""
    r = e[i].row
    k = place = -1
    is_named = id0 != 0 or id1 != 0
    for each in range(c.n_lists[r] - 1, -1, -1):
        of = c.lists[r, each]
        if (of.id0 == id0 and of.id1 == id1) if is_named else of.ms <= e[i].time_ms:
            place = _place_of(c, r, each, item)
            if place >= 0:
                k = each
                break
    if not is_named:
        if k < 0:
            return -1
        id0, id1 = c.lists[r, k].id0, c.lists[r, k].id1
    if k >= 0:
        c.lists[r, k].seen = 1
    flags = SEEN | (BY_IMPRESSION if is_impression else 0)
    for t in range(c.n_touches[r]):
        touch = c.touches[r, t]
        if touch.item == item and touch.id0 == id0 and touch.id1 == id1:
            if touch.flags & SEEN == 0:
                c.touches[r, t].context = e[i].context
                _see(c, r, t, i, out.exposures, out.rows, 1)
            c.touches[r, t].flags = touch.flags | np.uint8(flags)
            return t
    t = _add_touch(c, r)
    touch = c.touches[r, t]
    touch.id0, touch.id1, touch.item, touch.ms = id0, id1, item, e[i].time_ms
    touch.flags, touch.context = flags, e[i].context
    touch.rank, touch.strategy, touch.propensity = e[i].slot, UNKNOWN, 1.0
    if k >= 0:
        touch.rank, touch.strategy = place + 1, c.places[r, k, place].strategy
        touch.propensity = c.places[r, k, place].propensity
    _see(c, r, t, i, out.exposures, out.rows, 1)
    return t


@compiled_part
def _see(c: LedgerColumns, r: int, t: int, i: int, seen: NDArray[Any], made: NDArray[np.int64], which: int) -> None:
    """Write touch t to the exposures (which = 1) or clicks (2)."""
    of, touch = seen[made[which]], c.touches[r, t]
    of.strategy, of.rank, of.context = touch.strategy, touch.rank, touch.context
    of.propensity, of.event = touch.propensity, i
    made[which] += 1


@compiled_part
def _place_of(c: LedgerColumns, r: int, k: int, item: np.uint32) -> int:
    for place in range(PLACES):
        if c.places[r, k, place].item == item and c.places[r, k, place].propensity > 0.0:
            return place
    return -1


@compiled_part
def _add_touch(c: LedgerColumns, r: int) -> int:
    """Position of a new touch; if there is no room, the oldest that was not clicked goes, else the oldest."""
    if c.n_touches[r] == TOUCHES:
        gone = 0
        for t in range(TOUCHES):
            if c.touches[r, t].flags & CLICKED == 0:
                gone = t
                break
        for t in range(gone, TOUCHES - 1):
            c.touches[r, t] = c.touches[r, t + 1]
        c.n_touches[r] -= 1
    c.n_touches[r] += 1
    return int(c.n_touches[r] - 1)


@compiled_part
def _path(c: LedgerColumns, e: NDArray[Any], i: int, item: np.uint32, named: int, window_ms: int, out: Credited) -> int:
    """Write the touches of the next outcome, earliest first, and its evidence; how many there are."""
    r, at_ms, m = e[i].row, e[i].time_ms, out.rows[0]
    found = np.empty(TOUCHES + 1, np.int64)
    n, impressions, seen = 0, False, False
    for t in range(c.n_touches[r]):
        touch = c.touches[r, t]
        age_ms = at_ms - touch.ms
        if age_ms < 0 or age_ms > window_ms:
            continue
        impressions = impressions or touch.flags & BY_IMPRESSION != 0
        if touch.item == item and t != named:
            seen = seen or touch.flags & SEEN != 0
            p = n
            while p > 0 and c.touches[r, found[p - 1]].ms > touch.ms:
                found[p] = found[p - 1]
                p -= 1
            found[p] = t
            n += 1
    if named >= 0:
        found[n] = named
        n += 1
    if n == 0:
        out.outcomes[m].evidence = NOTHING
        # Where somebody says what this person sees, and it was not this, published lists prove nothing.
        return 0 if impressions else _by_lists(c, e, i, item, window_ms, out)
    out.outcomes[m].evidence = NAMED if named >= 0 else SHOWN if seen else LISTED
    last = found[n - 1]
    if e[i].action == CLICK and c.touches[r, last].flags & CLICKED == 0:
        c.touches[r, last].flags |= np.uint8(CLICKED)
        if c.touches[r, last].flags & SEEN != 0:
            _see(c, r, last, i, out.clicks, out.rows, 2)
    kept = min(n, PATH)
    for k in range(kept):
        touch = c.touches[r, found[0] if k == 0 else found[n - kept + k]]
        credit = out.credits[m, k]
        credit.id0, credit.id1, credit.rank, credit.strategy = touch.id0, touch.id1, touch.rank, touch.strategy
        credit.context, credit.ms, credit.propensity = touch.context, touch.ms, touch.propensity
    return kept


@compiled_part
def _by_lists(c: LedgerColumns, e: NDArray[Any], i: int, item: np.uint32, window_ms: int, out: Credited) -> int:
    """The published lists that held the item; the last one becomes a touch, for what the item earns later."""
    r, at_ms, m = e[i].row, e[i].time_ms, out.rows[0]
    n = 0
    for k in range(c.n_lists[r]):
        of = c.lists[r, k]
        if at_ms < of.ms or at_ms - of.ms > window_ms:
            continue
        place = _place_of(c, r, k, item)
        if place < 0:
            continue
        at, credit = c.places[r, k, place], out.credits[m, n]
        credit.id0, credit.id1, credit.rank, credit.strategy = of.id0, of.id1, place + 1, at.strategy
        credit.context, credit.ms, credit.propensity = e[i].context, of.ms, at.propensity
        n += 1
    if n > 0:
        out.outcomes[m].evidence = LISTED
        last, touch = out.credits[m, n - 1], c.touches[r, _add_touch(c, r)]
        touch.id0, touch.id1, touch.item, touch.ms = last.id0, last.id1, item, last.ms
        touch.rank, touch.strategy, touch.context = last.rank, last.strategy, last.context
        touch.propensity, touch.flags = last.propensity, CLICKED  # kept before what was only seen
    return n


@compiled_part
def _remember(c: LedgerColumns, e: NDArray[Any], i: int, item: np.uint32, out: Credited) -> None:
    """Keep the purchase that is the next outcome for a refund; the oldest goes."""
    r, m = e[i].row, out.rows[0]
    if c.n_purchases[r] == PURCHASES:
        for p in range(PURCHASES - 1):
            c.purchases[r, p] = c.purchases[r, p + 1]
            for k in range(PATH):
                c.credits[r, p, k] = c.credits[r, p + 1, k]
        c.n_purchases[r] -= 1
    p = c.n_purchases[r]
    c.n_purchases[r] += 1
    bought = c.purchases[r, p]
    bought.offset, bought.item, bought.ms, bought.value = e[i].offset, item, e[i].time_ms, out.outcomes[m].value
    bought.refund, bought.flags, bought.credits = 0, 0, out.outcomes[m].n_credits
    for k in range(PATH):
        c.credits[r, p, k] = out.credits[m, k]


@compiled_part
def _take_back(c: LedgerColumns, e: NDArray[Any], value: float, i: int, item: np.uint32, out: Credited) -> bool:
    """The newest purchase of the item that was not taken back, with its credits; whether the ledger changed.

    A refund whose event id has taken one back before is a repeat, and no outcome.
    """
    r, m = e[i].row, out.rows[0]
    p = -1
    for each in range(c.n_purchases[r]):
        bought = c.purchases[r, each]
        if bought.item != item:
            continue
        if bought.flags & TAKEN_BACK != 0:
            if e[i].event_id != 0 and bought.refund == e[i].event_id:
                return False
        elif bought.ms <= e[i].time_ms:
            p = each
    outcome = out.outcomes[m]
    outcome.event, outcome.evidence, outcome.unattributed, outcome.n_credits = i, NOTHING, -1.0, 0
    outcome.value, outcome.reverses = -abs(value), -1
    out.rows[0] += 1
    if p < 0:
        return False
    bought = c.purchases[r, p]
    bought.flags, bought.refund = TAKEN_BACK, e[i].event_id
    if np.isnan(value):
        outcome.value = -abs(bought.value)
    outcome.reverses, outcome.n_credits = bought.offset, bought.credits
    outcome.unattributed = -1.0 if bought.credits == 0 else 0.0
    for k in range(bought.credits):
        out.credits[m, k] = c.credits[r, p, k]
        out.credits[m, k].share = -out.credits[m, k].share
    return True
