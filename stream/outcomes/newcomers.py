"""What the first choices of newcomers said of the lists that they could have had: per partition, exactly right after any crash.

Kept in the partition's changelog and written in the same transaction as the users whose events they count, so a newcomer counts
once; see `models.ranking.newcomers`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from models.arrays import F8
from models.ranking.evidence import Evidence
from models.ranking.evidence import no_evidence as nothing_of
from models.ranking.few_items import ADDED_NAMES
from models.ranking.newcomers import EvidenceOf, NewcomerEvidence, no_evidence, remember, remember_few
from models.vocabulary import NEWCOMER_CONTEXTS, NEWCOMER_LISTS
from stream.storage.rocks import PartitionStore
from stream.wire.records import ExpertStats, FollowerStats, NewcomerStats

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
                logger.warning(
                    "%s: %s; which lists newcomers take from is learned anew. Nothing to do", store.path, error
                )

    def came(self, gained: F8, name: str, in_context: F8, at_ms: int) -> None:
        """Newcomers chose: what `models.ranking.newcomers.gains` says, and `gains_in_context` of the list of this name; the
        last one at `at_ms`."""
        self.evidence = remember(self.evidence, gained, name, in_context)
        self._newest_ms, self._has_changed = max(self._newest_ms, at_ms), True

    def chose_with_few(self, name: str, better: F8, at_ms: int) -> None:
        """People with few items chose: what `models.ranking.few_items.better_with_added` says of the list of this name; the
        last one at `at_ms`."""
        self.evidence = remember_few(self.evidence, name, better)
        self._newest_ms, self._has_changed = max(self._newest_ms, at_ms), True

    def take_changed(self) -> NewcomerStats | None:
        """What to write if anything changed since the last call."""
        if not self._has_changed:
            return None
        self._has_changed = False
        return stats_of(self._partition, self.evidence, self._newest_ms)


_decoder = msgspec.json.Decoder(NewcomerStats)


def stats_of(partition: int, told: NewcomerEvidence, newest_ms: int) -> NewcomerStats:
    """The record of a partition."""
    return NewcomerStats(
        partition=partition,
        newcomers=told.lists.n,
        newcomers_squared=told.lists.n_squared,
        experts=_by_name(NEWCOMER_LISTS, told.lists),
        updated_at=newest_ms,
        contexts=_follower(NEWCOMER_CONTEXTS, told.contexts),
        few_items=_follower(ADDED_NAMES, told.few),
    )


def _by_name(names: Sequence[str], told: Evidence) -> dict[str, ExpertStats]:
    sums = zip(names, told.better.tolist(), told.better_squared.tolist(), strict=True)
    return {name: ExpertStats(better, squared) for name, better, squared in sums}


def _follower(names: Sequence[str], told: EvidenceOf) -> FollowerStats | UnsetType:
    of, (n, n_squared, *_) = told
    return FollowerStats(of, n, n_squared, _by_name(names, told.evidence)) if n else UNSET


def evidence_of(record: NewcomerStats) -> NewcomerEvidence:
    """What a record says; nothing of lists that it does not name, nor of those that this release does not know."""
    return NewcomerEvidence(
        _evidence(NEWCOMER_LISTS, record.newcomers, record.newcomers_squared, record.experts),
        _of_follower(NEWCOMER_CONTEXTS, record.contexts),
        _of_follower(ADDED_NAMES, record.few_items),
    )


def _evidence(names: Sequence[str], n: float, n_squared: float, ways: dict[str, ExpertStats]) -> Evidence:
    known = [ways.get(name, ExpertStats(0.0, 0.0)) for name in names]
    better, squared = np.array([each.better for each in known]), np.array([each.better_squared for each in known])
    return Evidence(n, n_squared, better, squared)


def _of_follower(names: Sequence[str], told: FollowerStats | UnsetType) -> EvidenceOf:
    if isinstance(told, UnsetType):
        return EvidenceOf("", nothing_of(len(names)))
    return EvidenceOf(told.of, _evidence(names, told.judgements, told.judgements_squared, told.ways))


def record_key(record: NewcomerStats) -> bytes:
    """Key on the strategy-stats topic."""
    return RECORD_PREFIX + str(record.partition).encode()
