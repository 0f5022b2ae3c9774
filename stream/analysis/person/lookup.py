"""One person's list made anew from the topics, by the worker's own code, with any event left out or added.

The events are those of the person; statistics, catalogue and models are as they are now, not as they were when a list was
published. Nothing is written anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from models.items.catalog import CatalogItem
from models.ranking.features import SEQUENCE
from models.reasons.counterfactual import Counterfactual, counterfactual
from models.reasons.removal import used_places
from models.sequence.model import SequenceModel
from stream.analysis.person.sequence_reasons import SequenceReason, sequence_reasons, to_json
from stream.analysis.person.texts import ReadTexts, TextsAtHand
from stream.errors import InvariantError, UsageError
from stream.kafka.partitioner import key_partition
from stream.kafka.read_to_end import Record, partitions_of, read_to_end
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.params import decode_limits
from stream.partitions.users import UserPartition
from stream.refresh.knowledge import Knowledge, TextSource
from stream.refresh.publish import Published
from stream.refresh.queue import Due
from stream.refresh.sequence import load_version
from stream.refresh.versions import RankerModel, SequenceVersion, read_versions, read_weights
from stream.rules.rule import Rule
from stream.rules.topic import value_of
from stream.settings import Settings
from stream.settings.placements import PlacementSettings
from stream.storage.rocks import DataDirectory
from stream.wire.decode import Rejected, decode_event
from stream.wire.records import Event, encode_sparse
from stream.wire.requests import read_request
from stream.worker.tracker import Tracker

LANGUAGES: Final = "en,zh"
"""Those of `penchant explain --lang`."""

_MEMORY_BYTES: Final = 8 << 20


class Behaviour(NamedTuple):
    """An event of the person that a worker would take."""

    record: Record
    event: Event
    time_ms: int


class WithoutItems(NamedTuple):
    """A counterfactual in ids."""

    removed: tuple[str, ...]
    leader: str
    replacement: str | None
    verified: bool
    exact: bool


class Listing(NamedTuple):
    """A list and what its leader hangs on."""

    published: Published
    counterfactual: WithoutItems | None
    history: int
    """Items that the ranking looked at."""
    sequence: dict[str, dict[str, Any]]
    """By item id: what the sequence model looked at, as `sequence_reasons.to_json`. It does not add up."""


class Topics(NamedTuple):
    """What the topics hold, apart from events."""

    items: list[Replicated]
    statistics: list[Replicated]
    ranker: RankerModel | None
    sequence: SequenceModel | None
    strategies: list[Replicated]
    rules: list[Replicated]


def read_topics(settings: Settings) -> Topics:
    """Catalogue, statistics and models as they are now.

    Raises:
        TopicsError, BrokerUnreachableError: a topic is missing, or no broker answers.
    """
    versions = read_versions(settings)
    ranker, sequence = versions["ranker"].current, versions["sequence"].current
    return Topics(
        _compacted(settings, settings.topic_items),
        _compacted(settings, settings.topic_item_stats),
        ranker if isinstance(ranker, RankerModel) else None,
        load_version(sequence, lambda: None) if isinstance(sequence, SequenceVersion) else None,
        _compacted(settings, settings.topic_strategy_stats),
        _compacted(settings, settings.topic_rules),
    )


def read_behaviours(settings: Settings, user_id: str) -> list[Behaviour]:
    """The person's events in topic order: of the partition that their key belongs to, of all if there are none in it.

    Raises:
        UsageError: there are none at all.
        TopicsError, BrokerUnreachableError: as `read_topics`.
    """
    key, limits = user_id.encode(), decode_limits(settings)
    partitions = partitions_of(settings, settings.topic_events)
    mine = key_partition(key, partitions, settings.partitioner)
    for only in ([mine], [p for p in range(partitions) if p != mine]):
        found: list[Behaviour] = []
        for records in read_to_end(settings, settings.topic_events, only) if only else ():
            for record in records:
                if record.key == key and (request := read_request(record.value)) is not None:
                    if request.request in ("erase", "object"):
                        found.clear()  # everything before it was never there
                elif record.key == key:
                    decoded = decode_event(record.key, record.value, record.timestamp, limits)
                    if not isinstance(decoded, Rejected):
                        found.append(Behaviour(record, decoded.event, decoded.event_time_ms))
        if found:
            return found
    raise UsageError(f"no event of user {user_id!r} is on topic {settings.topic_events}.", "check the id, or its case")


class Lookup:
    """Lists of one person; made by `open_lookup`."""

    def __init__(self, settings: Settings, topics: Topics, directory: DataDirectory) -> None:
        # Whatever is published: a person asks in either language, and a rewriter needs both.
        self._settings = settings.model_copy(update={"explanation_languages": LANGUAGES})
        self._topics, self._directory = topics, directory
        self._made = 0
        self._texts: ReadTexts | None = None

    def use_texts(self, texts: ReadTexts) -> None:
        """From the next list on."""
        self._texts = texts

    def listing(self, user_id: str, behaviours: Sequence[Behaviour], budget: int) -> Listing:
        """The list that these events lead to; `budget` rankings may be spent on what its leader hangs on."""
        tracker = self._tracker()
        self._made += 1
        stores = self._directory.stores(f"users-{self._made}")
        try:
            users = tracker.users[0] = UserPartition(0, stores[0])
            return self._list(tracker, users, user_id, behaviours, budget)
        finally:
            stores.close_all()

    @cached_property
    def items(self) -> list[CatalogItem]:
        """The catalogue."""
        catalog = self._tracker().knowledge.catalog
        items = map(catalog.item, range(len(catalog.index)))
        return [item for item in items if item is not None]

    @cached_property
    def titles(self) -> dict[str, str]:
        """Of every item of the catalogue, by its id."""
        return {item.item_id: item.title for item in self.items}

    def use_rules(self, rules: Mapping[str, Rule | PlacementSettings]) -> None:
        """From the next list on these rules and placements and no others, by the keys of their records."""
        records = [Replicated(key.encode(), value_of(each), 0, 0, 0) for key, each in rules.items()]
        self._topics = self._topics._replace(rules=records)

    def _tracker(self) -> Tracker:
        tracker = Tracker(self._settings, Metrics())
        tracker.replicate_items(self._topics.items, 0.0)
        tracker.replicate_stats(self._topics.statistics, 0.0)
        if self._topics.rules:
            tracker.compile_placement()
            tracker.use_placements()
        tracker.replicate_rules(self._topics.rules, 0.0)
        tracker.look_at_all_rules(0.0)
        for name, experiment in self._settings.experiments.items():
            for arm, path in experiment.weights.items():
                tracker.use_for_arm(name, arm, read_weights(path))
        tracker.use_ranker(self._topics.ranker, 0.0)
        tracker.use_sequence(self._topics.sequence, 0.0)
        tracker.serving.replicate_strategies(self._topics.strategies)
        tracker.serving.weigh_strategies()
        if self._texts is not None:
            knowledge = tracker.knowledge
            knowledge.texts = cast("TextSource", TextsAtHand(self._texts, knowledge.index))
        return tracker

    def _list(
        self, tracker: Tracker, users: UserPartition, user_id: str, behaviours: Sequence[Behaviour], budget: int
    ) -> Listing:
        key, now_ms = user_id.encode(), time.time_ns() // 1_000_000
        if behaviours:
            tracker.apply(users, tracker.read(users, [each.record for each in behaviours]), 0.0)
        newest = behaviours[-1] if behaviours else None
        due = Due(
            key, None, -1 if newest is None else newest.record.offset, 0 if newest is None else newest.time_ms, 0, 0.0,
            "refresh",
        )  # fmt: skip
        (published,) = tracker.refresh(0, [due], now_ms, 0.0)
        if published is None:
            (why,) = tracker.refresher.quarantine.take()
            raise InvariantError(f"no list can be made for {user_id!r}: {why.detail}")
        rows = users.overlay.rows([key])
        refresher, states, model = tracker.refresher, users.overlay.states, self._topics.sequence
        asking = refresher.ask(states, rows, now_ms)
        person = refresher.what_if(states, asking, 0, refresher.ranking_inputs(now_ms, key))
        places, ranked = used_places(person.past), person.rank()
        found = counterfactual(ranked, places, person.leads, budget) if budget else None
        looked_at: list[SequenceReason] = []
        if model is not None:
            weight = person.weights()[SEQUENCE : SEQUENCE + 1]
            reasons = sequence_reasons(
                model, states, rows, ranked.items, asking.question.now_ms, weight, tracker.knowledge.index
            )
            ((looked_at,),) = reasons
        naming = _Naming(tracker.knowledge, self._texts)
        if found is not None:
            told = np.append(asking.question.history[0, list(found.removed)], [found.leader, found.replacement])
            found = None if tracker.knowledge.speaks_of_sensitive(told) else found
        return Listing(
            published,
            None if found is None else naming.counterfactual(found, asking.recent.items[0]),
            len(places),
            {naming.item(each.item): to_json(each, naming.name) for each in looked_at},
        )


@contextmanager
def open_lookup(settings: Settings, topics: Topics) -> Iterator[Lookup]:
    """Lookups over what was read."""
    with TemporaryDirectory(prefix="penchant-") as path:
        directory = DataDirectory(Path(path), _MEMORY_BYTES, _MEMORY_BYTES)
        try:
            yield Lookup(settings, topics, directory)
        finally:
            directory.close()


def left_out(behaviours: Sequence[Behaviour], names: Sequence[str]) -> list[Behaviour]:
    """Without the events that are named: by offset, or all about an item.

    Raises:
        UsageError: a name means none of them.
    """
    kept = list(behaviours)
    for name in names:
        left = [each for each in kept if name not in (str(each.record.offset), each.event.item_id)]
        if len(left) == len(kept):
            raise UsageError(
                f"--without {name}: the person has no such event.", "name an offset or an item id that is shown"
            )
        kept = left
    return kept


def added(behaviours: Sequence[Behaviour], user_id: str, item_ids: Sequence[str]) -> list[Behaviour]:
    """With a click on each of these items, after everything else."""
    grown = list(behaviours)
    for item_id in item_ids:
        last = grown[-1] if grown else None
        now_ms = time.time_ns() // 1_000_000
        time_ms = now_ms if last is None else max(each.time_ms for each in grown)
        event = Event(user_id, "click", item_id, time_ms)
        offset = 0 if last is None else last.record.offset + 1
        grown.append(Behaviour(Record(user_id.encode(), encode_sparse(event), offset, now_ms), event, time_ms))
    return grown


def _compacted(settings: Settings, topic: str) -> list[Replicated]:
    """The newest record of each key."""
    latest: dict[bytes | None, Replicated] = {}
    for records in read_to_end(settings, topic):
        for record in records:
            latest.pop(record.key, None)
            latest[record.key] = Replicated(record.key, record.value, 0, record.offset, record.timestamp)
    return list(latest.values())


class _Naming:
    """Hashes and dense indices -> ids of items and texts of queries."""

    def __init__(self, knowledge: Knowledge, texts: ReadTexts | None) -> None:
        self._knowledge, self._queries = knowledge, {} if texts is None else texts.queries

    def name(self, hashed: int) -> str:
        """Of an item or a query."""
        query = self._queries.get(hashed)
        return self._knowledge.names.id_of(hashed) or (f"hash:{hashed:016x}" if query is None else query.text)

    def item(self, index: int) -> str:
        """Of a dense index."""
        return self.name(int(self._knowledge.index.hash_of(np.array([index]))[0]))

    def counterfactual(self, found: Counterfactual, places: NDArray[np.uint64]) -> WithoutItems:
        """In ids."""
        removed = tuple(self.name(int(places[place])) for place in found.removed)
        replacement = None if found.replacement < 0 else self.item(found.replacement)
        return WithoutItems(removed, self.item(found.leader), replacement, found.verified, found.exact)
