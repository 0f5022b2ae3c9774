"""A journal into a tracker: what a worker was told is told again, in the same order with the same clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
from pydantic import ValidationError

from models.items.vectors import ItemVectors
from models.ranking.weights import RankingWeights, from_json
from models.sequence.model import SequenceModel
from stream.errors import InputFileError, UsageError
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.partitions.users import UserPartition
from stream.refresh.knowledge import TextSource
from stream.refresh.publish import Published
from stream.refresh.versions import RankerModel, read_weights
from stream.rules.book import PLACEMENT, RULE
from stream.rules.rule import Rule, to_json
from stream.settings import Settings
from stream.settings.faults import first_fault
from stream.settings.load import SettingsAsGiven
from stream.settings.placements import HOME
from stream.state.log_mark import LogMark
from stream.storage.rocks import PartitionStore
from stream.texts.queries import Query
from stream.worker.intake import Intake
from stream.worker.journal.entries import (
    Applied,
    ArmRanker,
    Begin,
    Compiled,
    Entry,
    Erased,
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


class Candidate(NamedTuple):
    """What is to be otherwise than it was. Everything empty: nothing."""

    settings: Mapping[str, Any] = {}
    """Over those of the journal."""
    rules: Mapping[str, Rule] | None = None
    """These and no others, all the time; None: those that were followed."""
    weights: RankingWeights | None = None
    """These all the time; None: those that served."""
    without_rules: frozenset[str] = frozenset()
    """Of those that were followed, ids of some that are left out."""


def settings_of(begin: Begin, candidate: Candidate, path: Path) -> Settings:
    """Those that the worker had, with what the candidate changes.

    Raises:
        InputFileError: this release does not know them.
        UsageError: what the candidate changes cannot be.
    """
    for given, error_of in ((begin.settings, None), (dict(begin.settings) | dict(candidate.settings), candidate)):
        try:
            settings = SettingsAsGiven(**given)
        except ValidationError as error:
            where, reason = first_fault(error)
            if error_of is None:
                raise InputFileError(
                    f"{path}: this release cannot use the journal's settings ({where}: {reason}).",
                    f"simulate with release {begin.release}",
                ) from None
            raise UsageError(f"the candidate: {f'`{where}`: ' if where else ''}{reason}.", "correct the file") from None
    for rule_id, rule in (candidate.rules or {}).items():
        if rule.arm is not None and rule.arm not in settings.arms():
            raise UsageError(f"the candidate: rule {rule_id!r}: there is no arm {rule.arm}.", "correct the file")
        if rule.placement not in (None, HOME, *settings.placements):
            raise UsageError(
                f"the candidate: rule {rule_id!r}: there is no placement {rule.placement}.", "correct the file"
            )
    return settings


class Replay:
    """One tracker. `feed` every message after the first one."""

    def __init__(
        self, settings: Settings, candidate: Candidate, sequence: SequenceModel | None, *, was_configured: bool = False
    ) -> None:
        """`sequence`: the model that served, where one did."""
        self._candidate, self._sequence = candidate, sequence
        self._settings = settings
        self._noted_ms = 0
        self.tracker = Tracker(settings, Metrics())
        self.tracker.wall_ms = lambda: self._noted_ms
        self._stores: dict[int, ReplayedStore] = {}
        self._texts: ReplayedTexts | None = None
        self._read: tuple[Intake, UserPartition] | None = None
        self.applied: frozenset[int] = frozenset()
        """Offsets of the events of the last `Applied` that changed anything."""
        if (
            self.tracker.refresher.pages.is_configured or was_configured
        ):  # a worker compiles that before it reads anything
            self.tracker.use_placements()
        if "experiments" in candidate.settings:
            for name, experiment in sorted(settings.experiments.items()):
                for arm, path in sorted(experiment.weights.items()):
                    self.tracker.use_for_arm(name, arm, read_weights(path))
        if candidate.weights is not None:
            self.tracker.start_with(candidate.weights)
        if candidate.rules is not None:
            self.tracker.use_placements()
            records = [
                Replicated(f"{RULE}{rule_id}".encode(), to_json(rule), 0, 0, 0)
                for rule_id, rule in candidate.rules.items()
            ]
            self.tracker.replicate_rules(records, 0.0)
        self._handle: dict[type[Any], Callable[[Any], None]] = {
            Followed: self._followed,
            Ranker: self._ranker,
            ArmRanker: self._arm_ranker,
            SequenceServes: self._sequence_serves,
            Weighed: lambda _: self.tracker.weigh_strategies(),
            LookedAtRules: self._look_at_rules,
            Compiled: lambda _: self.tracker.use_placements(),
            Stored: self._stored,
            Opened: self._opened,
            Forgotten: lambda entry: self.tracker.forget(entry.partitions, []),
            Read: self._read_chunk,
            Erased: self._erased,
            Rectified: self._rectified,
            Applied: self._applied,
            Taken: self._taken,
            ListDropped: lambda entry: self.tracker.lists.drop((entry.partition, entry.key)),
            ListRestored: lambda entry: self.tracker.lists.restore(
                (entry.partition, entry.key), tuple(entry.items), entry.made_at
            ),
            TextsOpened: self._texts_opened,
            VectorsPut: self._vectors_put,
            QueryKnown: self._query_known,
        }

    def feed(self, entry: Entry) -> list[Published | None] | None:
        """The lists that a `Refreshed` asks for; None of anything else."""
        if isinstance(entry, Refreshed):
            if self._candidate.rules is not None:
                self._noted_ms = entry.now_ms
                self.tracker.look_at_all_rules(entry.now)
            return self.tracker.refresh(entry.partition, entry.due, entry.now_ms, entry.now)
        self._handle[type(entry)](entry)
        return None

    def history_of(self, partition: int, keys: Sequence[bytes]) -> list[int]:
        """Behaviours of these users so far."""
        overlay = self.tracker.users[partition].overlay
        rows = overlay.rows(keys)
        counts: list[int] = np.where(rows >= 0, overlay.states.n_ring[rows], 0).tolist()
        return counts

    # --- what all workers know ---

    def _followed(self, entry: Followed) -> None:
        tracker, self._noted_ms = self.tracker, entry.now_ms
        records = entry.records
        if entry.topic == "items":
            tracker.replicate_items(records, entry.now)
        elif entry.topic == "statistics":
            tracker.replicate_stats(records, entry.now)
        elif entry.topic == "strategies":
            tracker.replicate_strategies(records)
        else:
            if self._candidate.rules is not None:
                records = [record for record in records if not (record.key or b"").startswith(RULE.encode())]
            if "placements" in self._candidate.settings:
                records = [record for record in records if not (record.key or b"").startswith(PLACEMENT.encode())]
            left_out = {f"{RULE}{rule_id}".encode() for rule_id in self._candidate.without_rules}
            records = [record for record in records if record.key not in left_out]
            tracker.replicate_rules(records, entry.now)

    def _ranker(self, entry: Ranker) -> None:
        if self._candidate.weights is not None:
            return
        if entry.weights is None:
            self.tracker.use_ranker(None, entry.now)
            return
        weights = from_json(entry.weights)
        if entry.is_own:
            self.tracker.start_with(weights)
        else:
            self.tracker.use_ranker(RankerModel(weights.version, 0, msgspec.Raw(entry.weights)), entry.now)

    def _arm_ranker(self, entry: ArmRanker) -> None:
        if "experiments" not in self._candidate.settings:
            self.tracker.use_for_arm(entry.experiment, entry.arm, from_json(entry.weights))

    def _sequence_serves(self, entry: SequenceServes) -> None:
        if entry.model_version is None:
            self.tracker.use_sequence(None, entry.now)
            return
        if self._sequence is None or self._sequence.model_version != entry.model_version:
            raise UsageError(
                f"the journal ranks with the sequence model {entry.model_version}.",
                "name its directory with --sequence",
            )
        self.tracker.use_sequence(self._sequence, entry.now)

    def _look_at_rules(self, entry: LookedAtRules) -> None:
        self._noted_ms = entry.now_ms
        self.tracker.look_at_rules(entry.now, entry.slices)

    # --- partitions ---

    def _store(self, partition: int) -> ReplayedStore:
        return self._stores.setdefault(partition, ReplayedStore())

    def _stored(self, entry: Stored) -> None:
        self._store(entry.partition).learn(entry.values, entry.prefix)

    def _opened(self, entry: Opened) -> None:
        store = cast("PartitionStore", self._store(entry.partition))
        users = UserPartition(entry.partition, store, self._settings.engagements_max_per_user_day)
        users.log = LogMark(None, entry.epoch, 0, 1, 1)
        self.tracker.open_users(users)

    def _read_chunk(self, entry: Read) -> None:
        users = self.tracker.users[entry.partition]
        self._read = self.tracker.read(users, entry.records, entry.now_ms), users

    def _applied(self, entry: Applied) -> None:
        if self._read is None:
            raise InputFileError("the journal applies events that it has not read.", "record another one")
        intake, users = self._read
        if entry.offsets is not None:
            intake = intake.without(~np.isin(intake.columns.offset, entry.offsets))
        self.applied = frozenset()
        if len(intake.keys):
            changes = self.tracker.apply(users, intake, entry.now, entry.now_ms)
            self.applied = frozenset(intake.columns.offset[changes.applied].tolist())
            users.next_offset = int(intake.columns.offset[-1]) + 1

    def _erased(self, entry: Erased) -> None:
        self.tracker.erase(self.tracker.users[entry.partition], entry.key)

    def _rectified(self, entry: Rectified) -> None:
        self.tracker.rectify(self.tracker.users[entry.partition], entry.key, entry.item)

    def _taken(self, entry: Taken) -> None:
        users = self.tracker.users[entry.partition]
        taken = self.tracker.take(users)
        self._store(entry.partition).write(taken.values)
        users.overlay.trim(0)
        users.outcomes.ledgers.trim(0)

    # --- texts ---

    def _texts_opened(self, entry: TextsOpened) -> None:
        if self._texts is None:
            self._texts = ReplayedTexts(entry.model_version, entry.dims)
            self.tracker.use_texts(cast("TextSource", self._texts))
        else:
            self._texts.serve(entry.model_version, entry.dims)

    def _vectors_put(self, entry: VectorsPut) -> None:
        if self._texts is None:
            return
        indices = np.frombuffer(entry.indices, "<i4").astype(np.int32)
        if entry.vectors is None:
            self._texts.items.remove(indices)
        else:
            halves = np.frombuffer(entry.vectors, "<f2").reshape(len(indices), -1)
            self._texts.items.put(indices, halves)

    def _query_known(self, entry: QueryKnown) -> None:
        if self._texts is not None:
            vector = np.frombuffer(entry.vector, "<f4").astype(np.float32)
            self._texts.queries.known[entry.hash] = Query(entry.text, vector)


class ReplayedStore:
    """What the disk had of a partition when it was asked, and what was written since."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes | None] = {}
        self._prefixes: dict[bytes, list[tuple[bytes, bytes]]] = {}

    def learn(self, values: Iterable[tuple[bytes, bytes | None]], prefix: bytes | None) -> None:
        """What was read is what is there."""
        self._values.update(values)
        if prefix is not None:
            self._prefixes[prefix] = [(key, value) for key, value in values if value is not None]

    def write(self, values: Iterable[tuple[bytes, bytes | None]]) -> None:
        """A commit."""
        self._values.update(values)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `PartitionStore.get_many`."""
        return [self._values.get(key) for key in keys]

    def items_with_prefix(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """See `PartitionStore.items_with_prefix`."""
        return self._prefixes.get(prefix, [])


class ReplayedTexts:
    """Vectors as they came."""

    def __init__(self, model_version: str, dims: int) -> None:
        self.queries = ReplayedQueries(model_version)
        self.items = ItemVectors(model_version, dims)

    def serve(self, model_version: str, dims: int) -> None:
        """Those of another model from here on."""
        self.items = ItemVectors(model_version, dims)
        self.queries.model_version = model_version

    def changed(self, indices: Iterable[int]) -> None:
        """What became of that comes."""


class ReplayedQueries:
    """Queries whose vectors came."""

    def __init__(self, model_version: str) -> None:
        self.model_version = model_version
        self.known: dict[int, Query] = {}

    def asked(self, partition: int, queries: Iterable[tuple[bytes, str]]) -> None:
        """What became of that comes."""

    def get(self, hashes: Sequence[int]) -> dict[int, Query]:
        """See `QueryVectors.get`."""
        return {each: self.known[each] for each in hashes if each in self.known}
