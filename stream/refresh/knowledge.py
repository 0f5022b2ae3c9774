"""What a worker knows beside its users: the catalogue, item statistics, vectors of texts, and how late it is in event time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.arrays import I4, I8
from models.calendar import DAY_MS
from models.hashing import item_hash
from models.items.catalog import Catalog, CatalogItem
from models.items.growing import GrowingArray
from models.items.index import ItemIndex
from models.items.names import ItemNames
from models.items.priors import NEW_CANDIDATES, PRIOR_CANDIDATES, SLICE_ITEMS, Priors, PriorsInTheMaking
from models.items.record import RecordColumns, unreadable
from models.items.stats import ItemStatistics
from models.items.vectors import ItemVectors
from models.ranking.place_vectors import NO_VECTOR, PastTexts, past_of_items
from models.ranking.recent import RecentItems
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.refresh.sensitive_items import SensitiveItems
from stream.refresh.unknown_items import UnknownItems
from stream.refresh.words import Naming, Words
from stream.texts.queries import QueryVectors
from stream.wire.decode import DecodeLimits, Rejected, decode_item

logger = logging.getLogger(__name__)

PRIORS_MAX_AGE_MS: Final = 1000
"""How old trend and popularity may be when statistics keep changing."""

UNPUBLISHED: Final = -1
"""Of an item that does not say when it was published."""

REPLAYED_AFTER_MS: Final = 30 * DAY_MS
"""A newest event so long ago means that a past is replayed: sentences then tell times as of that event."""


class TextSource(Protocol):
    """Vectors of items and queries, of one model version each."""

    @property
    def items(self) -> ItemVectors:
        """Those that serve now."""
        ...

    @property
    def queries(self) -> QueryVectors: ...

    def changed(self, indices: Iterable[int]) -> None:
        """The items with these dense indices are new, changed or gone."""
        ...


class Knowledge:
    """Replicated in every worker: what the catalogue and the statistics topic say, as of the last record read."""

    def __init__(
        self,
        limits: DecodeLimits,
        neighbours_max: int,
        metrics: Metrics,
        unknown_items_max: int = 100_000,
        statistics_max_bytes: int | None = None,
        sensitive_categories: Sequence[str] = (),
    ) -> None:
        self._limits, self._metrics = limits, metrics
        self._is_full, self._lacks_neighbours = False, 0
        self._unknown = UnknownItems(unknown_items_max)
        self.names = ItemNames()
        self.index = ItemIndex()
        self.catalog = Catalog.empty(self.index)
        self.stats = ItemStatistics(self.index, neighbours_max, statistics_max_bytes)
        self.texts: TextSource | None = None
        """None: ranked without text."""
        self.newest_ms = 0
        """Event time of the newest event or engagement that was heard of."""
        self.engagements = 0.0
        """That the statistics include."""
        self._words = Words()
        self.sensitive = SensitiveItems(sensitive_categories) if sensitive_categories else None
        """Of which nothing is told; None: there are none."""
        self._published_ms = GrowingArray(np.int64, fill=UNPUBLISHED)
        self._priors: Priors | None = None
        self._priors_made_ms = 0
        self._making: PriorsInTheMaking | None = None

    # --- what comes in ---

    def replicate_items(
        self, records: Sequence[Replicated], on_refused: Callable[[Replicated, Rejected], None] = lambda *_: None
    ) -> dict[str, CatalogItem | None]:
        """Catalogue records: a new snapshot. Returns what changed, by id; None = removed."""
        changes: dict[str, CatalogItem | None] = {}
        for record in records:
            if record.value is None:
                if record.key:
                    changes[record.key.decode(errors="replace")] = None
                continue
            decoded = decode_item(record.key, record.value, self._limits)
            if isinstance(decoded, Rejected):
                self._metrics.input.items_rejected.labels(decoded.reason).inc()
                on_refused(record, decoded)
                continue
            item, published_ms, mended = decoded
            for name in mended:
                self._metrics.input.items_mended.labels(name).inc()
            changes[item.item_id] = CatalogItem(
                item_id=item.item_id,
                title=item.title,
                categories=item.categories,
                description=item.description,
                language=item.language,
                media_text=item.media_text,
                available=item.available,
                price=item.price,
                published_at_ms=published_ms,
                attributes=tuple((item.attributes or {}).items()),
            )
        hashes = self.hashes_of(changes)  # before the catalogue, which gives new items their index by hash
        self.catalog = self.catalog.apply(changes)
        self._metrics.worker.catalog_items.set(self.catalog.size)
        rows = self.index.lookup(hashes)
        self._note_published(rows, changes.values())
        if self.sensitive is not None:
            self.sensitive.note(rows.astype(np.int64), changes.values())
        self._unknown.listed(rows.astype(np.int64), np.array([item is not None for item in changes.values()], np.bool_))
        self._words.forget(rows)
        if self.texts is not None:
            self.texts.changed(rows.tolist())
        return changes

    def _note_published(self, rows: I4, items: Iterable[CatalogItem | None]) -> None:
        self._published_ms.grow(int(rows.max(initial=-1)) + 1)
        times_ms = [
            UNPUBLISHED if item is None or item.published_at_ms is None else item.published_at_ms for item in items
        ]
        known = rows >= 0
        self._published_ms.values[rows[known]] = np.array(times_ms, np.int64)[known]

    @property
    def published_ms(self) -> NDArray[np.int64]:
        """(n,) int64 by dense index, as long as the catalogue at least: when an item was published, `UNPUBLISHED` where nobody
        said."""
        self._published_ms.grow(len(self.catalog.recommendable))
        return self._published_ms.values

    def replicate_stats(self, records: Sequence[Replicated], topic: str) -> RecordColumns:
        """Statistics records of this topic, into the arrays; bytes that are no record are passed over, and an item with a
        tombstone has expired. Returns the newest of each item."""
        newest = {record.key: record.value for record in records if record.key}
        latest = {key: value for key, value in newest.items() if value is not None}
        self._forget_stats([key for key, value in newest.items() if value is None])
        try:
            columns = self._put_stats(latest)
        except ValueError:  # of a later release, say; each of those items stays as it was
            wrong = unreadable(list(latest.values()), deltas=False)
            keys = list(latest)
            refused = {keys[at]: why for at, why in wrong.items()} | {
                key: "the key is no UTF-8" for key in keys if not _is_text(key)
            }
            self._metrics.input.statistics_refused.inc(len(refused))
            logger.error(
                "topic %s: the statistics of %d items cannot be read and stay as they were; %r: %s. "
                "Fix: see who else writes that topic",
                topic, len(refused), *next(iter(refused.items())),
            )  # fmt: skip
            columns = self._put_stats({key: value for key, value in latest.items() if key not in refused})
        self._metrics.worker.stats_items.set(self.stats.known)
        self._tell_of_neighbours()
        self.engagements = float(self.stats.count.sum())
        self._metrics.input.unknown_item_statistics.set(self._unknown.total(self.stats.count))
        self.heard_of(int(columns.trend_ms.max(initial=0)))
        return columns

    def _forget_stats(self, keys: Sequence[bytes]) -> None:
        if keys:
            rows = self.index.lookup(self._hashes_of_keys(keys))
            rows = np.unique(rows[(rows >= 0) & (rows < self.stats.size)])
            self.stats.remove(rows)

    def are_unknown(self, keys: Sequence[bytes]) -> NDArray[np.bool_]:
        """(n,) which of these item ids the catalogue, as far as it has been read, does not have; none of them is remembered."""
        return self._unknown.are_unknown(self.index.lookup(self._hashes_of_keys(keys)).astype(np.int64))

    @staticmethod
    def _hashes_of_keys(keys: Sequence[bytes]) -> NDArray[np.uint64]:
        return np.array([item_hash(key.decode(errors="replace")) for key in keys], np.uint64)

    def counted(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """(m,) of which of these items statistics are kept."""
        rows = self.index.lookup(hashes).astype(np.int64)
        kept = self._unknown.counted(rows, self.stats.count, is_full=self._is_at_bound())
        if not kept.all():
            self._metrics.input.items_uncounted.inc(int((~kept).sum()))
        return kept

    def _is_at_bound(self) -> bool:
        was_full, self._is_full = self._is_full, self.stats.is_full
        if self._is_full and not was_full:
            logger.warning(
                "items have reached a quarter of statistics_max_bytes: those that the catalogue does not know get no "
                "statistics any more. Fix: give this worker more memory (memory_max_bytes)"
            )
        return self._is_full

    def _tell_of_neighbours(self) -> None:
        lacking = self.stats.without_neighbours
        if lacking and not self._lacks_neighbours:
            logger.warning(
                "item statistics have reached statistics_max_bytes: further items have no neighbours. Fix: give this "
                "worker more memory (memory_max_bytes), or keep fewer neighbours of each (neighbours_max)"
            )
        self._lacks_neighbours = lacking
        self._metrics.worker.items_without_neighbours.set(lacking)

    def _put_stats(self, latest: dict[bytes, bytes]) -> RecordColumns:
        hashes = np.array([self.names.hash_of(key.decode()) for key in latest], np.uint64)
        return self.stats.put(self.index.intern(hashes), list(latest.values()))

    def heard_of(self, event_time_ms: int) -> None:
        """Something happened then."""
        self.newest_ms = max(self.newest_ms, event_time_ms)

    # --- what is asked ---

    def stream_time_ms(self, now_ms: int) -> int:
        """The newest event's time, or now where that has not come yet."""
        return min(now_ms, self.newest_ms)

    def sentence_time_ms(self, now_ms: int) -> int:
        """What "yesterday" is seen from: now, or the newest event where a long past is replayed."""
        moment_ms = self.stream_time_ms(now_ms)
        return moment_ms if now_ms - moment_ms > REPLAYED_AFTER_MS else now_ms

    def name_of(self, hashed: int) -> str | None:
        """Id of an item, or text of a query."""
        name = self.names.id_of(hashed)
        if name is None and self.texts is not None:
            query = self.texts.queries.get([hashed]).get(hashed)
            name = None if query is None else query.text or None
        return name

    def title_of(self, item_id: str) -> str:
        """Of an item; of one that the catalogue has not, its id."""
        (at,) = self.index.lookup(self.hashes_of([item_id])).tolist()
        item = self.catalog.item(at) if at >= 0 else None
        return item_id if item is None else item.title

    def speaks_of_sensitive(self, items: I4 | I8) -> bool:
        """Whether one of these dense indices is of an item of which nothing is told."""
        return self.sensitive is not None and bool(self.sensitive.are(items).any())

    @property
    def naming(self) -> Naming:
        """How items and queries are written."""
        return Naming(self._words, self.catalog, self.name_of, self.sensitive)

    @property
    def vectors(self) -> ItemVectors | None:
        """Of the catalogue's texts; None where nothing has one."""
        return None if self.texts is None or not self.texts.items.size else self.texts.items

    def past_texts(self, recent: RecentItems, history: I4) -> PastTexts | None:
        """Which vectors the users' items and queries have; None without an encoder."""
        items = self.vectors
        if self.texts is None or items is None:
            return None
        past = past_of_items(history, items)
        if self.sensitive is not None:  # they are no interests
            past.row[self.sensitive.are(history)] = NO_VECTOR
        user, place = np.nonzero((history < 0) & (recent.items != 0))
        if not len(user) or self.texts.queries.model_version != items.model_version:
            return past
        hashes = recent.items[user, place].tolist()
        known = self.texts.queries.get(hashes)
        row_of = {each: -2 - row for row, each in enumerate(known)}
        past.row[user, place] = [row_of.get(each, NO_VECTOR) for each in hashes]
        return past._replace(others=np.stack([query.vector for query in known.values()])) if known else past

    def priors(self, now_ms: int, followed: int = 0) -> Priors:
        """What leads: of now, or of at most a moment ago. The list of the `followed` one of `models.vocabulary.EXPERTS` is made
        for contexts too."""
        priors = self._priors
        changed = priors is None or (priors.stats_version, priors.catalog_version, priors.followed) != (
            self.stats.version,
            self.catalog.version,
            followed,
        )
        # A withdrawn item is caught when ranking; statistics may be a moment old, or every batch would recompute them. One
        # item costs about 0.05 us, so this keeps it to a hundredth of the time however large the catalogue.
        max_age_ms = max(PRIORS_MAX_AGE_MS, len(self.index) // 200)
        if self._making is None and (priors is None or (changed and now_ms - self._priors_made_ms >= max_age_ms)):
            moment_ms = self.stream_time_ms(now_ms)
            self._making = PriorsInTheMaking(
                self.catalog, self.stats, PRIOR_CANDIDATES, NEW_CANDIDATES, moment_ms, followed
            )
            self._priors_made_ms = now_ms
        while self._making is not None:
            made = self._making.step(SLICE_ITEMS)
            if made is not None:
                self._priors, self._making = made, None
            if self._priors is not None:  # those of before serve until the others are made
                break
        assert self._priors is not None, "they have been made"
        return self._priors

    @property
    def last_priors(self) -> Priors | None:
        """What led when that was last asked for; None if it never was."""
        return self._priors

    def hashes_of(self, item_ids: Iterable[str]) -> NDArray[np.uint64]:
        """(n,) uint64."""
        return np.array([self.names.hash_of(item_id) for item_id in item_ids], np.uint64)


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True
