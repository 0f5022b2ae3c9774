"""Ranked lists -> the records other services read. Pure; ids are deterministic, so a list published twice is recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.catalog import Catalog
from models.interest import RecentItems
from models.ranking import SPLIT, RankedBatch
from stream.asking import Behaviours
from stream.attribution import METHOD, Contributions, attribute, strongest
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


def model_versions(ranker: str, encoder: str | None = None, sequence: str | None = None) -> ModelVersions:
    """What a list was made with."""
    return ModelVersions(encoder=encoder, sequence=sequence, ranker=ranker)


class Listed(NamedTuple):
    """For whom, and of what, one row of a ranked batch is."""

    user_id: str
    source: EventSource
    event_time_ms: int
    trigger: Trigger
    because: str = ""
    """Where the trigger is no event: what else went in, so that another list at the same offset has another id."""


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
    contributions_max: int,
    model: ModelVersions,
) -> list[Published]:
    """One recommendation and its attributions per user of the batch; an empty list is published too."""
    # Flat columns over all places of all lists, so that a place costs one step of a loop and not a dozen small calls.
    filled = ranked.items >= 0
    user, rank = np.nonzero(filled)
    causes, others = strongest(
        attribute(ranked.contributions, recent.position, behaviours.gain),
        len(listed),
        filled.shape[1],
        contributions_max,
    )
    bounds = np.searchsorted(
        causes.user * filled.shape[1] + causes.rank, np.append(np.flatnonzero(filled), filled.size)
    )
    impersonal = sum((v[filled] for name, v in ranked.parts.items() if name not in SPLIT), np.zeros(len(user)))
    residual = _residuals(ranked.scores[filled] - impersonal - others[filled], causes.value, bounds)
    items = [catalog.item(index) for index in ranked.items[filled].tolist()]
    names, columns = tuple(ranked.parts), [values[filled].tolist() for values in ranked.parts.values()]
    parts = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    ids = [recommendation_id(who.user_id, who.source, model, who.because) for who in listed]
    evidence = _Evidence(causes, behaviours, catalog, name_of)
    places: list[list[RecommendedItem]] = [[] for _ in listed]
    reasons: list[list[RecommendationAttribution]] = [[] for _ in listed]
    for u, k, item, score, chance, strategy, own, rest, left, begin, end in zip(
        user.tolist(),
        (rank + 1).tolist(),
        items,
        ranked.scores[filled].tolist(),
        ranked.probability[filled].tolist(),
        ranked.strategy[filled].tolist(),
        parts,
        others[filled].tolist(),
        residual.tolist(),
        bounds[:-1].tolist(),
        bounds[1:].tolist(),
        strict=True,
    ):
        if item is None or k != len(places[u]) + 1:
            continue  # the list ends before what has left the catalogue
        item_id = item.item_id
        places[u].append(RecommendedItem(item_id, k, score, chance, STRATEGIES[strategy], 1.0, own))
        sentence = explain(evidence.strongest(begin, end), own)
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
            )
        )
    return [
        Published(
            Recommendation(
                ids[u], who.user_id, now_ms, who.event_time_ms, who.source, who.trigger, model, tuple(places[u])
            ),
            reasons[u],
        )
        for u, who in enumerate(listed)
    ]


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
        actions = [ACTIONS[code] for code in behaviours.action[at].tolist()]
        values = causes.value.tolist()
        place = place.tolist()
        named = [ids[i] for i in place]
        self._contributions = list(map(Contribution, named, actions, behaviours.time_ms[at].tolist(), values))
        self._causes = list(map(Cause, actions, [titles[i] for i in place], values))

    def contributions(self, begin: int, end: int) -> tuple[Contribution, ...]:
        """All that caused one place of a list, for the record."""
        return tuple(self._contributions[begin:end])

    def strongest(self, begin: int, end: int) -> list[Cause]:
        """The strongest causes of it, for the sentence."""
        return self._causes[begin : min(end, begin + STRONGEST)]
