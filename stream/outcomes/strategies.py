"""What strategies earned, over all partitions, as every worker knows it from `interest.strategy-stats`; and what ranking makes
of it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.credit.off_policy import CellSums, Estimates, add_up, estimates
from models.credit.strategy_feedback import strategy_feedback
from models.ranking.newcomers import NewcomerEvidence
from models.vocabulary import STRATEGIES
from stream.outcomes.newcomers import RECORD_PREFIX, evidence_of
from stream.wire.records import Estimate, StrategyStats, newcomer_stats_decoder, strategy_stats_decoder

logger = logging.getLogger(__name__)

_CODES = {name: code for code, name in enumerate(STRATEGIES)}


class Strategies:
    """The newest record of every cell of every partition."""

    def __init__(self) -> None:
        self._cells: dict[bytes, StrategyStats] = {}
        self._newcomers: dict[bytes, NewcomerEvidence] = {}

    def replicate(self, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Keys and values of the topic, in its order. Bytes that are no such record are passed over, with a warning: ranking
        goes on without them."""
        for key, value in records:
            if key is None:
                continue
            if value is None:
                self._cells.pop(key, None)
                self._newcomers.pop(key, None)
                continue
            try:
                if key.startswith(RECORD_PREFIX):
                    self._newcomers[key] = evidence_of(newcomer_stats_decoder.decode(value))
                    continue
                self._cells[key] = strategy_stats_decoder.decode(value)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                logger.warning("a record of what strategies earned is passed over: %s. Nothing to do", error)

    @property
    def newcomers(self) -> Collection[NewcomerEvidence]:
        """What newcomers of each partition said."""
        return self._newcomers.values()

    def sums(self) -> CellSums:
        """Of every cell, its partitions added up."""
        return add_up([sums_of_records(list(self._cells.values()))])

    def feedback(self, bound: float) -> NDArray[np.float64]:
        """(strategies,) float64: what to add to the score of an item of each; see `models.credit.strategy_feedback`."""
        return strategy_feedback(self.sums(), len(STRATEGIES), bound)


def sums_of_records(records: list[StrategyStats]) -> CellSums:
    """One row for each record, in their order."""

    def column(name: str) -> NDArray[np.float64]:
        return np.array([getattr(record, name) for record in records], np.float64)

    return CellSums(
        strategy=np.array([_CODES[record.strategy] for record in records], np.int64),
        slot=np.array([record.slot for record in records], np.int64),
        context=np.array([record.context for record in records], np.int64),
        exposures=column("exposures"),
        clicks=column("clicks"),
        inverse_propensity=column("inverse_propensity"),
        inverse_propensity_squared=column("inverse_propensity_squared"),
        clicks_inverse_propensity=column("clicks_inverse_propensity"),
        clicks_inverse_propensity_squared=column("clicks_inverse_propensity_squared"),
    )


def with_estimates(records: list[StrategyStats], changed: set[int]) -> list[StrategyStats]:
    """Those at the positions `changed`, with estimates made from all of `records`, each cell of which is there once.

    Lists of other systems, and places that nobody knows, are not places that a strategy here could have had: they get none.
    Nor does `explore`, whose exposures the others are estimated with: its propensities are those of items, so 1 / p of it adds
    up to the items of a pool and not to 1, and says nothing of a world in which it always fills the slot.
    """
    ours = [at for at, record in enumerate(records) if record.slot > 0 and record.strategy != "unknown"]
    found = estimates(sums_of_records([records[at] for at in ours]))
    place = {at: n for n, at in enumerate(ours)}
    return [
        msgspec.structs.replace(
            records[at],
            ips=_estimate(found, "ips", place[at]),
            snips=_estimate(found, "snips", place[at]),
            doubly_robust=_estimate(found, "doubly_robust", place[at]),
        )
        if at in place and records[at].strategy != "explore"
        else records[at]
        for at in sorted(changed)
    ]


def _estimate(found: Estimates, name: str, at: int) -> Estimate | None:
    bounded = getattr(found, name)
    numbers = [float(column[at]) for column in bounded]
    return Estimate(*numbers) if np.isfinite(numbers).all() else None
