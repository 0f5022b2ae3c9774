"""What each strategy earned, per slot and context: totals over the users of one partition, exactly right after any crash.

Additions go into memory; a commit takes the cells that changed and writes them into the partition's changelog, in the same
transaction as the users whose events they count, so an event counts once. The same totals go out as records.
"""

from __future__ import annotations

import logging
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.vocabulary import CART, PURCHASE, REFUND, STRATEGIES
from stream.outcomes.crediting import Credited
from stream.outcomes.strategies import with_estimates
from stream.state.contributions import EARNED
from stream.state.update import EventColumns
from stream.storage.rocks import PartitionStore
from stream.wire.decode import TIME_MAX_MS
from stream.wire.records import StrategyStats

logger = logging.getLogger(__name__)

TOTAL_MAX: Final = 1e18
"""Totals stop here, either way."""

TOTALS_PREFIX = b"\xfe"
"""Before a cell's name in its key in the changelog: no user id begins like that."""

NOTHING: Final = 1e-9
"""Of a total from which something was taken out: less is nothing but rounding."""

SLOTS = 21
"""Slots are 1 to 20, 0 where the place is not known, and `SLOTS` beyond 20."""

NUMBERS = (
    "exposures",
    "clicks",
    "carts",
    "purchases",
    "value",
    "inverse_propensity",
    "inverse_propensity_squared",
    "clicks_inverse_propensity",
    "clicks_inverse_propensity_squared",
)
"""Columns of a cell's totals; see `stream.wire.records.StrategyStats`."""

PROPENSITY_MIN = 1e-3
"""Smaller propensities count as this: one exposure shall not outweigh thousands (weight clipping, Ionides 2008)."""


class Cell(NamedTuple):
    """Of what the totals are."""

    strategy: int
    slot: int
    context: int


class StrategyTotals:
    """Totals of one partition, read from its store."""

    def __init__(self, store: PartitionStore) -> None:
        self._cells: dict[Cell, NDArray[np.float64]] = {}
        self._newest_ms: dict[Cell, int] = {}
        self._changed: set[Cell] = set()
        for key, value in store.items_with_prefix(TOTALS_PREFIX):
            try:
                cell, numbers = _unpacked(key, value)
            except (ValueError, msgspec.DecodeError) as error:  # a report's matter, and no reason to stop anybody
                logger.error(
                    "%s: totals of a strategy that cannot be read begin anew: %s. Nothing to do", store.path, error
                )
                continue
            # Of a release that added up what has no bounds.
            totals = np.nan_to_num(np.array(numbers[:-1]), posinf=TOTAL_MAX, neginf=-TOTAL_MAX)
            self._cells[cell] = np.clip(totals, -TOTAL_MAX, TOTAL_MAX)
            self._newest_ms[cell] = int(min(max(np.nan_to_num(numbers[-1]), 0.0), float(TIME_MAX_MS)))

    def add(self, credited: Credited, events: EventColumns) -> Earned:
        """Count what a chunk's events say; `events` are those it was made of. Returns who added what."""
        return Earned.of(
            [
                *self._add_seen(credited.exposures, events, 0),
                *self._add_seen(credited.clicks, events, 1),
                *self._add_outcomes(credited, events),
            ]
        )

    def withdraw(self, earned: NDArray[Any]) -> None:
        """Take out what a person has added, (n,) of `contributions.EARNED`; a cell that nobody else has added to begins
        anew."""
        for row in earned:
            cell = Cell(int(row["strategy"]), int(row["slot"]), int(row["context"]))
            left = self.of(cell) - _numbers_of(row)
            left[np.abs(left) < NOTHING] = 0.0
            self._cells[cell] = left
            if not left.any():
                self._newest_ms[cell] = 0
            self._changed.add(cell)

    def of(self, cell: Cell) -> NDArray[np.float64]:
        """`(len(NUMBERS),)` float64 totals."""
        return self._cells.get(cell, np.zeros(len(NUMBERS)))

    def cells(self) -> list[Cell]:
        """All there are."""
        return list(self._cells)

    def take_changed(self, partition: int) -> tuple[list[tuple[bytes, bytes]], list[StrategyStats]]:
        """What changed since the last call: keys and values for the changelog, and the records."""
        changed, self._changed = self._changed, set()
        if not changed:
            return [], []
        stored = [
            (_key(cell), msgspec.msgpack.encode([*self._cells[cell].tolist(), float(self._newest_ms[cell])]))
            for cell in sorted(changed)
        ]
        slots = {cell.slot for cell in changed}  # estimates are made from the cells of their slot, and no others
        cells = sorted(cell for cell in self._cells if cell.slot in slots)
        records = [record_of(cell, partition, self._cells[cell], self._newest_ms[cell]) for cell in cells]
        return stored, with_estimates(records, {at for at, cell in enumerate(cells) if cell in changed})

    def _add_seen(
        self, seen: NDArray[Any], events: EventColumns, clicked: int
    ) -> list[tuple[NDArray[np.int64], NDArray[Any]]]:
        if not len(seen):
            return []
        weight = 1.0 / np.maximum(seen["propensity"].astype(np.float64), PROPENSITY_MIN)
        numbers = np.zeros((len(weight), len(NUMBERS)))
        numbers[:, clicked] = 1.0
        numbers[:, 5 + 2 * clicked], numbers[:, 6 + 2 * clicked] = weight, weight**2
        self._add(seen, numbers, events.time_ms[seen["event"]])
        return [(seen["event"], _earned(seen, clicked, weight))]

    def _add_outcomes(self, credited: Credited, events: EventColumns) -> list[tuple[NDArray[np.int64], NDArray[Any]]]:
        outcomes, credits_ = credited.outcomes, credited.credits
        outcome, touch = np.nonzero(credits_["share"])
        if not len(outcome):
            return []
        event, earned = outcomes["event"][outcome], credits_[outcome, touch]
        action, share = events.action[event], earned["share"]
        bought = (action == PURCHASE) | (action == REFUND)
        numbers = np.zeros((len(outcome), len(NUMBERS)))
        numbers[:, 2] = np.where(action == CART, share, 0.0)
        numbers[:, 3] = np.where(bought, share, 0.0)
        # A refund's share is negative, and so is its value: what it takes away is its size.
        numbers[:, 4] = np.where(bought, share * np.abs(np.nan_to_num(outcomes["value"][outcome])), 0.0)
        counted = numbers.any(axis=1)
        self._add(earned[counted], numbers[counted], events.time_ms[event[counted]])
        return [
            (event[told], _earned(earned[told], number, numbers[told, number]))
            for number in (2, 3, 4)
            if (told := numbers[:, number] != 0.0).any()
        ]

    def _add(self, of_cell: NDArray[Any], numbers: NDArray[np.float64], time_ms: NDArray[np.int64]) -> None:
        slot = np.minimum(of_cell["rank"], SLOTS)
        codes = np.stack([of_cell["strategy"], slot, of_cell["context"]], axis=1)
        if not len(codes):
            return
        cells, of = np.unique(codes, axis=0, return_inverse=True)
        of = of.reshape(-1)
        sums = np.zeros((len(cells), len(NUMBERS)))
        np.add.at(sums, of, numbers)
        newest = np.zeros(len(cells), np.int64)
        np.maximum.at(newest, of, time_ms)
        for cell, total, at_ms in zip(map(Cell, *cells.T.tolist()), sums, newest.tolist(), strict=True):
            self._cells[cell] = np.clip(self.of(cell) + total, -TOTAL_MAX, TOTAL_MAX)
            self._newest_ms[cell] = max(at_ms, self._newest_ms.get(cell, 0))
            self._changed.add(cell)


class Earned(NamedTuple):
    """What single events have added to totals; (n,) each."""

    event: NDArray[np.int64]
    """Position among the given events."""
    rows: NDArray[Any]
    """Of `contributions.EARNED`; `amount` of an exposure or click is the inverse of its propensity."""

    @classmethod
    def of(cls, parts: list[tuple[NDArray[np.int64], NDArray[Any]]]) -> Earned:
        """All of these, one behind another."""
        if not parts:
            return cls(np.zeros(0, np.int64), np.zeros(0, EARNED))
        event, rows = np.concatenate([event for event, _ in parts]), np.concatenate([rows for _, rows in parts])
        order = np.argsort(event, kind="stable")  # however the topic is cut into chunks
        return cls(event[order], rows[order])


def _earned(of_cell: NDArray[Any], number: int, amount: NDArray[np.float64]) -> NDArray[Any]:
    rows = np.zeros(len(of_cell), EARNED)
    rows["strategy"], rows["context"] = of_cell["strategy"], of_cell["context"]
    rows["slot"], rows["number"], rows["amount"] = np.minimum(of_cell["rank"], SLOTS), number, amount
    return rows


def _numbers_of(row: Any) -> NDArray[np.float64]:
    """(len(NUMBERS),) what one row of `contributions.EARNED` stands for."""
    number, amount = int(row["number"]), float(row["amount"])
    numbers = np.zeros(len(NUMBERS))
    if number < 2:
        numbers[number], numbers[5 + 2 * number], numbers[6 + 2 * number] = 1.0, amount, amount**2
    else:
        numbers[number] = amount
    return numbers


def record_of(cell: Cell, partition: int, numbers: NDArray[np.float64], newest_ms: int) -> StrategyStats:
    """The record of one cell."""
    named = dict(zip(NUMBERS, numbers.tolist(), strict=True))
    exposures, clicks = round(named.pop("exposures")), round(named.pop("clicks"))
    return StrategyStats(
        strategy=STRATEGIES[cell.strategy],
        slot=cell.slot,
        context=cell.context,
        partition=partition,
        exposures=exposures,
        clicks=clicks,
        updated_at=newest_ms,
        **named,
    )


def record_key(record: StrategyStats) -> bytes:
    """Key on `interest.strategy-stats`."""
    return f"{record.strategy}/{record.slot}/{record.context}/{record.partition}".encode()


def _key(cell: Cell) -> bytes:
    return TOTALS_PREFIX + "/".join(map(str, cell)).encode()


def _unpacked(key: bytes, value: bytes) -> tuple[Cell, list[float]]:
    numbers = msgspec.msgpack.decode(value, type=list[float])
    if len(numbers) != len(NUMBERS) + 1:
        raise ValueError(f"{len(numbers)} numbers instead of {len(NUMBERS) + 1}")
    return Cell(*map(int, key.removeprefix(TOTALS_PREFIX).split(b"/"))), numbers
