"""Who of a partition's people asked for what: whose events are left out from here on, and whose old ones when they are
read again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import I8
from stream.errors import CorruptStateError
from stream.state.standing import (
    ERASED_PREFIX,
    SALT_BYTES,
    SALT_KEY,
    STANDING_PREFIX,
    Standing,
    StandingKind,
    erased_key,
    pack_standing,
    read_standing,
)
from stream.storage.rocks import PartitionStore

logger = logging.getLogger(__name__)

NOBODY: Final = -1


def _read(store: PartitionStore, value: bytes) -> Standing:
    try:
        return read_standing(value)
    except CorruptStateError as error:
        logger.error(
            "%s: %s; the person's events are not used. Fix: ask for what they asked for again", *(store.path, error)
        )
        return Standing("restricted", NOBODY, 0)


class PartitionStanding:
    """Of one partition. All calls from one thread."""

    def __init__(self, store: PartitionStore, new_salt: Callable[[], bytes] = lambda: os.urandom(SALT_BYTES)) -> None:
        """Reads the marks of the partition. Of one that cannot be read, the person counts as restricted: what must not
        be used is not."""
        self._new_salt = new_salt
        found = store.items_with_prefix(STANDING_PREFIX)
        self._standing = {key.removeprefix(STANDING_PREFIX): _read(store, value) for key, value in found}
        marks = dict(store.items_with_prefix(ERASED_PREFIX))
        self._salt = marks.pop(SALT_KEY, None)
        self._erased = {key: _read(store, value) for key, value in marks.items()}
        self._newest = max((each.offset for each in self._erased.values()), default=NOBODY)
        self._changed: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        """People who are restricted or object."""
        return len(self._standing)

    @property
    def n_erased(self) -> int:
        """People of whom it is remembered that they were erased."""
        return len(self._erased)

    def of(self, user: bytes) -> Standing | None:
        """What the person asked for that holds; None: nothing."""
        return self._standing.get(user)

    def set(self, user: bytes, standing: Standing) -> None:
        """Holds from here on."""
        self._standing[user] = standing
        self._changed[STANDING_PREFIX + user] = pack_standing(standing)

    def release(self, user: bytes) -> Standing | None:
        """It holds no more; what it was."""
        was = self._standing.pop(user, None)
        if was is not None:
            self._changed[STANDING_PREFIX + user] = None
        return was

    def erased(self, user: bytes, standing: Standing) -> None:
        """The person was erased by a request there."""
        if self._salt is None:
            self._salt = self._new_salt()
            self._changed[SALT_KEY] = self._salt
        key = erased_key(user, self._salt)
        self._erased[key] = standing
        self._changed[key] = pack_standing(standing)
        self._newest = max(self._newest, standing.offset)

    def is_done(self, user: bytes, offset: int) -> bool:
        """Whether a request of theirs at this offset, or a later one, has erased them: it is read again."""
        if offset > self._newest or self._salt is None:
            return False
        mark = self._erased.get(erased_key(user, self._salt))
        return mark is not None and mark.offset >= offset

    def forget_before(self, offset: int) -> int:
        """Nothing before this offset can be read again: who was erased there need not be remembered. How many are forgotten."""
        gone = [key for key, mark in self._erased.items() if mark.offset < offset]
        for key in gone:
            del self._erased[key]
            self._changed[key] = None
        return len(gone)

    def withheld(self, keys: Sequence[bytes], offsets: I8) -> dict[StandingKind, NDArray[np.bool_]]:
        """Which of these events (n,), in offset order, must not be used, by why; nothing where all may be."""
        found: dict[StandingKind, NDArray[np.bool_]] = {}
        if self._standing:
            kinds = [standing and standing.kind for standing in map(self._standing.get, keys)]
            for kind in {kind for kind in kinds if kind}:
                found[kind] = np.fromiter((each == kind for each in kinds), np.bool_, len(keys))
        if len(offsets) and int(offsets[0]) < self._newest and self._salt is not None:
            until = {key: self._erased_until(key) for key in set(keys)}
            mask = np.fromiter((until[key] for key in keys), np.int64, len(keys)) > offsets
            if mask.any():
                found["erased"] = mask
        return found

    def _erased_until(self, user: bytes) -> int:
        assert self._salt is not None, "somebody was erased"
        mark = self._erased.get(erased_key(user, self._salt))
        return NOBODY if mark is None else mark.offset

    def take_marks(self) -> list[tuple[bytes, bytes | None]]:
        """What the next commit writes."""
        changed, self._changed = self._changed, {}
        return list(changed.items())
