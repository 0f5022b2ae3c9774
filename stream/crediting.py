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

from models.compiled import compiled
from models.credit import divide
from stream.events import ACTIONS, RULES, STRATEGIES, Rule
from stream.ledger import LISTS, PATH, PLACES, PURCHASES, TOUCHES, Columns, Ledgers
from stream.update import CLICK, IMPRESSION, PURCHASE, REFUND, EventColumns

CART = ACTIONS.index("cart")
UNKNOWN = STRATEGIES.index("unknown")

NAMED, SHOWN, LISTED, NOTHING = range(4)
"""Codes of evidence; the wire's `EVIDENCE` has the same positions."""

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
    """Code of `models.credit`."""
    windows_ms: NDArray[np.int64]
    """By action code: how long before an outcome a touch may lie; 0 = the action is no outcome."""
    half_life_ms: float


class Outcomes(NamedTuple):
    """`(m,)` outcomes with their credits; `(m, PATH)` and `(m, PATH, 2)` for what each touch has."""

    event: NDArray[np.int64]
    """Position among the given events."""
    evidence: NDArray[np.uint8]
    value: NDArray[np.float64]
    """NaN = none. Of a refund not positive."""
    reverses: NDArray[np.int64]
    """Offset of the purchase that a refund takes back; -1 = none."""
    unattributed: NDArray[np.float64]
    n_credits: NDArray[np.int64]
    list_id: NDArray[np.uint64]
    rank: NDArray[np.uint8]
    strategy: NDArray[np.uint8]
    context: NDArray[np.uint8]
    """Of the exposure; of the outcome where that was none."""
    shown_ms: NDArray[np.int64]
    share: NDArray[np.float64]
    propensity: NDArray[np.float32]

    def first(self, m: int) -> Outcomes:
        """The first m."""
        columns: list[NDArray[Any]] = [column[:m].copy() for column in self]
        return Outcomes(*columns)


class Seen(NamedTuple):
    """`(e,)` exposures, or `(e,)` exposures that were clicked, each once."""

    strategy: NDArray[np.uint8]
    rank: NDArray[np.uint8]
    context: NDArray[np.uint8]
    propensity: NDArray[np.float32]
    event: NDArray[np.int64]
    """Position among the given events of the one that said so."""

    def first(self, m: int) -> Seen:
        """The first m."""
        columns: list[NDArray[Any]] = [column[:m].copy() for column in self]
        return Seen(*columns)


class Credited(NamedTuple):
    """What a chunk's events say of recommendations."""

    outcomes: Outcomes
    exposures: Seen
    clicks: Seen
    rows: NDArray[np.int64]
    """Ledgers that changed, each once, ascending."""


def credit_params(rule: str, windows_h: dict[str, float], half_life_h: float) -> CreditParams | None:
    """From settings: windows by action. None: nothing is credited."""
    if rule == "none":
        return None
    windows_ms = np.array([round(3_600_000 * windows_h.get(action, 0.0)) for action in ACTIONS], np.int64)
    return CreditParams(RULES.index(cast("Rule", rule)), windows_ms, 3_600_000.0 * half_life_h)


def is_told(events: EventColumns, params: CreditParams) -> NDArray[np.bool_]:
    """(n,) bool: events that say something of recommendations; the others need no ledger."""
    action = events.action
    told: NDArray[np.bool_] = (action == IMPRESSION) | (action == REFUND) | (params.windows_ms[action] > 0)
    return told


def credit(ledgers: Columns, events: EventColumns, referrals: Referrals, params: CreditParams) -> Credited:
    """Apply events of which `is_told` holds, in offset order, to ledgers in place. `events.row` is the ledger's row."""
    n = len(events.row)
    outcomes = Outcomes(
        event=np.zeros(n, np.int64),
        evidence=np.full(n, NOTHING, np.uint8),
        value=np.full(n, np.nan),
        reverses=np.full(n, -1, np.int64),
        unattributed=np.ones(n),
        n_credits=np.zeros(n, np.int64),
        list_id=np.zeros((n, PATH, 2), np.uint64),
        rank=np.zeros((n, PATH), np.uint8),
        strategy=np.zeros((n, PATH), np.uint8),
        context=np.zeros((n, PATH), np.uint8),
        shown_ms=np.zeros((n, PATH), np.int64),
        share=np.zeros((n, PATH)),
        propensity=np.ones((n, PATH), np.float32),
    )
    exposures, clicks = _nothing_seen(n), _nothing_seen(n)
    made = np.zeros(3, np.int64)
    changed = np.zeros(n, np.bool_)
    _credit(ledgers, events, referrals, params, outcomes, exposures, clicks, made, changed)
    m, seen, clicked = made.tolist()
    return Credited(outcomes.first(m), exposures.first(seen), clicks.first(clicked), np.unique(events.row[changed]))


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


def note_lists(ledgers: Columns, lists: Lists, at_ms: int) -> NDArray[np.bool_]:
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


def _nothing_seen(n: int) -> Seen:
    return Seen(
        np.zeros(n, np.uint8),
        np.zeros(n, np.uint8),
        np.zeros(n, np.uint8),
        np.zeros(n, np.float32),
        np.zeros(n, np.int64),
    )


@compiled
def _note_lists(c: Columns, lists: Lists, at_ms: int, noted: NDArray[np.bool_]) -> None:
    for m in range(len(lists.row)):
        noted[m] = _note_list(
            c, lists.row[m], lists.list_id[m], at_ms, lists.items[m], lists.strategy[m], lists.propensity[m]
        )


@compiled
def _note_list(
    c: Columns,
    r: int,
    list_id: NDArray[np.uint64],
    at_ms: int,
    items: NDArray[np.uint64],
    strategy: NDArray[np.uint8],
    propensity: NDArray[np.float32],
) -> bool:
    for k in range(c.n_lists[r]):
        if c.list_id[r, k, 0] == list_id[0] and c.list_id[r, k, 1] == list_id[1]:
            return False
    if c.n_lists[r] == LISTS:
        for k in range(LISTS - 1):
            c.list_id[r, k] = c.list_id[r, k + 1]
            c.list_ms[r, k] = c.list_ms[r, k + 1]
            c.list_item[r, k] = c.list_item[r, k + 1]
            c.list_strategy[r, k] = c.list_strategy[r, k + 1]
            c.list_propensity[r, k] = c.list_propensity[r, k + 1]
        c.n_lists[r] -= 1
    k = c.n_lists[r]
    c.list_id[r, k, 0], c.list_id[r, k, 1], c.list_ms[r, k] = list_id[0], list_id[1], at_ms
    c.list_item[r, k, :] = 0
    c.list_strategy[r, k, :] = 0
    c.list_propensity[r, k, :] = 0
    for place in range(min(PLACES, len(items))):
        if propensity[place] <= 0.0:
            break
        c.list_item[r, k, place] = np.uint32(items[place] >> np.uint64(32))
        c.list_strategy[r, k, place] = strategy[place]
        c.list_propensity[r, k, place] = propensity[place]
    c.n_lists[r] += 1
    return True


@compiled
def _credit(
    c: Columns,
    e: EventColumns,
    referrals: Referrals,
    params: CreditParams,
    out: Outcomes,
    exposures: Seen,
    clicks: Seen,
    made: NDArray[np.int64],
    changed: NDArray[np.bool_],
) -> None:
    for i in range(len(e.row)):
        r, action = e.row[i], e.action[i]
        item = np.uint32(e.item[i] >> np.uint64(32))
        if action == IMPRESSION:
            changed[i] = _expose(c, e, referrals, i, item, True, exposures, made) >= 0
        elif action == REFUND:
            changed[i] = _take_back(c, e, referrals, i, item, out, made)
        else:
            m = made[0]
            out.event[m], out.value[m] = i, referrals.value[i]
            named = -1
            if referrals.list_id[i, 0] != 0 or referrals.list_id[i, 1] != 0:
                named = _expose(c, e, referrals, i, item, False, exposures, made)
            t = _path(c, e, i, item, named, params.windows_ms[action], out, m, clicks, made)
            shares = divide(params.rule, out.shown_ms[m, :t], params.half_life_ms)
            for k in range(t):
                out.share[m, k] = shares[k]
            out.n_credits[m] = t
            out.unattributed[m] = 0.0 if t > 0 else 1.0
            changed[i] = t > 0
            if action == PURCHASE:
                _remember(c, e, i, item, out, m)
                changed[i] = True
            made[0] += 1
        if changed[i] and c.n_lists[r] + c.n_touches[r] + c.n_purchases[r] == 0:
            changed[i] = False


@compiled
def _expose(
    c: Columns,
    e: EventColumns,
    referrals: Referrals,
    i: int,
    item: np.uint32,
    is_impression: bool,
    exposures: Seen,
    made: NDArray[np.int64],
) -> int:
    """Position of the touch that event i proves; -1: it shows an item of no list."""
    r = e.row[i]
    id0, id1 = referrals.list_id[i, 0], referrals.list_id[i, 1]
    k = place = -1
    if id0 == 0 and id1 == 0:
        k, place = _newest_list(c, r, item, e.time_ms[i])
        if k < 0:
            return -1
        id0, id1 = c.list_id[r, k, 0], c.list_id[r, k, 1]
    else:
        for each in range(c.n_lists[r]):
            if c.list_id[r, each, 0] == id0 and c.list_id[r, each, 1] == id1:
                k, place = each, _place_of(c, r, each, item)
    flags = SEEN | (BY_IMPRESSION if is_impression else 0)
    for t in range(c.n_touches[r]):
        if c.touch_item[r, t] == item and c.touch_id[r, t, 0] == id0 and c.touch_id[r, t, 1] == id1:
            if c.touch_flags[r, t] & SEEN == 0:
                c.touch_context[r, t] = e.context[i]
                _see(c, r, t, i, exposures, made, 1)
            c.touch_flags[r, t] |= np.uint8(flags)
            return t
    t = _add_touch(c, r)
    c.touch_id[r, t, 0], c.touch_id[r, t, 1] = id0, id1
    c.touch_item[r, t], c.touch_ms[r, t], c.touch_context[r, t] = item, e.time_ms[i], e.context[i]
    c.touch_rank[r, t], c.touch_strategy[r, t], c.touch_propensity[r, t] = e.slot[i], UNKNOWN, 1.0
    if place >= 0:
        c.touch_rank[r, t], c.touch_strategy[r, t] = place + 1, c.list_strategy[r, k, place]
        c.touch_propensity[r, t] = c.list_propensity[r, k, place]
    c.touch_flags[r, t] = flags
    _see(c, r, t, i, exposures, made, 1)
    return t


@compiled
def _see(c: Columns, r: int, t: int, i: int, seen: Seen, made: NDArray[np.int64], which: int) -> None:
    """Write touch t to the exposures (which = 1) or clicks (2)."""
    m = made[which]
    seen.strategy[m], seen.rank[m], seen.context[m] = c.touch_strategy[r, t], c.touch_rank[r, t], c.touch_context[r, t]
    seen.propensity[m], seen.event[m] = c.touch_propensity[r, t], i
    made[which] += 1


@compiled
def _place_of(c: Columns, r: int, k: int, item: np.uint32) -> int:
    for place in range(PLACES):
        if c.list_item[r, k, place] == item and c.list_propensity[r, k, place] > 0.0:
            return place
    return -1


@compiled
def _newest_list(c: Columns, r: int, item: np.uint32, at_ms: int) -> tuple[int, int]:
    """Newest list up to then that holds the item, and its place there; -1, -1 if there is none."""
    for k in range(c.n_lists[r] - 1, -1, -1):
        if c.list_ms[r, k] <= at_ms:
            place = _place_of(c, r, k, item)
            if place >= 0:
                return k, place
    return -1, -1


@compiled
def _add_touch(c: Columns, r: int) -> int:
    """Position of a new touch; if there is no room, the oldest that was not clicked goes, else the oldest."""
    if c.n_touches[r] == TOUCHES:
        gone = 0
        for t in range(TOUCHES):
            if c.touch_flags[r, t] & CLICKED == 0:
                gone = t
                break
        for t in range(gone, TOUCHES - 1):
            c.touch_id[r, t] = c.touch_id[r, t + 1]
            c.touch_item[r, t], c.touch_ms[r, t] = c.touch_item[r, t + 1], c.touch_ms[r, t + 1]
            c.touch_rank[r, t], c.touch_strategy[r, t] = c.touch_rank[r, t + 1], c.touch_strategy[r, t + 1]
            c.touch_flags[r, t], c.touch_context[r, t] = c.touch_flags[r, t + 1], c.touch_context[r, t + 1]
            c.touch_propensity[r, t] = c.touch_propensity[r, t + 1]
        c.n_touches[r] -= 1
    c.n_touches[r] += 1
    return int(c.n_touches[r] - 1)


@compiled
def _path(
    c: Columns,
    e: EventColumns,
    i: int,
    item: np.uint32,
    named: int,
    window_ms: int,
    out: Outcomes,
    m: int,
    clicks: Seen,
    made: NDArray[np.int64],
) -> int:
    """Write the touches of outcome m, earliest first, and its evidence; how many there are."""
    r, at_ms = e.row[i], e.time_ms[i]
    found, shown = np.empty(TOUCHES, np.int64), np.empty(TOUCHES, np.int64)
    n, impressions, seen = 0, False, False
    for t in range(c.n_touches[r]):
        age_ms = at_ms - c.touch_ms[r, t]
        if age_ms < 0 or age_ms > window_ms:
            continue
        impressions = impressions or c.touch_flags[r, t] & BY_IMPRESSION != 0
        if c.touch_item[r, t] == item and t != named:
            seen = seen or c.touch_flags[r, t] & SEEN != 0
            p = n
            while p > 0 and shown[p - 1] > c.touch_ms[r, t]:
                found[p], shown[p] = found[p - 1], shown[p - 1]
                p -= 1
            found[p], shown[p] = t, c.touch_ms[r, t]
            n += 1
    if named >= 0:
        if n == TOUCHES:
            n -= 1
        found[n] = named
        n += 1
    if n > 0:
        out.evidence[m] = NAMED if named >= 0 else SHOWN if seen else LISTED
        last = found[n - 1]
        if e.action[i] == CLICK and c.touch_flags[r, last] & CLICKED == 0:
            c.touch_flags[r, last] |= np.uint8(CLICKED)
            if c.touch_flags[r, last] & SEEN != 0:
                _see(c, r, last, i, clicks, made, 2)
        for k in range(min(n, PATH)):
            t = found[0] if k == 0 else found[n - min(n, PATH) + k]
            out.list_id[m, k, 0], out.list_id[m, k, 1] = c.touch_id[r, t, 0], c.touch_id[r, t, 1]
            out.rank[m, k], out.strategy[m, k] = c.touch_rank[r, t], c.touch_strategy[r, t]
            out.context[m, k], out.shown_ms[m, k] = c.touch_context[r, t], c.touch_ms[r, t]
            out.propensity[m, k] = c.touch_propensity[r, t]
        return min(n, PATH)
    if impressions:
        out.evidence[m] = NOTHING  # somebody says what this person sees, and it was not this
        return 0
    return _by_lists(c, e, i, item, window_ms, out, m)


@compiled
def _by_lists(c: Columns, e: EventColumns, i: int, item: np.uint32, window_ms: int, out: Outcomes, m: int) -> int:
    """The published lists that held the item; the last one becomes a touch, for what the item earns later."""
    r, at_ms = e.row[i], e.time_ms[i]
    n = last = last_place = 0
    for k in range(c.n_lists[r]):
        age_ms = at_ms - c.list_ms[r, k]
        if age_ms < 0 or age_ms > window_ms:
            continue
        place = _place_of(c, r, k, item)
        if place < 0:
            continue
        out.list_id[m, n, 0], out.list_id[m, n, 1] = c.list_id[r, k, 0], c.list_id[r, k, 1]
        out.rank[m, n], out.strategy[m, n] = place + 1, c.list_strategy[r, k, place]
        out.context[m, n], out.shown_ms[m, n] = e.context[i], c.list_ms[r, k]
        out.propensity[m, n] = c.list_propensity[r, k, place]
        last, last_place, n = k, place, n + 1
    out.evidence[m] = LISTED if n > 0 else NOTHING
    if n > 0:
        t = _add_touch(c, r)
        c.touch_id[r, t, 0], c.touch_id[r, t, 1] = c.list_id[r, last, 0], c.list_id[r, last, 1]
        c.touch_item[r, t], c.touch_ms[r, t], c.touch_context[r, t] = item, c.list_ms[r, last], e.context[i]
        c.touch_rank[r, t], c.touch_strategy[r, t] = last_place + 1, c.list_strategy[r, last, last_place]
        c.touch_propensity[r, t] = c.list_propensity[r, last, last_place]
        c.touch_flags[r, t] = CLICKED  # kept before what was only seen
    return n


@compiled
def _remember(c: Columns, e: EventColumns, i: int, item: np.uint32, out: Outcomes, m: int) -> None:
    """Keep purchase m for a refund; the oldest goes."""
    r = e.row[i]
    if c.n_purchases[r] == PURCHASES:
        for p in range(PURCHASES - 1):
            _move(c, r, p + 1, p)
        c.n_purchases[r] -= 1
    p = c.n_purchases[r]
    c.n_purchases[r] += 1
    c.purchase_offset[r, p], c.purchase_item[r, p], c.purchase_ms[r, p] = e.offset[i], item, e.time_ms[i]
    c.purchase_value[r, p], c.purchase_refund[r, p], c.purchase_flags[r, p] = out.value[m], 0, 0
    c.purchase_credits[r, p] = out.n_credits[m]
    for k in range(PATH):
        c.credit_id[r, p, k] = out.list_id[m, k]
        c.credit_rank[r, p, k], c.credit_strategy[r, p, k] = out.rank[m, k], out.strategy[m, k]
        c.credit_context[r, p, k], c.credit_ms[r, p, k] = out.context[m, k], out.shown_ms[m, k]
        c.credit_share[r, p, k], c.credit_propensity[r, p, k] = out.share[m, k], out.propensity[m, k]


@compiled
def _move(c: Columns, r: int, source: int, to: int) -> None:
    c.purchase_offset[r, to], c.purchase_item[r, to] = c.purchase_offset[r, source], c.purchase_item[r, source]
    c.purchase_ms[r, to], c.purchase_value[r, to] = c.purchase_ms[r, source], c.purchase_value[r, source]
    c.purchase_refund[r, to], c.purchase_flags[r, to] = c.purchase_refund[r, source], c.purchase_flags[r, source]
    c.purchase_credits[r, to] = c.purchase_credits[r, source]
    c.credit_id[r, to] = c.credit_id[r, source]
    c.credit_rank[r, to], c.credit_strategy[r, to] = c.credit_rank[r, source], c.credit_strategy[r, source]
    c.credit_context[r, to], c.credit_ms[r, to] = c.credit_context[r, source], c.credit_ms[r, source]
    c.credit_share[r, to], c.credit_propensity[r, to] = c.credit_share[r, source], c.credit_propensity[r, source]


@compiled
def _take_back(
    c: Columns, e: EventColumns, referrals: Referrals, i: int, item: np.uint32, out: Outcomes, made: NDArray[np.int64]
) -> bool:
    """The newest purchase of the item that was not taken back, with its credits; whether the ledger changed.

    A refund whose event id has taken one back before is a repeat, and no outcome.
    """
    r, m = e.row[i], made[0]
    p = -1
    for each in range(c.n_purchases[r]):
        if c.purchase_item[r, each] != item:
            continue
        if c.purchase_flags[r, each] & TAKEN_BACK != 0:
            if e.event_id[i] != 0 and c.purchase_refund[r, each] == e.event_id[i]:
                return False
        elif c.purchase_ms[r, each] <= e.time_ms[i]:
            p = each
    out.event[m], out.unattributed[m], out.n_credits[m] = i, -1.0, 0
    out.value[m] = -abs(referrals.value[i])
    made[0] += 1
    if p < 0:
        return False
    c.purchase_flags[r, p] |= np.uint8(TAKEN_BACK)
    c.purchase_refund[r, p] = e.event_id[i]
    if np.isnan(out.value[m]):
        out.value[m] = -abs(c.purchase_value[r, p])
    n = c.purchase_credits[r, p]
    out.reverses[m], out.n_credits[m] = c.purchase_offset[r, p], n
    out.unattributed[m] = -1.0 if n == 0 else 0.0
    for k in range(n):
        out.list_id[m, k] = c.credit_id[r, p, k]
        out.rank[m, k], out.strategy[m, k] = c.credit_rank[r, p, k], c.credit_strategy[r, p, k]
        out.context[m, k], out.shown_ms[m, k] = c.credit_context[r, p, k], c.credit_ms[r, p, k]
        out.share[m, k], out.propensity[m, k] = -c.credit_share[r, p, k], c.credit_propensity[r, p, k]
    return True
