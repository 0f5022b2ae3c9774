"""A tracker that writes down whatever it is told, and what came of it."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Final, cast
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from models.items.vectors import ItemVectors
from models.ranking.weights import RankingWeights, to_json
from models.sequence.model import SequenceModel
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.partitions.event_times import FOREVER_MS
from stream.partitions.taken import Taken as TakenOfPartition
from stream.partitions.users import TakenOut, UserPartition
from stream.refresh.knowledge import TextSource
from stream.refresh.lists import LastLists, User
from stream.refresh.publish import Published
from stream.refresh.queue import Due
from stream.refresh.versions import RankerModel
from stream.settings import Settings
from stream.state.update import Changes
from stream.storage.rocks import PartitionStore
from stream.texts.queries import Query
from stream.worker.intake import Intake
from stream.worker.journal.entries import (
    Applied,
    ArmRanker,
    Compiled,
    Entry,
    Erased,
    EventRecord,
    Followed,
    Forgotten,
    ListDropped,
    ListRestored,
    LookedAtRules,
    Opened,
    QueryKnown,
    Ranker,
    Read,
    Rectified,
    Refreshed,
    SequenceServes,
    Stored,
    Taken,
    TextsOpened,
    VectorsPut,
    Weighed,
)
from stream.worker.tracker import Tracker

Write = Callable[[Entry], None]

DIGEST_BYTES: Final = 16

QUERIES_REMEMBERED: Final = 100_000
"""Of which it is known that they were written; others are written again."""


def digest_of(made: Published | None) -> bytes | None:
    """Of all bytes that were made for a user: lists and reasons of all placements."""
    if made is None:
        return None
    digest = blake2b(made.list.value, digest_size=DIGEST_BYTES)
    for reasons in (made.reasons, *(each.reasons for each in made.others)):
        digest.update(b"" if reasons is None else reasons.value)
    for each in made.others:
        digest.update(each.list.value)
    return digest.digest()


class RecordedTracker(Tracker):
    """See `Tracker`. What reads the disk is written when it is done, so that what it read stands before it."""

    def __init__(self, settings: Settings, metrics: Metrics, write: Write) -> None:
        self._write = write
        super().__init__(settings, metrics, RecordedLists(write))
        self._accepted, self._withheld, self._noted_ms = 0, 0, 0
        self.wall_ms = lambda: self._noted_ms

    def _now_ms(self) -> int:
        """The wall clock, the same for all that is decided until it is asked again."""
        self._noted_ms = time.time_ns() // 1_000_000
        return self._noted_ms

    # --- events ---

    def read(self, users: UserPartition, records: Sequence[Any], now_ms: int = FOREVER_MS) -> Intake:
        """See `Tracker.read`."""
        told = [
            EventRecord(r.offset, r.key, r.value, r.timestamp, list(r.headers or ()), users.partition) for r in records
        ]
        intake = super().read(users, records, now_ms)
        self._write(Read(users.partition, told, now_ms))
        self._accepted = len(intake.keys) + self._withheld
        self._withheld = 0
        return intake

    def _without_withheld(self, users: UserPartition, intake: Intake) -> Intake:
        kept = super()._without_withheld(users, intake)
        self._withheld = len(intake.keys) - len(kept.keys)
        return kept

    def apply(self, users: UserPartition, intake: Intake, now: float, now_ms: int = FOREVER_MS) -> Changes:
        """See `Tracker.apply`."""
        offsets = None if len(intake.keys) == self._accepted else intake.columns.offset.tolist()
        changes = super().apply(users, intake, now, now_ms)
        self._write(Applied(users.partition, offsets, now, now_ms))
        return changes

    # --- what all workers know ---

    def replicate_items(self, records: Sequence[Replicated], now: float) -> None:
        """See `Tracker.replicate_items`."""
        self._write(_followed("items", records, now, self._now_ms()))
        super().replicate_items(records, now)

    def replicate_stats(self, records: Sequence[Replicated], now: float) -> None:
        """See `Tracker.replicate_stats`."""
        self._write(_followed("statistics", records, now, self._now_ms()))
        super().replicate_stats(records, now)

    def replicate_rules(self, records: Sequence[Replicated], now: float) -> None:
        """See `Tracker.replicate_rules`."""
        self._write(_followed("rules", records, now, self._now_ms()))
        super().replicate_rules(records, now)

    def replicate_strategies(self, records: Sequence[Replicated]) -> None:
        """See `Tracker.replicate_strategies`."""
        self._write(_followed("strategies", records, 0.0, self._now_ms()))
        super().replicate_strategies(records)

    def weigh_strategies(self) -> None:
        """See `Tracker.weigh_strategies`."""
        self._write(Weighed())
        super().weigh_strategies()

    def look_at_rules(self, now: float, slices: int = 1) -> None:
        """See `Tracker.look_at_rules`."""
        self._write(LookedAtRules(slices, now, self._now_ms()))
        super().look_at_rules(now, slices)

    def use_placements(self) -> None:
        """See `Tracker.use_placements`."""
        self._write(Compiled())
        super().use_placements()

    def start_with(self, weights: RankingWeights) -> None:
        """See `Tracker.start_with`."""
        self._write(Ranker(to_json(weights), True, 0.0))
        super().start_with(weights)

    def use_for_arm(self, experiment: str, arm: str, weights: RankingWeights) -> None:
        """See `Tracker.use_for_arm`."""
        self._write(ArmRanker(experiment, arm, to_json(weights)))
        super().use_for_arm(experiment, arm, weights)

    def use_ranker(self, model: RankerModel | None, now: float) -> None:
        """See `Tracker.use_ranker`."""
        self._write(Ranker(None if model is None else bytes(model.weights), False, now))
        super().use_ranker(model, now)

    def use_sequence(self, model: SequenceModel | None, now: float) -> None:
        """See `Tracker.use_sequence`."""
        self._write(SequenceServes(None if model is None else model.model_version, now))
        super().use_sequence(model, now)

    def use_texts(self, texts: TextSource) -> None:
        """See `Tracker.use_texts`."""
        recorded = RecordedTexts(texts, self._write)
        recorded.follow()
        super().use_texts(cast("TextSource", recorded))

    # --- lists ---

    def refresh(self, partition: int, due: Sequence[Due], now_ms: int, now: float) -> list[Published | None]:
        """See `Tracker.refresh`."""
        made = super().refresh(partition, due, now_ms, now)
        self._write(Refreshed(partition, list(due), [digest_of(each) for each in made], now_ms, now))
        return made

    # --- people's requests ---

    def erase(self, users: UserPartition, user: bytes) -> TakenOut:
        """See `Tracker.erase`."""
        out = super().erase(users, user)
        self._write(Erased(users.partition, user))
        return out

    def rectify(self, users: UserPartition, user: bytes, item: int) -> tuple[TakenOut, dict[str, int]]:
        """See `Tracker.rectify`."""
        found = super().rectify(users, user, item)
        self._write(Rectified(users.partition, user, item))
        return found

    # --- partitions ---

    def store_of(self, partition: int, store: PartitionStore) -> PartitionStore:
        """See `Tracker.store_of`."""
        return cast("PartitionStore", RecordedStore(partition, store, self._write))

    def open_users(self, users: UserPartition) -> None:
        """See `Tracker.open_users`."""
        self._write(Opened(users.partition, 0 if users.log is None else users.log.epoch))
        super().open_users(users)

    def take(self, users: UserPartition) -> TakenOfPartition:
        """See `Tracker.take`."""
        taken = super().take(users)
        self._write(Taken(users.partition))
        return taken

    def forget(self, user_partitions: Sequence[int], item_partitions: Sequence[int]) -> None:
        """See `Tracker.forget`."""
        self._write(Forgotten(list(user_partitions)))
        super().forget(user_partitions, item_partitions)


class RecordedLists(LastLists):
    """What becomes of last lists beside those that are made."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self._write = write

    def restore(self, user: User, items: tuple[int, ...], made_at: float) -> None:
        """See `LastLists.restore`."""
        self._write(ListRestored(*user, list(items), made_at))
        super().restore(user, items, made_at)

    def drop(self, user: User) -> None:
        """See `LastLists.drop`."""
        self._write(ListDropped(*user))
        super().drop(user)


class RecordedStore:
    """A store of users, and what was read from it."""

    def __init__(self, partition: int, store: PartitionStore, write: Write) -> None:
        self._partition, self._store, self._write = partition, store, write

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `PartitionStore.get_many`."""
        values = self._store.get_many(keys)
        if keys:
            self._write(Stored(self._partition, list(zip(keys, values, strict=True))))
        return values

    def items_with_prefix(
        self, prefix: bytes, after: bytes | None = None, limit: int | None = None
    ) -> list[tuple[bytes, bytes]]:
        """See `PartitionStore.items_with_prefix`; what is looked through in parts goes into no list."""
        found = self._store.items_with_prefix(prefix, after, limit)
        if limit is None:
            self._write(Stored(self._partition, list(found), prefix))
        return found


class RecordedTexts:
    """Texts, and which vectors were there when a list was made."""

    def __init__(self, texts: TextSource, write: Write) -> None:
        self._texts, self._write = texts, write
        self._items: ItemVectors | None = None
        self.queries = RecordedQueries(texts.queries, write)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._texts, name)

    @property
    def items(self) -> ItemVectors:
        """See `TextSource.items`."""
        return self.follow()

    def follow(self) -> ItemVectors:
        """Those that serve now, and what becomes of them from here on."""
        items = self._texts.items
        if items is not self._items:
            if self._items is not None:
                self._items.on_change = None
            self._items = items
            self._write(TextsOpened(items.model_version, items.dims))
            there = items.indices()
            if len(there):
                self._put(there, items.get(there).astype(np.float16))
            items.on_change = self._put
        return items

    def _put(self, indices: NDArray[np.int32], vectors: NDArray[np.float16] | None) -> None:
        packed = None if vectors is None else vectors.astype("<f2").tobytes()
        self._write(VectorsPut(indices.astype("<i4").tobytes(), packed))


class RecordedQueries:
    """Vectors of queries, each written down when it is first of use."""

    def __init__(self, queries: Any, write: Write) -> None:
        self._queries, self._write = queries, write
        self._known: OrderedDict[int, int] = OrderedDict()
        """By hash: a digest of the vector that was written."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queries, name)

    def get(self, hashes: Sequence[int]) -> dict[int, Query]:
        """See `QueryVectors.get`."""
        found: dict[int, Query] = self._queries.get(hashes)
        for each, query in found.items():
            vector = query.vector.astype("<f4").tobytes()
            digest = crc32(vector)  # what comes back from the disk is rounded
            if self._known.get(each) != digest:
                self._known[each] = digest
                self._write(QueryKnown(each, query.text, vector))
                if len(self._known) > QUERIES_REMEMBERED:
                    self._known.popitem(last=False)
        return found


def _followed(topic: str, records: Sequence[Replicated], now: float, now_ms: int) -> Followed:
    return Followed(topic, list(records), now, now_ms)
