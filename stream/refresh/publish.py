"""Ranked lists -> the records other services read. Pure; ids are deterministic, so a list published twice is recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo
from hashlib import blake2b
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from models.items.catalog import Catalog, CatalogItem
from models.items.facts import NEW, NEW_MS
from models.ranking.rank import SPLIT, RankedBatch
from models.ranking.recent import RecentItems
from models.reasons.contributions import METHOD, Contributions, contributions_of
from models.vocabulary import ACTIONS, EXPLORE, STRATEGIES
from stream.reasons.ago import ago
from stream.reasons.language import ACTIONS_TOLD
from stream.reasons.sentence import Cause, both_languages, reason, title_of
from stream.refresh.question import Behaviours
from stream.wire.records import (
    Contribution,
    EventSource,
    Explanation,
    ModelVersions,
    Recommendation,
    RecommendationAttribution,
    RecommendedItem,
    Trigger,
)

STRONGEST = 8
"""Causes looked at for the sentence, strongest first."""

_TOLD = np.isin(np.array(ACTIONS), ACTIONS_TOLD)
"""By action code: whether it can be a reason."""


def model_versions(ranker: str, encoder: str | None = None, sequence: str | None = None) -> ModelVersions:
    """What a list was made with."""
    return ModelVersions(encoder=encoder, sequence=sequence, ranker=ranker)


class ListHeader(NamedTuple):
    """For whom, and of what, one row of a ranked batch is."""

    user_id: str
    source: EventSource
    event_time_ms: int
    trigger: Trigger
    because: str = ""
    """Where the trigger is no event: what else went in, so that another list at the same offset has another id."""
    is_explained: bool = True
    """False: without reasons."""


class SentenceContext(NamedTuple):
    """What sentences need beside the numbers."""

    facts: NDArray[np.uint8]
    """(u, k) uint8 bits of `models.items.facts`, of the items of the ranked batch."""
    moment_ms: int
    """What \"yesterday\" is the day before of."""
    zone: tzinfo = UTC


class Published(NamedTuple):
    """Everything published for one user."""

    recommendation: Recommendation
    attributions: list[RecommendationAttribution]
    changed: bool = True
    """False: the user's last list has the same items in the same order."""


def recommendation_id(user_id: str, source: EventSource, model: ModelVersions, because: str = "") -> str:
    """32 hex digits of BLAKE2b over user, last applied offset, model versions, and any other cause than an event."""
    text = "\x00".join(
        (
            user_id,
            source.topic,
            str(source.partition),
            str(source.offset),
            str(model.encoder),
            str(model.sequence),
            model.ranker,
            *filter(None, (because,)),
        )
    )
    return blake2b(text.encode(), digest_size=16).hexdigest()


def build_records(
    listed: Sequence[ListHeader],
    ranked: RankedBatch,
    recent: RecentItems,
    behaviours: Behaviours,
    catalog: Catalog,
    name_of: Callable[[int], str | None],
    now_ms: int,
    contributions_max: int,
    model: ModelVersions,
    telling: SentenceContext,
) -> list[Published]:
    """One recommendation and its attributions per user of the batch; an empty list is published too."""
    # Flat columns over all places of all lists, so that a place costs one step of a loop and not a dozen small calls.
    filled = ranked.items >= 0
    user, rank = np.nonzero(filled)
    causes, others = contributions_of(ranked.contributions, recent.position, behaviours.gain, contributions_max)
    bounds = np.searchsorted(
        causes.user * filled.shape[1] + causes.rank, np.append(np.flatnonzero(filled), filled.size)
    )
    impersonal = sum((v[filled] for name, v in ranked.parts.items() if name not in SPLIT), np.zeros(len(user)))
    residual = _residuals(ranked.scores[filled] - impersonal - others[filled], causes.value, bounds)
    items = [catalog.item(index) for index in ranked.items[filled].tolist()]
    names, columns = tuple(ranked.parts), [values[filled].tolist() for values in ranked.parts.values()]
    parts = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    ids = [recommendation_id(who.user_id, who.source, model, who.because) for who in listed]
    evidence = _Evidence(causes, behaviours, _disliked(recent, behaviours), catalog, name_of, telling)
    places: list[list[RecommendedItem]] = [[] for _ in listed]
    reasons: list[list[RecommendationAttribution]] = [[] for _ in listed]
    for u, k, item, score, chance, strategy, own, rest, left, facts, begin, end in zip(
        user.tolist(),
        (rank + 1).tolist(),
        items,
        ranked.scores[filled].tolist(),
        ranked.probability[filled].tolist(),
        ranked.strategy[filled].tolist(),
        parts,
        others[filled].tolist(),
        residual.tolist(),
        telling.facts[filled].tolist(),
        bounds[:-1].tolist(),
        bounds[1:].tolist(),
        strict=True,
    ):
        if item is None or k != len(places[u]) + 1:
            continue  # the list ends before what has left the catalogue
        item_id = item.item_id
        places[u].append(RecommendedItem(item_id, k, score, chance, STRATEGIES[strategy], 1.0, own))
        if not listed[u].is_explained:
            continue
        proven = facts if _may_be_new(item, telling.moment_ms) else facts & ~NEW
        sentence = evidence.sentence(*reason(evidence.strongest(begin, end), own, proven, strategy == EXPLORE))
        reasons[u].append(
            RecommendationAttribution(
                ids[u],
                listed[u].user_id,
                item_id,
                k,
                score,
                evidence.contributions(begin, end),
                left,
                METHOD,
                sentence,
                rest,
                STRATEGIES[strategy],
                1.0,
            )
        )
    return [
        Published(
            Recommendation(
                ids[u],
                who.user_id,
                now_ms,
                who.event_time_ms,
                who.source,
                who.trigger,
                model,
                tuple(places[u]),
                who.is_explained,
            ),
            reasons[u],
        )
        for u, who in enumerate(listed)
    ]


def _may_be_new(item: CatalogItem, moment_ms: int) -> bool:
    """Not listed for longer than nobody took notice of it."""
    return item.published_at_ms is None or moment_ms - item.published_at_ms <= NEW_MS


def _disliked(recent: RecentItems, behaviours: Behaviours) -> NDArray[np.bool_]:
    """(u, R) bool: behaviours with an item that the person also showed dislike of, whatever came first."""
    disliked = np.zeros((len(recent.items), recent.items.shape[1] + 1), np.bool_)  # the last place is that of -1
    user, behaviour = np.nonzero(behaviours.gain < 0)
    disliked[user, recent.position[user, behaviour]] = True
    disliked[:, -1] = False
    return np.take_along_axis(disliked, recent.position, axis=1)


def _residuals(
    personal: NDArray[np.float64], contributions: NDArray[np.float64], bounds: NDArray[np.int64]
) -> NDArray[np.float64]:
    """What is left of each place's personal score, (f,), without the contributions between its bounds, (f + 1,)."""
    place = np.repeat(np.arange(len(personal)), np.diff(bounds))
    return personal - np.bincount(place, weights=contributions, minlength=len(personal)).astype(np.float64)


class _Evidence:
    """The causes of a batch as flat lists, named once: NumPy scalars cost more to look at than the records to make."""

    def __init__(
        self,
        causes: Contributions,
        behaviours: Behaviours,
        disliked: NDArray[np.bool_],
        catalog: Catalog,
        name_of: Callable[[int], str | None],
        telling: SentenceContext,
    ) -> None:
        at = (causes.user, causes.behaviour)
        hashes, place = np.unique(behaviours.item[at], return_inverse=True)
        # Every item that co-occurs with anything is a key of the item statistics, so its id is known; should a worker
        # not have met it yet, the hash still tells two causes apart.
        ids = [name_of(hashed) or f"hash:{hashed:016x}" for hashed in hashes.tolist()]
        items = [catalog.item(index) for index in catalog.index.lookup(hashes).tolist()]
        codes, times_ms = behaviours.action[at], behaviours.time_ms[at]
        actions, values = [ACTIONS[code] for code in codes.tolist()], causes.value.tolist()
        named = [ids[i] for i in place.tolist()]
        self._contributions = list(map(Contribution, named, actions, times_ms.tolist(), values))
        reasons = (causes.value > 0.0) & _TOLD[codes] & ~disliked[at]
        self._before = np.concatenate(([0], np.cumsum(reasons))).tolist()
        titles = [title_of(item_id if item is None else item.title) for item_id, item in zip(ids, items, strict=True)]
        # Plain tuples, as `Cause` would have them: to make one of those costs as much as all else that is done with it.
        self._causes = list(
            zip(
                [actions[i] for i in np.flatnonzero(reasons).tolist()],
                [titles[i] for i in place[reasons].tolist()],
                causes.value[reasons].tolist(),
                ago(times_ms[reasons], telling.moment_ms, telling.zone).tolist(),
                strict=True,
            )
        )
        self._said: dict[object, Explanation] = {}

    def contributions(self, begin: int, end: int) -> tuple[Contribution, ...]:
        """All that caused one place of a list, for the record."""
        return tuple(self._contributions[begin:end])

    def strongest(self, begin: int, end: int) -> list[Cause]:
        """The strongest of them that can be told, for the sentence."""
        first = self._before[begin]
        return cast("list[Cause]", self._causes[first : min(self._before[end], first + STRONGEST)])

    def sentence(self, chosen: list[Cause], claim: str) -> Explanation:
        """The sentence, made once: many places of a list have the same reason."""
        key = claim or tuple([(action, title, when) for action, title, _, when in chosen])
        sentence = self._said.get(key)
        if sentence is None:
            sentence = self._said[key] = both_languages(chosen, claim)
        return sentence
