"""Ranked lists -> the records other services read. Pure; ids are deterministic, so a list published twice is recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.catalog import Catalog
from models.interest import RecentItems
from models.ranking import RankedBatch
from stream.attribution import METHOD, Contributions, attribute
from stream.events import (
    ACTIONS,
    STRATEGIES,
    Contribution,
    EventSource,
    ModelVersions,
    Recommendation,
    RecommendationAttribution,
    RecommendedItem,
    Trigger,
)
from stream.explain import Cause, explain

STRONGEST = 8
"""Causes looked at for the sentence, strongest first."""

RANKER_VERSION = "additive-1"
MODEL = ModelVersions(encoder=None, sequence=None, ranker=RANKER_VERSION)


class Listed(NamedTuple):
    """For whom, and of what, one row of a ranked batch is."""

    user_id: str
    source: EventSource
    event_time_ms: int
    trigger: Trigger
    because: str = ""
    """Where the trigger is no event: what else went in, so that another list at the same offset has another id."""


class Behaviours(NamedTuple):
    """Behaviours in the rings of u users, (u, R) each, as they were given to the ranking."""

    item: NDArray[np.uint64]
    time_ms: NDArray[np.int64]
    action: NDArray[np.uint8]
    gain: NDArray[np.float64]


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
    listed: Sequence[Listed],
    ranked: RankedBatch,
    recent: RecentItems,
    behaviours: Behaviours,
    catalog: Catalog,
    name_of: Callable[[int], str | None],
    now_ms: int,
) -> list[Published]:
    """One recommendation and its attributions per user of the batch; an empty list is published too."""
    causes = attribute(ranked.contributions, recent.position, behaviours.gain)
    bounds = _bounds(causes, len(listed), ranked.items.shape[1])
    impersonal = [name for name in ranked.parts if name != "co_occurrence"]
    items, scores = ranked.items.tolist(), ranked.scores.tolist()
    parts = {name: values.tolist() for name, values in ranked.parts.items()}
    strategy, probability = ranked.strategy.tolist(), ranked.probability.tolist()
    evidence = _Evidence(causes, behaviours, catalog, name_of)
    published = []
    for u, (user_id, source, event_time_ms, trigger, because) in enumerate(listed):
        list_id = recommendation_id(user_id, source, MODEL, because)
        places: list[RecommendedItem] = []
        reasons: list[RecommendationAttribution] = []
        for k, index in enumerate(items[u]):
            item = catalog.item(index) if index >= 0 else None
            if item is None:
                break
            own_parts = {name: parts[name][u][k] for name in parts}
            places.append(
                RecommendedItem(
                    item.item_id,
                    k + 1,
                    scores[u][k],
                    probability[u][k],
                    STRATEGIES[strategy[u][k]],
                    1.0,
                    own_parts,
                )
            )
            contributions, named = evidence.of(*bounds[u][k])
            explained = sum(c.contribution for c in contributions) + sum(own_parts[name] for name in impersonal)
            reasons.append(
                RecommendationAttribution(
                    list_id,
                    user_id,
                    item.item_id,
                    k + 1,
                    scores[u][k],
                    contributions,
                    scores[u][k] - explained,
                    METHOD,
                    explain(named, own_parts),
                )
            )
        recommendation = Recommendation(list_id, user_id, now_ms, event_time_ms, source, trigger, MODEL, tuple(places))
        published.append(Published(recommendation, reasons))
    return published


def _bounds(causes: Contributions, users: int, places: int) -> list[list[tuple[int, int]]]:
    """Where the contributions to each place begin and end."""
    at = np.searchsorted(causes.user * places + causes.rank, np.arange(users * places + 1))
    pairs = np.stack([at[:-1], at[1:]], axis=1).reshape(users, places, 2).tolist()
    return [[(begin, end) for begin, end in row] for row in pairs]


class _Evidence:
    """The causes of a batch as flat lists, named once: NumPy scalars cost more to look at than the records to make."""

    def __init__(
        self,
        causes: Contributions,
        behaviours: Behaviours,
        catalog: Catalog,
        name_of: Callable[[int], str | None],
    ) -> None:
        at = (causes.user, causes.behaviour)
        hashes, place = np.unique(behaviours.item[at], return_inverse=True)
        # Every item that co-occurs with anything is a key of the item statistics, so its id is known; should a worker
        # not have met it yet, the hash still tells two causes apart.
        ids = [name_of(hashed) or f"hash:{hashed:016x}" for hashed in hashes.tolist()]
        items = [catalog.item(index) for index in catalog.index.lookup(hashes).tolist()]
        titles = [item_id if item is None else item.title for item_id, item in zip(ids, items, strict=True)]
        self._ids = [ids[i] for i in place.tolist()]
        self._titles = [titles[i] for i in place.tolist()]
        self._actions = [ACTIONS[code] for code in behaviours.action[at].tolist()]
        self._times = behaviours.time_ms[at].tolist()
        self._values = causes.value.tolist()

    def of(self, begin: int, end: int) -> tuple[tuple[Contribution, ...], list[Cause]]:
        """What caused one place of a list, for the record and for the sentence."""
        at = slice(begin, end)
        contributions = map(Contribution, self._ids[at], self._actions[at], self._times[at], self._values[at])
        at = slice(begin, min(end, begin + STRONGEST))
        return tuple(contributions), list(map(Cause, self._actions[at], self._titles[at], self._values[at]))
