"""The rules that are in force at a moment for some people, as one mask and one `Placing`: made once, used by many lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.arrays import I8
from models.hashing import item_hash
from models.items.catalog import Catalog
from models.items.index import NO_INDEX, ItemIndex
from models.page.placing import GROUPS, NO_RULE, Placing
from stream.rules.book import RuleBook
from stream.rules.marks import ITEMS_AT_ONCE, RuleMarks

LOOK_AGAIN_MS: Final = 60_000
"""After so long conditions on popularity and age are told of all items anew."""


class Scope(NamedTuple):
    """What holds for people with the same rules."""

    rules: tuple[str, ...]
    """Ids, in order: the numbers of rules in `placing`."""
    allowed: NDArray[np.bool_] | None
    """(n,) by dense index; None: everything."""
    placing: Placing
    relaxed: tuple[str, ...]
    """Rules that were left out, since they left fewer items than a list has places."""
    proposed: NDArray[np.int32]
    """Dense indices that rules lift or pin, some of them."""


class ActiveRules:
    """Rules and which items they mean; all calls from one thread."""

    def __init__(self, slots: int, proposed_each: int = 100) -> None:
        """`slots`: places of a list; `proposed_each`: items of a boost or promotion proposed to everybody."""
        self.book = RuleBook()
        self._slots, self._proposed_each = slots, proposed_each
        self._marks: dict[str, RuleMarks] = {}
        """That count."""
        self._coming: dict[str, RuleMarks] = {}
        """Whose items are being looked at."""
        self._book_version = -1
        self._scopes: dict[Any, Scope] = {}
        self._looked_again_ms = 0
        self._has_changed = False
        self._looked_at_version = -1
        """Of the catalogue."""
        self.errors: list[str] = []
        """Why rules do not count, to be told once."""

    @property
    def is_empty(self) -> bool:
        """There are no rules."""
        return not self.book.rules

    @property
    def is_ready(self) -> bool:
        """Nothing is waiting to be looked at."""
        return not self._coming and self._book_version == self.book.version

    @property
    def is_serving(self) -> bool:
        """Some rule counts already."""
        return bool(self._marks)

    @property
    def counting(self) -> int:
        """How many rules count, some of them at other times or for other people."""
        return len(self._marks)

    @property
    def has_boosts(self) -> bool:
        """Whether any rule adds to scores."""
        return any(marks.rule.kind == "boost" for marks in self._marks.values())

    # --- what changes ---

    def replicate(self, records: Iterable[tuple[bytes | None, bytes | None]]) -> bool:
        """Records of the topic; whether anything changed."""
        before = self.book.version
        for key, value in records:
            self.book.add(key, value)
        return self.book.version != before

    def items_changed(self, rows: I8) -> None:
        """Of the catalogue: dense indices."""
        for marks in (*self._marks.values(), *self._coming.values()):
            marks.changed(rows)
        self._has_changed = True

    def look(self, catalog: Catalog, popularity: NDArray[np.float64], now_ms: int, *, whole: bool = False) -> bool:
        """Look at some items more, `whole`: at all that wait. Whether other rules are in force, or mean other items, than
        before; an item that changed is looked at in any case, and is no such news."""
        changed = self._take_up()
        self._look_at_changed(catalog, popularity, now_ms)
        at_once = len(catalog.recommendable) if whole else ITEMS_AT_ONCE
        changed |= self._look_again(catalog, popularity, now_ms, at_once)
        for rule_id, marks in list(self._coming.items()):
            marks.step(catalog, popularity, now_ms, at_once)
            if marks.is_complete(catalog):
                self._marks[rule_id] = self._coming.pop(rule_id)
                changed = True
            if not whole:
                break
        self._tell_errors()
        if changed:
            self._scopes.clear()
        return changed

    def _take_up(self) -> bool:
        """What the book says by now; whether rules are gone."""
        if self._book_version == self.book.version:
            return False
        self._book_version = self.book.version
        gone = set(self._marks) - set(self.book.rules)
        for rule_id in gone:
            del self._marks[rule_id]
        self._coming = {
            rule_id: marks for rule_id, marks in self._coming.items() if self.book.rules.get(rule_id) == marks.rule
        }
        for rule_id, rule in self.book.rules.items():
            serving = self._marks.get(rule_id)
            if rule_id not in self._coming and (serving is None or serving.rule != rule):
                self._coming[rule_id] = RuleMarks(rule_id, rule, self.book.conditions.get(rule_id))
        return bool(gone)

    def _look_at_changed(self, catalog: Catalog, popularity: NDArray[np.float64], now_ms: int) -> None:
        if not self._has_changed and self._looked_at_version == catalog.version:
            return
        self._has_changed, self._looked_at_version = False, catalog.version
        for marks in (*self._marks.values(), *self._coming.values()):
            marks.look_at(np.flatnonzero(~marks.known), catalog, popularity, now_ms)
        for marks in self._marks.values():
            marks.look_at(np.arange(len(marks.known), len(catalog.recommendable)), catalog, popularity, now_ms)
        self._scopes.clear()

    def _look_again(self, catalog: Catalog, popularity: NDArray[np.float64], now_ms: int, at_once: int) -> bool:
        """Conditions on what changes by itself; whether one means other items now."""
        moving = [marks for marks in self._marks.values() if marks.condition is not None and marks.condition.moves]
        if now_ms - self._looked_again_ms >= LOOK_AGAIN_MS:
            self._looked_again_ms = now_ms
            for marks in moving:
                marks.begin_again()
        for marks in moving:
            if not marks.is_complete(catalog):
                marks.step(catalog, popularity, now_ms, at_once)
                return marks.is_complete(catalog) and marks.means_others
        return False

    def _tell_errors(self) -> None:
        for marks in (*self._marks.values(), *self._coming.values()):
            if marks.error is not None:
                self.errors.append(f"rule {marks.rule_id!r}: {marks.error}")
                marks.error = None

    # --- what is asked ---

    @property
    def has_shares(self) -> bool:
        """Whether rules differ from person to person."""
        return any(marks.rule.share < 1.0 for marks in self._marks.values())

    def marks_of(self, rule_id: str) -> RuleMarks:
        """Which items a rule means that counts."""
        return self._marks[rule_id]

    def rules_of(self, key: bytes, now_ms: int) -> tuple[str, ...]:
        """Ids of the rules that count for this person now, in order."""
        return tuple(
            rule_id
            for rule_id, marks in sorted(self._marks.items())
            if marks.rule.is_valid_at(now_ms) and is_in_share(key, rule_id, marks.rule.share)
        )

    def scope(self, rules: tuple[str, ...], catalog: Catalog, popularity: NDArray[np.float64]) -> Scope:
        """What these rules mean together."""
        found = self._scopes.get((rules, catalog.version))
        if found is None:
            if len(self._scopes) >= SCOPES_MAX:
                self._scopes.clear()
            found = self._scopes[rules, catalog.version] = self._made(rules, catalog, popularity)
        return found

    def _made(self, rules: tuple[str, ...], catalog: Catalog, popularity: NDArray[np.float64]) -> Scope:
        marks = [self._marks[rule_id] for rule_id in rules]
        allowed, relaxed = self._allowed(marks, catalog)
        recommendable = catalog.recommendable if allowed is None else catalog.recommendable & allowed
        n = len(recommendable)
        boost, boosted_by, most = np.zeros(n, np.float32), np.full(n, NO_RULE, np.int16), np.zeros(n, np.float32)
        promoted, least = np.full(n, NO_RULE, np.int16), np.zeros(len(rules), np.int64)
        proposed = []
        for number, each in enumerate(marks):
            means = _padded(each.means, n) & recommendable
            if each.rule.kind == "boost" and each.rule.add:
                boost[means] += np.float32(each.rule.add)
                by = means & (abs(each.rule.add) > most)
                boosted_by[by], most[by] = number, abs(each.rule.add)
            elif each.rule.kind == "promote":
                promoted[means & (promoted == NO_RULE)], least[number] = number, each.rule.least or 0
            if each.rule.kind in ("boost", "promote") and (each.rule.add or 1.0) > 0.0:
                proposed.append(_most_popular(np.flatnonzero(means), popularity, self._proposed_each))
        boost[boosted_by == NO_RULE] = 0.0
        pins = _pins(marks, catalog.index, recommendable)
        groups, cap, capped_by = _caps(marks, n)
        placing = Placing(boost, boosted_by, groups, cap, capped_by, promoted, least, *pins)
        also = np.unique(np.concatenate([*proposed, pins[1][pins[1] >= 0], np.zeros(0, np.int32)]))
        return Scope(rules, allowed, placing, relaxed, also.astype(np.int32))

    def _allowed(
        self, marks: Sequence[RuleMarks], catalog: Catalog
    ) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
        """What no rule forbids. Where filters together leave less than a list, the last ones, by id, are left out; a deny never
        is."""
        n = len(catalog.recommendable)
        denied = [each for each in marks if each.rule.kind == "deny"]
        filters = [each for each in marks if each.rule.kind == "filter"]
        if not denied and not filters:
            return None, ()
        allowed = np.ones(n, np.bool_)
        for each in denied:
            allowed &= ~_padded(each.means, n) & _padded(each.known, n)
        relaxed: list[str] = []
        for at, each in enumerate(filters):
            left = allowed & _padded(each.means, n)
            if int((left & catalog.recommendable).sum()) < self._slots:
                relaxed = [f"rule:{later.rule_id}" for later in filters[at:]]
                break
            allowed = left
        return allowed, tuple(relaxed)


SCOPES_MAX: Final = 64
"""Kept at once."""


def is_in_share(key: bytes, rule_id: str, share: float) -> bool:
    """Whether a person is among this share of all: always the same ones for a rule."""
    return share >= 1.0 or crc32(rule_id.encode() + b"\x00" + key) < share * 2**32


def _padded(values: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """(n,): what was not looked at is False."""
    found = np.zeros(n, np.bool_)
    found[: min(n, len(values))] = values[:n]
    return found


def _most_popular(rows: I8, popularity: NDArray[np.float64], most: int) -> NDArray[np.int32]:
    if len(rows) > most:
        counts = np.zeros(len(rows))
        counted = rows < len(popularity)
        counts[counted] = popularity[rows[counted]]
        rows = rows[np.argsort(-counts, kind="stable")[:most]]
    return rows.astype(np.int32)


def _pins(
    marks: Sequence[RuleMarks], index: ItemIndex, recommendable: NDArray[np.bool_]
) -> tuple[I8, NDArray[np.int32], I8]:
    """Place, item and rule of each pin; of two for one place the first by id counts."""
    pins: dict[int, tuple[int, int]] = {}
    taken: set[int] = set()
    for number, each in enumerate(marks):
        if each.rule.kind != "pin" or each.rule.place is None or each.rule.place - 1 in pins:
            continue
        row = int(index.lookup(np.array([item_hash(each.rule.items[0])], np.uint64))[0])
        may = 0 <= row < len(recommendable) and recommendable[row] and row not in taken
        taken.add(row)
        pins[each.rule.place - 1] = (row if may else NO_INDEX, number)
    places = sorted(pins)
    return (
        np.array(places, np.int64),
        np.array([pins[place][0] for place in places], np.int32),
        np.array([pins[place][1] for place in places], np.int64),
    )


def _caps(marks: Sequence[RuleMarks], n: int) -> tuple[NDArray[np.int32], I8, NDArray[np.int16]]:
    """Groups of items and their caps, of all caps together; of an item the first `GROUPS` groups count."""
    caps = [(number, each) for number, each in enumerate(marks) if each.rule.kind == "cap"]
    groups = np.full((n, GROUPS), -1, np.int32)
    if not caps:
        return groups[:0], np.zeros(0, np.int64), np.zeros(0, np.int16)
    used = np.zeros(n, np.int64)
    cap, capped_by, base = [], [], 0
    for number, each in caps:
        own = np.full((n, GROUPS), -1, np.int32)
        known = min(n, len(each.groups))
        own[:known] = each.groups[:known]
        for column in range(GROUPS):
            rows = np.flatnonzero((own[:, column] >= 0) & (used < GROUPS))
            groups[rows, used[rows]] = own[rows, column] + base
            used[rows] += 1
        cap += [each.rule.most or 0] * len(each.codes)
        capped_by += [number] * len(each.codes)
        base += len(each.codes)
    return groups, np.array(cap, np.int64), np.array(capped_by, np.int16)
