"""What the first choices of newcomers said of the lists that they could have had: per partition, exactly right after any crash.

Kept in the partition's changelog and written in the same transaction as the users whose events they count, so a newcomer counts
once; see `models.ranking.newcomers`.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec
import numpy as np

from models.arrays import F8
from models.ranking.newcomers import Evidence, no_evidence, remember
from models.vocabulary import EXPERTS
from stream.storage.rocks import PartitionStore
from stream.wire.records import ExpertStats, NewcomerStats

logger = logging.getLogger(__name__)

NEWCOMERS_KEY: Final = b"\xfdnewcomers"
"""In the changelog; no user id begins like that."""

RECORD_PREFIX: Final = b"newcomers/"
"""Of keys on the strategy-stats topic; the partition follows."""


class PartitionNewcomers:
    """Evidence of one partition."""

    def __init__(self, partition: int, store: PartitionStore) -> None:
        self._partition = partition
        self.evidence, self._newest_ms, self._has_changed = no_evidence(), 0, False
        (stored,) = store.get_many([NEWCOMERS_KEY])
        if stored is not None:
            try:
                record = _decoder.decode(stored)
                self.evidence, self._newest_ms = evidence_of(record), record.updated_at
            except (
                msgspec.DecodeError,
                UnicodeDecodeError,
            ) as error:  # of another release, say: it is soon known again
                logger.warning("%s: %s; which lists newcomers take from is learned anew", store.path, error)

    def came(self, gained: F8, at_ms: int) -> None:
        """Newcomers chose: (m, E) gains as of `models.ranking.newcomers.gains`; the last one at `at_ms`."""
        self.evidence = remember(self.evidence, gained)
        self._newest_ms, self._has_changed = max(self._newest_ms, at_ms), True

    def take_changed(self) -> NewcomerStats | None:
        """What to write if anything changed since the last call."""
        if not self._has_changed:
            return None
        self._has_changed = False
        return stats_of(self._partition, self.evidence, self._newest_ms)


_decoder = msgspec.json.Decoder(NewcomerStats)


def stats_of(partition: int, evidence: Evidence, newest_ms: int) -> NewcomerStats:
    """The record of a partition."""
    of_experts = zip(EXPERTS, evidence.better.tolist(), evidence.better_squared.tolist(), strict=True)
    return NewcomerStats(
        partition=partition,
        newcomers=evidence.n,
        newcomers_squared=evidence.n_squared,
        experts={name: ExpertStats(better, squared) for name, better, squared in of_experts},
        updated_at=newest_ms,
    )


def evidence_of(record: NewcomerStats) -> Evidence:
    """What a record says; nothing of experts that it does not name, nor of those that this release does not know."""
    known = [record.experts.get(name, ExpertStats(0.0, 0.0)) for name in EXPERTS]
    better, squared = np.array([each.better for each in known]), np.array([each.better_squared for each in known])
    return Evidence(record.newcomers, record.newcomers_squared, better, squared)


def record_key(record: NewcomerStats) -> bytes:
    """Key on the strategy-stats topic."""
    return RECORD_PREFIX + str(record.partition).encode()
