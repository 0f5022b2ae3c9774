"""What goes into the encoder's next batch. Decisions only: no threads, no clock, no encoder.

A batch is the most urgent text and those of a window behind it that are nearest to it in length. So padding stays small and
nothing starves: whatever else arrives, a text is in a batch by the time those that were more urgent are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Prepared


class Priority(IntEnum):
    """Who goes first. A `PERIODIC` text lets `URGENT` ones pass that come within `ageing_s` after it."""

    URGENT = 0
    """Somebody waits for it: new items, queries."""
    PERIODIC = 1
    """Background work: refreshes, a new model's vectors."""


class BatchLimits(NamedTuple):
    """How large a batch may be, and how far the choice looks."""

    max_tokens: int
    """Longest text times number of texts. A single text may exceed it."""
    max_texts: int
    window_batches: int = 8
    """The window holds about this many batches."""
    overhead_tokens: int = 64
    """What a batch costs beside its tokens, in tokens: why a fuller batch is worth some padding."""


@dataclass(slots=True, eq=False)
class Entry:
    """One distinct text on its way through the encoder."""

    key: bytes
    prepared: Prepared
    priority: Priority
    queued_at: float
    waiters: list[Any] = field(default_factory=list)
    """Who wants the answer; empty = nobody any more, and it is dropped when its turn comes."""
    deaths: int = 0
    """Encoders that died with it in their batch. From the first on it is encoded alone."""
    is_answered: bool = False


class Taken(NamedTuple):
    """The next batch."""

    entries: list[Entry]
    reason: str
    """`full`, `idle` (all there was), `alone` (suspected of killing encoders)."""
    padded_tokens: int


class Backlog:
    """Texts that wait, in order of urgency. Not thread-safe: its owner locks."""

    def __init__(self, ageing_s: float) -> None:
        self._ageing_s = ageing_s
        self._queues: dict[Priority, deque[Entry]] = {priority: deque() for priority in Priority}
        self._suspects: deque[Entry] = deque()
        self._is_suspects_turn = False  # every other batch: alone they are slow, but they must not starve
        self.texts = 0
        self.tokens = 0

    def add(self, entry: Entry) -> None:
        """The last of its priority; a suspect after all others suspected."""
        (self._suspects if entry.deaths else self._queues[entry.priority]).append(entry)
        self.texts += 1
        self.tokens += entry.prepared.tokens

    def put_back(self, entries: Sequence[Entry]) -> None:
        """Entries of a batch that was not run, before all others of their priority."""
        for entry in reversed(entries):
            (self._suspects if entry.deaths else self._queues[entry.priority]).appendleft(entry)
            self.texts += 1
            self.tokens += entry.prepared.tokens

    def promote(self, entry: Entry) -> None:
        """Somebody urgent wants a text that waits as periodic; nothing happens if it does not wait here."""
        with suppress(ValueError):  # it is not there: in a batch already, or under suspicion
            self._queues[Priority.PERIODIC].remove(entry)
            entry.priority = Priority.URGENT
            self._queues[Priority.URGENT].append(entry)

    def oldest_at(self) -> float | None:
        """When the longest-waiting text was queued."""
        heads = [queue[0].queued_at for queue in (*self._queues.values(), self._suspects) if queue]
        return min(heads, default=None)

    def take(self, limits: BatchLimits) -> Taken | None:
        """Remove and return the next batch; None if nobody waits for anything. Entries without waiters are dropped."""
        self._is_suspects_turn = bool(self._suspects) and not self._is_suspects_turn
        if self._is_suspects_turn and (suspect := self._suspect()) is not None:
            return suspect
        window = self._window(limits)
        if not window:
            return self._suspect()
        lengths = np.fromiter((entry.prepared.tokens for entry in window), np.int64, len(window))
        chosen = choose(lengths, limits)
        picked = np.zeros(len(window), np.bool_)
        picked[chosen] = True
        self.put_back([entry for entry, is_picked in zip(window, picked.tolist(), strict=True) if not is_picked])
        padded = int(lengths[chosen].max()) * chosen.size
        everything = not self.texts
        return Taken([window[row] for row in chosen.tolist()], "idle" if everything else "full", padded)

    def drain(self) -> list[Entry]:
        """Remove and return everything."""
        entries = [*self._suspects, *self._queues[Priority.URGENT], *self._queues[Priority.PERIODIC]]
        for queue in (self._suspects, *self._queues.values()):
            queue.clear()
        self.texts = self.tokens = 0
        return entries

    def _window(self, limits: BatchLimits) -> list[Entry]:
        """Pop the most urgent wanted entries, about `window_batches` batches of them."""
        window: list[Entry] = []
        tokens = 0
        for entry in self._by_urgency():
            self.texts -= 1
            self.tokens -= entry.prepared.tokens
            if entry.waiters:
                window.append(entry)
                tokens += entry.prepared.tokens
                full = tokens >= limits.window_batches * limits.max_tokens
                if full or len(window) >= limits.window_batches * limits.max_texts:
                    break
        return window

    def _by_urgency(self) -> Iterator[Entry]:
        urgent, periodic = self._queues[Priority.URGENT], self._queues[Priority.PERIODIC]
        while urgent or periodic:
            if not periodic or (urgent and urgent[0].queued_at <= periodic[0].queued_at + self._ageing_s):
                yield urgent.popleft()
            else:
                yield periodic.popleft()

    def _suspect(self) -> Taken | None:
        while self._suspects:
            entry = self._suspects.popleft()
            self.texts -= 1
            self.tokens -= entry.prepared.tokens
            if entry.waiters:
                return Taken([entry], "alone", entry.prepared.tokens)
        return None


def choose(lengths: NDArray[np.int64], limits: BatchLimits) -> NDArray[np.int64]:
    """Which texts of a window to encode together: rows of `lengths`, ascending in length, row 0 always among them.

    The runs of neighbours in the order of length that hold row 0 are looked at, for each longest member the one that fills
    the limits best. The one with the largest share of useful tokens in its cost, `longest x number + overhead`, is it.

    Args:
        lengths: (w,) int64 > 0, w >= 1, most urgent first.
        limits: row 0 alone is always allowed.
    """
    order = np.argsort(lengths, kind="stable")
    sorted_lengths = lengths[order]
    head = int(np.flatnonzero(order == 0)[0])
    before = np.concatenate([[0], np.cumsum(sorted_lengths)])
    ends = np.arange(head, lengths.size)  # last member of the run
    longest = sorted_lengths[head:]
    most = np.clip(limits.max_tokens // longest, 1, limits.max_texts)
    starts = np.maximum(ends - most + 1, 0)
    # Beyond the head's own place a run must reach back to it, so a start behind the head means that it does not fit.
    fits = starts <= head
    sizes = ends - starts + 1
    useful = before[ends + 1] - before[starts]
    value = np.where(fits, useful / (longest * sizes + limits.overhead_tokens), -1.0)
    # A longer text alone at the end may tie with a shorter run: the first is the one with less padding.
    best = int(np.argmax(value))
    return order[starts[best] : ends[best] + 1]


class TimeFit:
    """seconds = a x tokens + b of the last batches, by least squares with forgetting."""

    def __init__(self, forgetting: float = 0.95) -> None:
        self._forgetting = forgetting
        self._n = self._x = self._y = self._xx = self._xy = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        """One batch's padded tokens and time."""
        keep = self._forgetting
        self._n = keep * self._n + 1
        self._x = keep * self._x + tokens
        self._y = keep * self._y + seconds
        self._xx = keep * self._xx + tokens * tokens
        self._xy = keep * self._xy + tokens * seconds

    def seconds(self, tokens: int, batch_tokens: int) -> float:
        """How long `tokens` will take in batches of `batch_tokens`; 0 before anything was measured."""
        if not self._n:
            return 0.0
        spread = self._n * self._xx - self._x * self._x
        per_token = (self._n * self._xy - self._x * self._y) / spread if spread > 1e-9 * self._xx else -1.0
        base = (self._y - per_token * self._x) / self._n
        if per_token <= 0 or base < 0:  # batches of one size say nothing about the two apart
            per_token, base = self._y / self._x, 0.0
        return per_token * tokens + base * -(-tokens // max(batch_tokens, 1))
