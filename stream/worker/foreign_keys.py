"""Events in another partition than their key's: some producer has another partitioner, and one person would have two states.

They are treated like events without a key: produced again under their user's key. Who has a state here already stays, so that
nobody is parted from a state that an earlier release made, or that was made before the setting `partitioner` was mended.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from stream.kafka.partitioner import key_partition
from stream.metrics import Metrics
from stream.params import decode_limits
from stream.partitions.users import UserPartition
from stream.settings import Settings
from stream.state.record import NEVER
from stream.worker.intake import Intake

logger = logging.getLogger(__name__)

REKEYED_HEADER: Final = "penchant-rekeyed"
"""Of an event that was produced again under its user's key: from which partition and offset. Never is it a third time."""


class ForeignKeys:
    """Looks at the keys of users who have no state yet: once a user, that costs little beside making the state."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._limits, self._foreign = settings, decode_limits(settings), metrics.input.foreign
        self._has_told = False

    def moved(self, users: UserPartition, intake: Intake, records: Sequence[Any], now_ms: int) -> Intake:
        """The chunk `records` as it was read, with what is foreign to the partition among what goes elsewhere."""
        if users.log is None or not intake.keys:
            return intake
        new = np.flatnonzero(users.overlay.states.columns.fence[intake.columns.row] == NEVER).tolist()
        partitions, partitioner = users.log.partitions, self._settings.partitioner
        foreign = np.zeros(len(intake.keys), bool)
        for i in new:
            foreign[i] = key_partition(intake.keys[i], partitions, partitioner) != users.partition
        if foreign.any():
            again = [r.offset for r in records if any(name == REKEYED_HEADER for name, _ in r.headers or ())]
            foreign &= ~np.isin(intake.columns.offset, again)
        if not foreign.any():
            return intake
        self._foreign.inc(int(foreign.sum()))
        self._tell(users.partition, intake.keys[int(np.flatnonzero(foreign)[0])], partitions)
        return intake.moving(foreign, records, self._limits.at(now_ms))

    def _tell(self, partition: int, user: bytes, partitions: int) -> None:
        if self._has_told:
            return
        self._has_told = True
        settings = self._settings
        logger.warning(
            "%s partition %d has events of user %r, whose partition is %d by %s: they are produced again, and so are those of "
            "others (told once). Fix: give all producers that partitioner, or name theirs in the setting partitioner",
            *(settings.topic_events, partition, user.decode()),
            key_partition(user, partitions, settings.partitioner),
            settings.partitioner,
        )
