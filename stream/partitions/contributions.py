"""What the people of one partition have added to what is known of everybody, see `stream.state.contributions`: collected
while events are applied, written with the commit that makes them count, and read when somebody is to be erased."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import U64
from stream.errors import CorruptStateError
from stream.state import contributions as state
from stream.state.contributions import OPEN_PREFIX, Contributions, Earned, Engaged, closed_key
from stream.state.record import FIRST_BIT, States
from stream.state.update import Changes
from stream.storage.rocks import PartitionStore

logger = logging.getLogger(__name__)

_PENDING_BYTES: Final = 200
"""Of memory, about, for an entry that waits for the next commit."""


class _Pending:
    """Of one person, since the last commit."""

    __slots__ = ("earned", "engaged", "instead", "seen")

    def __init__(self) -> None:
        self.instead: Contributions | None = None
        """Of what was written before."""
        self.engaged: list[Engaged] = []
        self.seen: list[tuple[int, bool]] = []
        self.earned: list[Earned] = []


class PartitionContributions:
    """Of one partition. All calls from one thread."""

    def __init__(self, store: PartitionStore, decays: tuple[float, float], *, keeps: bool = True) -> None:
        """`decays`: of pairs and of forward pairs, as they are now. `keeps`: False writes down nothing more; what was
        written before is erased with its person, and says that it is not all."""
        self._store, self._decays, self._keeps = store, decays, keeps
        self._missed: set[bytes] = set()
        """Who has added something since the last commit that is not written down."""
        self._pending: dict[bytes, _Pending] = {}
        self._entries = 0
        self._taken: dict[bytes, bytes | None] = {}
        """What the last commit took, which the store may not have yet."""
        self._erased: dict[bytes, int] = {}
        """People whose records the next commit deletes, and how many closed ones they have."""

    @property
    def nbytes(self) -> int:
        """Memory of what waits for the next commit."""
        return _PENDING_BYTES * self._entries

    # --- collecting ---

    def engaged(self, keys: Sequence[bytes], changes: Changes, counted: NDArray[np.bool_]) -> None:
        """First engagements of a chunk; `keys` are those of its events, `counted` (m,) says which count for items."""
        if not self._keeps:
            self._missed.update(keys[event] for event in changes.first_event.tolist())
            return
        lengths = np.count_nonzero(changes.first_history, axis=1).tolist()
        histories = [row[:n].tolist() for row, n in zip(changes.first_history, lengths, strict=True)]
        entries = zip(
            changes.first_item.tolist(),
            changes.first_time_ms.tolist(),
            changes.first_context.tolist(),
            changes.first_is_entry.tolist(),
            counted.tolist(),
            histories,
            strict=True,
        )
        for event, entry in zip(changes.first_event.tolist(), map(Engaged._make, entries), strict=True):
            self._of(keys[event]).engaged.append(entry)
        self._entries += len(changes.first_event)

    def seen(self, keys: Sequence[bytes], items: U64, clicked: NDArray[np.bool_]) -> None:
        """Items (n,) that were shown to people, or clicked by them."""
        if not self._keeps:
            self._missed.update(keys)
            return
        for key, item, is_click in zip(keys, items.tolist(), clicked.tolist(), strict=True):
            self._of(key).seen.append((item, is_click))
        self._entries += len(keys)

    def earned(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        """Numbers that people's events added to totals of strategies: (n,) of `EARNED`."""
        if not self._keeps:
            self._missed.update(keys)
            return
        for key, row in zip(keys, rows.tolist(), strict=True):
            self._of(key).earned.append(row)
        self._entries += len(keys)

    def _of(self, key: bytes) -> _Pending:
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = _Pending()
        return pending

    # --- the commit ---

    def take(self) -> list[tuple[bytes, bytes | None]]:
        """What a commit writes; None deletes."""
        pending, self._pending, self._entries = self._pending, {}, 0
        erased, self._erased = self._erased, {}
        before = self._before([user for user in pending if user not in erased])
        found: list[tuple[bytes, bytes | None]] = []
        for user, n_closed in erased.items():
            found += [(closed_key(user, number), None) for number in range(n_closed)]
            if user not in pending:
                found.append((OPEN_PREFIX + user, None))
        taken: dict[bytes, bytes | None] = dict(found)
        for user, more in pending.items():
            known = before.get(user)
            if known is None:
                known = state.none(self._decays)
            closed, now = self._now(known, more)
            first = now.closed - len(closed)
            for number, each in enumerate(closed, first):
                taken[closed_key(user, number)] = state.pack(each)
            taken[OPEN_PREFIX + user] = state.pack(now)
        taken |= self._marked([user for user in self._missed if OPEN_PREFIX + user not in taken])
        self._taken = taken
        self._missed = set()
        return list(self._taken.items())

    def _marked(self, users: Sequence[bytes]) -> dict[bytes, bytes]:
        """Open records of these, where they have one that does not say yet that it is not all."""
        keys, marked = [OPEN_PREFIX + user for user in users], {}
        for key, value in zip(keys, self._read(keys), strict=True):
            if value is not None and (changed := state.not_all(value)) is not None:
                marked[key] = changed
        return marked

    def _now(self, before: Contributions, more: _Pending) -> tuple[list[Contributions], Contributions]:
        """Records that are closed, and the open one."""
        if before.decays == self._decays:
            return state.split(_with(before, more), self._decays)
        closed, left = state.split(before, self._decays)
        further, now = state.split(_with(left, more), self._decays)
        return closed + further, now

    def _before(self, users: Sequence[bytes]) -> dict[bytes, Contributions]:
        """Open records as they stand, of those who have one, or a state without one."""
        found, new = {}, []
        for user, value in zip(users, self._read([OPEN_PREFIX + user for user in users]), strict=True):
            if value is None:
                new.append(user)
                continue
            try:
                found[user] = state.unpack(value)
            except CorruptStateError as error:
                logger.error(
                    "%s: %s; what this person added before cannot be taken out any more. Nothing to do",
                    self._store.path,
                    error,
                )
                found[user] = state.none(self._decays, is_incomplete=True)
        states = States(1) if new else None
        for user, value in zip(new, self._store.get_many(new), strict=True):
            if value is not None and states is not None and _has_contributed(states, value):
                found[user] = state.none(self._decays, is_incomplete=True)
        return found

    def _read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Values as the last commit left them."""
        taken = self._taken
        missing = [key for key in keys if key not in taken]
        stored = dict(zip(missing, self._store.get_many(missing), strict=True))
        return [taken[key] if key in taken else stored[key] for key in keys]

    # --- erasing ---

    def of(self, user: bytes) -> list[Contributions]:
        """Everything that a person has added, in order, what waits for the next commit included; where something of it
        cannot be read, it says that it is not all."""
        records: list[Contributions] = []
        if user not in self._erased:
            (value,) = self._read([OPEN_PREFIX + user])
            if value is not None:
                records = self._unpacked(user, value)
            elif OPEN_PREFIX + user not in self._taken:  # else the store has a state yet that goes
                (value,) = self._store.get_many([user])
                if value is not None and _has_contributed(States(1), value):
                    records = [state.none(self._decays, is_incomplete=True)]
        pending = self._pending.get(user)
        if pending is None:
            return records
        before = records.pop() if records else state.none(self._decays)
        closed, now = state.split(before, self._decays)
        return [*records, *closed, _with(now, pending)]

    def _unpacked(self, user: bytes, open_: bytes) -> list[Contributions]:
        try:
            last = state.unpack(open_)
            older = self._read([closed_key(user, number) for number in range(last.closed)])
            records = [*(state.unpack(each) for each in older if each is not None), last]
        except CorruptStateError as error:
            logger.error(
                "%s: %s; what this person added cannot be taken out of the sums. Nothing to do",
                *(self._store.path, error),
            )
            return [state.none(self._decays, is_incomplete=True)]
        if any(each is None for each in older):
            records[-1] = last._replace(is_incomplete=True)
        return records

    def rectify(self, user: bytes, added: Sequence[Contributions], item: int) -> Contributions:
        """In the place of what the person had `added` the same without this item; that."""
        left = state.without(added, item, self._decays)
        left = left._replace(is_incomplete=left.is_incomplete or not self._keeps)
        self.erase(user)
        pending = self._of(user)
        pending.instead = left
        self._entries += left.entries
        return left

    def erase(self, user: bytes) -> None:
        """The next commit deletes what is written of this person; what they add from now on is somebody else's."""
        pending = self._pending.pop(user, None)
        if pending is not None:
            self._entries -= len(pending.engaged) + len(pending.seen) + len(pending.earned)
        if user in self._erased:
            return
        (value,) = self._read([OPEN_PREFIX + user])
        try:
            n_closed = 0 if value is None else state.unpack(value).closed
        except CorruptStateError:  # their keys name the person all the same
            n_closed = len(self._store.items_with_prefix(closed_key(user, 0)[:-4]))
        self._erased[user] = n_closed


def _with(before: Contributions, more: _Pending) -> Contributions:
    before = before if more.instead is None else more.instead
    return state.added(before, more.engaged, more.seen, more.earned)


def _has_contributed(states: States, value: bytes) -> bool:
    """Whether a packed state is of somebody who has added something to what is known of items."""
    row = np.zeros(1, np.int64)
    states.clear(0)
    try:
        states.unpack(row, [value])
    except CorruptStateError:
        return True
    slots, lengths = states.by_arrival(row)
    kinds = states.kind[0, slots[0, : lengths[0]]]
    return bool((kinds & FIRST_BIT).any() or states.n_exposures[0] or states.older_s[0] or states.n_bought[0])
