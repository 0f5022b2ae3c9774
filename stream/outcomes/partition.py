"""Outcomes of one partition's users, from their events to records that wait for the commit.

Ledgers, totals and records become durable with the users' states, in one transaction: an outcome that a crash undoes was never
published, and one that was published is never made again, since the fence in its user's state skips its event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.outcomes import newcomers
from stream.outcomes.crediting import CreditParams, Lists, Referrals, concerns_lists, credit, note_lists
from stream.outcomes.newcomers import PartitionNewcomers
from stream.outcomes.publish import outcome_records
from stream.outcomes.strategy_totals import StrategyTotals, record_key
from stream.state.ledger import LEDGER_PREFIX, Ledgers
from stream.state.update import EventColumns
from stream.storage.overlay import Overlay, Snapshot
from stream.storage.rocks import PartitionStore
from stream.wire.records import OutcomeAttribution, encode

Record = tuple[bytes, bytes]


class Durable(NamedTuple):
    """What one commit writes of outcomes."""

    stored: Snapshot
    """For the changelog and the store."""
    attributions: list[Record]
    """`(user_id, record)` for the attributions topic."""
    strategies: list[Record]
    """For the strategy-stats topic."""


class KeepsEarned(Protocol):
    """Whoever writes down what people's events add to totals."""

    def earned(self, keys: Sequence[bytes], rows: NDArray[Any]) -> None:
        """`rows` (n,) of `contributions.EARNED`, each of the person at its place in `keys`."""


class PartitionOutcomes:
    """Ledgers and totals of one partition of the events topic."""

    def __init__(self, partition: int, store: PartitionStore) -> None:
        self.partition = partition
        self.ledgers = Overlay(store, Ledgers, LEDGER_PREFIX)
        self.totals = StrategyTotals(store)
        self.newcomers = PartitionNewcomers(partition, store)
        self._waiting: list[Record] = []
        self._waiting_bytes = 0

    def apply(
        self,
        keys: Sequence[bytes],
        events: EventColumns,
        referrals: Referrals,
        applied: NDArray[np.bool_],
        params: CreditParams,
        topic: str,
        name_of: Callable[[int], str | None],
        contributions: KeepsEarned | None = None,
    ) -> list[OutcomeAttribution]:
        """Credit the events of a chunk that were applied to their users' states, in offset order; `contributions`: who is told
        what each of them adds to the totals."""
        told = np.flatnonzero(applied & concerns_lists(events, params))
        if not len(told):
            return []
        rows = self.ledgers.rows([keys[i] for i in told.tolist()])
        if (rows < 0).any():  # of users whose ledger cannot be read: their outcomes go uncredited, it stays as it is
            told, rows = told[rows >= 0], rows[rows >= 0]
        keys = [keys[i] for i in told.tolist()]
        columns = events.take(told)._replace(row=rows)
        credited = credit(self.ledgers.states.columns, columns, referrals.take(told), params)
        self.ledgers.mark_dirty(credited.rows)
        earned = self.totals.add(credited, columns)
        if contributions is not None and len(earned.event):
            contributions.earned([keys[i] for i in earned.event.tolist()], earned.rows)
        records = outcome_records(credited, keys, columns, name_of, topic, self.partition, params.rule)
        for record in records:
            value = encode(record)
            self._waiting.append((record.user_id.encode(), value))
            self._waiting_bytes += len(value)
        return records

    def note(self, keys: Sequence[bytes], lists: Lists, at_ms: int) -> None:
        """Lists were published, one each for so many users; `lists.row` is not looked at."""
        rows = self.ledgers.rows(keys)
        if (rows < 0).any():
            lists, rows = lists.take(rows >= 0), rows[rows >= 0]
        noted = note_lists(self.ledgers.states.columns, lists._replace(row=rows), at_ms)
        self.ledgers.mark_dirty(rows[noted])

    def erase(self, user: bytes, earned: NDArray[Any]) -> None:
        """Nothing is known of this person any more, and what they `earned` (n,) is taken out of the totals."""
        self.ledgers.clear(user)
        self.totals.withdraw(earned)
        kept = [record for record in self._waiting if record[0] != user]
        self._waiting_bytes -= sum(len(value) for key, value in self._waiting if key == user)
        self._waiting = kept

    @property
    def nbytes(self) -> int:
        """Memory of ledgers, and of records that wait for the next commit, in bytes."""
        return self.ledgers.nbytes + self._waiting_bytes

    def take(self) -> Durable:
        """Everything since the last call."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        keys, values = self.ledgers.snapshot()
        stored, strategies = self.totals.take_changed(self.partition)
        records = [(record_key(each), encode(each)) for each in strategies]
        if (changed := self.newcomers.take_changed()) is not None:
            value = encode(changed)
            stored.append((newcomers.NEWCOMERS_KEY, value))
            records.append((newcomers.record_key(changed), value))
        keys, values = keys + [key for key, _ in stored], values + [value for _, value in stored]
        return Durable(Snapshot(keys, values), waiting, records)
