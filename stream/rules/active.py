"""The rules that are in force at a moment for some people, as one mask and one `Placing`: made once, used by many lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.arrays import I8
from models.hashing import item_hash
from models.items.catalog import Catalog
from models.items.index import NO_INDEX, ItemIndex
from models.page.placing import GROUPS, NO_RULE, Placing
from stream.rules.book import RuleBook
from stream.rules.marks import ITEMS_AT_ONCE, RuleMarks, Seen
from stream.rules.rule import Rule
from stream.settings.placements import HOME

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

    def __init__(self, book: RuleBook | None = None, proposed_each: int = 100) -> None:
        """`proposed_each`: items of a boost or promotion proposed to everybody."""
        self.book = RuleBook() if book is None else book
        self._proposed_each = proposed_each
        self._marks: dict[str, RuleMarks] = {}
        """That count."""
        self._coming: dict[str, RuleMarks] = {}
        """Whose items are being looked at."""
        self._book_version = -1
        self._scopes: dict[tuple[tuple[str, ...], int, int], Scope] = {}
        self._masks: dict[tuple[tuple[str, ...], int, int], tuple[NDArray[np.bool_] | None, Sequence[str]]] = {}
        self._looked_again_ms = 0
        self._changed: list[I8] = []
        """Items that changed since the last look."""
        self.ids: tuple[str, ...] = ()
        """Of all that count, at other times or for other people too; in order."""
        self._now: list[tuple[str, Rule]] = []
        """Those that count at the time of the last look, in the order of their ids."""
        self.version = 0
        """How often other rules came in force, or mean other items although no item changed."""
        self.errors: dict[str, str] = {}
        """By rule: why it does not count for some item. Whoever tells of it clears it."""

    @property
    def is_empty(self) -> bool:
        """There are no rules."""
        return not self.book.rules and not self._marks

    @property
    def is_ready(self) -> bool:
        """Nothing is waiting to be looked at."""
        return not self._coming and self._book_version == self.book.version

    @property
    def has_boosts(self) -> bool:
        """Whether any rule adds to scores."""
        return any(marks.rule.kind == "boost" for marks in self._marks.values())

    # --- what changes ---

    def items_changed(self, rows: I8) -> None:
        """Of the catalogue: dense indices."""
        for marks in (*self._marks.values(), *self._coming.values()):
            marks.changed(rows)
        if self._marks or self._coming:
            self._changed.append(rows)

    def look(self, seen: Seen, *, whole: bool = False) -> bool:
        """Look at some items more, `whole`: at all that wait. Whether other rules are in force, or mean other items, than
        before; an item that changed is looked at in any case, and is no such news."""
        at_once = seen.size if whole else ITEMS_AT_ONCE
        changed = self._take_up()
        self._catch_up(seen)
        changed |= self._look_again(seen, at_once)
        for rule_id, marks in list(self._coming.items()):
            marks.step(seen, at_once)
            if marks.is_complete(seen):
                self._marks[rule_id] = self._coming.pop(rule_id)
                changed = True
            if not whole:
                break
        changed |= self._has_time_passed(seen.now_ms)
        for rule_id, marks in (self._marks | self._coming).items():
            if marks.error is not None:
                self.errors[rule_id], marks.error = marks.error, None
        if changed:
            self._scopes.clear()
            self._masks.clear()
            self.version += 1
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
                self._coming[rule_id] = RuleMarks(rule, self.book.conditions.get(rule_id))
        return bool(gone)

    def _catch_up(self, seen: Seen) -> None:
        """Items that changed, and of rules that count those that are new."""
        if self._changed:
            rows = np.unique(np.concatenate(self._changed))
            for marks in (*self._marks.values(), *self._coming.values()):
                marks.catch_up(rows, seen)
            self._changed.clear()
            self._scopes.clear()
            self._masks.clear()
        for marks in self._marks.values():
            if not marks.is_complete(seen):
                marks.step(seen, seen.size)

    def _look_again(self, seen: Seen, at_once: int) -> bool:
        """Conditions on what changes by itself; whether one means other items now."""
        moving = [marks for marks in self._marks.values() if marks.condition is not None and marks.condition.moves]
        if seen.now_ms - self._looked_again_ms >= LOOK_AGAIN_MS:
            self._looked_again_ms = seen.now_ms
            for marks in moving:
                marks.begin_again()
        changed = False
        for marks in moving:
            changed |= marks.step_again(seen, at_once)
        return changed

    def _has_time_passed(self, now_ms: int) -> bool:
        """Whether rules count that did not, or the other way round."""
        now = [(i, marks.rule) for i, marks in sorted(self._marks.items()) if marks.rule.is_valid_at(now_ms)]
        changed = [i for i, _ in now] != [i for i, _ in self._now]
        self._now, self.ids = now, tuple(sorted(self._marks))
        return changed

    # --- what is asked ---

    def has_shares(self, placement: str = HOME) -> bool:
        """Whether rules differ from person to person there now."""
        return any(rule.share < 1.0 and rule.placement in (None, placement) for _, rule in self._now)

    def marks_of(self, rule_id: str) -> RuleMarks:
        """Which items a rule means that counts."""
        return self._marks[rule_id]

    def rules_of(self, key: bytes, placement: str = HOME, arm: str | None = None) -> tuple[str, ...]:
        """Ids of the rules that count there at the time of the last look for this person, who is in an experiment's arm
        `EXPERIMENT/ARM`; in order."""
        return tuple(
            rule_id
            for rule_id, rule in self._now
            if rule.placement in (None, placement) and rule.arm in (None, arm) and is_in_share(key, rule_id, rule.share)
        )

    def forbidden(self, rows: I8) -> NDArray[np.bool_]:
        """(m,) which of these items a rule forbids to somebody, or may, now."""
        found = np.zeros(len(rows), np.bool_)
        for rule_id, _ in self._now:
            marks, n = self._marks[rule_id], int(rows.max(initial=-1)) + 1
            if marks.rule.kind in FORBIDDING:
                found |= ~_allowed_by(marks, n)[rows]
        return found

    def scope(self, rules: tuple[str, ...], seen: Seen, slots: int) -> Scope:
        """What these rules, which count, mean together for lists of so many places."""
        found = self._scopes.get((rules, seen.catalog.version, slots))
        if found is None:
            if len(self._scopes) >= SCOPES_MAX:
                self._scopes.clear()
            found = self._scopes[rules, seen.catalog.version, slots] = self._made(rules, seen, slots)
        return found

    def allowed(
        self, rules: tuple[str, ...], catalog: Catalog, slots: int
    ) -> tuple[NDArray[np.bool_] | None, Sequence[str]]:
        """What these rules allow, and which are left out. It does not depend on when it is asked, as what a scope proposes
        does."""
        key = (rules, catalog.version, slots)
        found = self._masks.get(key)
        if found is None:
            if len(self._masks) >= SCOPES_MAX:
                self._masks.clear()
            found = self._masks[key] = self._allowed(rules, catalog, slots)
        return found

    def _made(self, rules: tuple[str, ...], seen: Seen, slots: int) -> Scope:
        catalog, popularity = seen.catalog, seen.popularity
        marks = [self._marks[rule_id] for rule_id in rules]
        allowed, relaxed = self.allowed(rules, catalog, slots)
        recommendable = catalog.recommendable if allowed is None else catalog.recommendable & allowed
        n = len(recommendable)
        boost, boosted_by, most = np.zeros(n, np.float32), np.full(n, NO_RULE, np.int16), np.zeros(n, np.float32)
        promoted, least = np.full(n, NO_RULE, np.int16), np.zeros(len(rules), np.int64)
        proposed = []
        for number, each in enumerate(marks):
            rule = each.rule
            if rule.kind not in ("boost", "promote"):
                continue
            means = _padded(each.means, n) & recommendable
            if rule.kind == "boost" and rule.add:
                boost[means] += np.float32(rule.add)
                by = means & (abs(rule.add) > most)
                boosted_by[by], most[by] = number, abs(rule.add)
            elif rule.kind == "promote":
                promoted[means & (promoted == NO_RULE)], least[number] = number, rule.least or 0
            if (rule.add or 1.0) > 0.0:
                proposed.append(_most_popular(np.flatnonzero(means), popularity, self._proposed_each))
        pins = _pins(marks, catalog.index, recommendable)
        groups, cap, capped_by = _caps(marks, n)
        placing = Placing(boost, boosted_by, groups, cap, capped_by, promoted, least, *pins)
        also = np.unique(np.concatenate([*proposed, pins[1][pins[1] >= 0], np.zeros(0, np.int32)]))
        return Scope(rules, allowed, placing, tuple(f"rule:{rule_id}" for rule_id in relaxed), also.astype(np.int32))

    def _allowed(
        self, rules: Sequence[str], catalog: Catalog, slots: int
    ) -> tuple[NDArray[np.bool_] | None, Sequence[str]]:
        """What none of these rules forbids, and which of them are left out: where filters together leave less than `slots`,
        the last ones by id. A deny never is."""
        n = len(catalog.recommendable)
        denying = [rule_id for rule_id in rules if self._marks[rule_id].rule.kind == "deny"]
        filters = [rule_id for rule_id in rules if self._marks[rule_id].rule.kind == "filter"]
        if not denying and not filters:
            return None, ()
        allowed = np.ones(n, np.bool_)
        for rule_id in denying:
            allowed &= _allowed_by(self._marks[rule_id], n)
        for at, rule_id in enumerate(filters):
            left = allowed & _allowed_by(self._marks[rule_id], n)
            if int((left & catalog.recommendable).sum()) < slots:
                return allowed, filters[at:]
            allowed = left
        return allowed, ()


FORBIDDING: Final = ("filter", "deny")
"""Kinds of rules."""

SCOPES_MAX: Final = 64
"""Kept at once."""


def is_in_share(key: bytes, rule_id: str, share: float) -> bool:
    """Whether a person is among this share of all: always the same ones for a rule."""
    return share >= 1.0 or crc32(rule_id.encode() + b"\x00" + key) < share * 2**32


def _allowed_by(marks: RuleMarks, n: int) -> NDArray[np.bool_]:
    """(n,) what a rule that forbids does not forbid; of what is not known it may."""
    means, known = _padded(marks.means, n), _padded(marks.known, n)
    return known & (means if marks.rule.kind == "filter" else ~means)


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
