"""What one reader that takes an event at a time makes of an events topic: what workers are compared with.

It can be fed further, be set back, and told what time it is, as workers are by administrators and clocks. It knows no published
lists; what it credits is compared with that in mind, see `outcome_checks`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from outcome_reference import Outcome, Reference, Told

from models.hashing import NO_ITEM
from models.items.co_occurrence import pair_increments
from models.items.names import ItemNames
from models.vocabulary import ACTIONS
from stream.kafka.partitioner import key_partition
from stream.outcomes.publish import outcome_id
from stream.params import decode_limits, update_params
from stream.settings import Settings
from stream.state.record import NEVER, States
from stream.state.update import Changes, apply_events
from stream.storage.overlay import Overlay
from stream.wire.decode import TIME_MAX_MS
from stream.worker.foreign_keys import REKEYED_HEADER
from stream.worker.intake import Intake, read_chunk

HOUR_MS = 3_600_000

Items = dict[str, tuple[int, int, int, dict[str, float]]]
"""`(first engagements, exposures, clicks, neighbours)` by item."""


class Expected(NamedTuple):
    """An outcome as the sequential reader has it."""

    user_id: str
    item_id: str
    action: str
    outcome: Outcome
    named: int | None
    """128 bits of the recommendation id in the event."""
    n_touches: int
    """Of the user, at that time."""


class SequentialReader:
    """Everything that it was fed so far."""

    def __init__(self, settings: Settings, partitions: int | None = None) -> None:
        """`partitions`: of the events topic; None: whose key belongs to another partition is read all the same."""
        self.settings, self._partitions = settings, partitions
        self._limits, self._params = decode_limits(settings), update_params(settings)
        self._names, self._changes = ItemNames(), list[Changes]()
        self._overlays: dict[int, Overlay[States]] = {}
        self._outcomes: dict[int, Reference] = {}
        self._packed: dict[bytes, bytes] = {}
        self.outcomes: dict[str, Expected] = {}
        self.newcomers: Counter[int] = Counter()
        """By partition: people of whom nothing was known when they engaged with something."""
        self.partition_of: dict[bytes, int] = {}

    def feed(self, messages: Iterable[Any], now_ms: int = TIME_MAX_MS) -> None:
        """The next records of some partitions, in offset order each, read when the clock says `now_ms`."""
        limits = self._limits.at(now_ms)
        for message in messages:
            intake = read_chunk([Record(message)], limits, self._names)
            if intake.keys:
                self._apply(message, intake)

    def states(self) -> dict[bytes, bytes]:
        """Packed state by user."""
        for overlay in self._overlays.values():
            self._packed |= dict(zip(*overlay.snapshot(), strict=True))
        return self._packed

    @property
    def exposures(self) -> int:
        """To lists that Penchant did not make."""
        return sum(len(reference.exposures) for reference in self._outcomes.values())

    def items(self) -> Items:
        """Statistics by item."""
        changes = self._changes
        if not changes:
            return {}
        first, exposed, clicked = (
            Counter(np.concatenate([getattr(c, name) for c in changes]).tolist())
            for name in ("first_item", "exposed_item", "clicked_item")
        )
        neighbours: dict[int, dict[str, float]] = {}
        history = np.concatenate([c.first_history for c in changes])
        firsts = np.concatenate([c.first_item for c in changes])
        pairs = pair_increments(firsts, history, self.settings.pair_decay, self.settings.forward_decay)
        for source, destination, weight, _ in zip(*(column.tolist() for column in pairs), strict=True):
            neighbours.setdefault(source, {})[str(self._names.id_of(destination))] = round(weight, 9)
        return {
            str(self._names.id_of(h)): (first[h], exposed[h], clicked[h], neighbours.get(h, {}))
            for h in {*first, *exposed, *clicked} - {NO_ITEM}
        }

    def _apply(self, message: Any, intake: Intake) -> None:
        partition = message.partition()
        overlay = self._overlays.setdefault(partition, Overlay(_EmptyStore(), States))  # type: ignore[arg-type]
        rows = overlay.rows(intake.keys)
        if self._is_foreign(message, overlay.states.columns.fence[rows[0]] == NEVER, intake.keys[0]):
            return
        changes = apply_events(overlay.states, intake.columns._replace(row=rows), self._params)
        overlay.mark_dirty(rows)
        self.newcomers[partition] += int(changes.first_is_entry.sum())
        self._changes.append(changes)
        self.partition_of[intake.keys[0]] = partition
        if changes.applied[0]:
            self._credit(message, intake, int(rows[0]))

    def _is_foreign(self, message: Any, is_new: bool, key: bytes) -> bool:
        """It is produced again, and read there."""
        if self._partitions is None or not is_new:
            return False
        if any(name == REKEYED_HEADER for name, _ in message.headers() or ()):
            return False
        return key_partition(key, self._partitions, self.settings.partitioner) != message.partition()

    def _credit(self, message: Any, intake: Intake, user: int) -> None:
        settings, partition = self.settings, message.partition()
        reference = self._outcomes.get(partition)
        if reference is None:
            windows_ms = {
                "click": round(settings.outcome_window_click_h * HOUR_MS),
                "cart": round(settings.outcome_window_cart_h * HOUR_MS),
                "purchase": round(settings.outcome_window_purchase_h * HOUR_MS),
            }
            reference = Reference(settings.outcome_rule, windows_ms, settings.outcome_half_life_h * HOUR_MS)
            self._outcomes[partition] = reference
        told, before = _told(intake, user), len(reference.outcomes)
        reference.apply(told)
        for outcome in reference.outcomes[before:]:
            item_id = self._names.id_of(int(intake.columns.item[0]))
            n_touches = len(reference.users[user].touches)
            self.outcomes[outcome_id(settings.topic_events, partition, message.offset())] = Expected(
                intake.keys[0].decode(), str(item_id), told.action, outcome, told.list_id or None, n_touches
            )


class Record:
    """A message as a worker's chunk has it."""

    def __init__(self, message: Any) -> None:
        self.topic, self.partition, self.offset = message.topic(), message.partition(), message.offset()
        self.key, self.value, self.timestamp = message.key(), message.value(), message.timestamp()[1]
        self.headers = message.headers()


class _EmptyStore:
    def get_many(self, keys: list[bytes]) -> list[None]:
        return [None] * len(keys)


def _told(intake: Intake, user: int) -> Told:
    columns, referrals = intake.columns, intake.referrals
    high, low = referrals.list_id[0].tolist()
    value = float(referrals.value[0])
    return Told(
        int(columns.offset[0]), user, int(columns.time_ms[0]), int(columns.item[0] >> np.uint64(32)),
        ACTIONS[columns.action[0]], high << 64 | low, int(columns.slot[0]), int(columns.context[0]),
        None if np.isnan(value) else value, int(columns.event_id[0]),
    )  # fmt: skip
