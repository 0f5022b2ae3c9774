"""Lists of a small world with their records: what `stream.refresh.publish` makes of a ranked batch."""

from __future__ import annotations

from datetime import UTC
from typing import NamedTuple

import numpy as np
from ranking_world import HASHES, IDS, ITEMS, NOW_MS, world

from models.items.catalog import CatalogItem
from models.items.facts import item_facts
from models.items.priors import compute_priors
from models.ranking.features import Question
from models.ranking.rank import RankingParams, rank
from models.ranking.recent import recent_items
from models.vocabulary import ACTIONS
from stream.reasons.language import languages
from stream.reasons.phrases import phrases_of
from stream.refresh.publish import ListHeader, build_records, model_versions
from stream.refresh.question import Behaviours
from stream.refresh.reasons import SentenceContext, WrittenReasons
from stream.refresh.words import Naming, Words
from stream.wire.records import EventSource, Recommendation

MODEL = model_versions("w1")
NAMES = dict(zip(HASHES.tolist(), IDS, strict=True))
GAINS = {"view": 0.2, "click": 1.0, "like": 2.0, "dislike": -2.0, "purchase": 4.0}


def behaviours_of(rng, users, width=12):
    action = rng.choice([ACTIONS.index(name) for name in GAINS], (users, width)).astype(np.uint8)
    gain = np.array([GAINS.get(name, 0.0) for name in ACTIONS])[action] * (1 + rng.random((users, width)))
    item = HASHES[rng.integers(0, ITEMS, (users, width))]
    item[rng.random((users, width)) < 0.2] = 0
    return Behaviours(item, NOW_MS - rng.integers(0, 10**9, (users, width)), action, np.where(item != 0, gain, 0.0))


def asked_by(catalog, recent):
    users = len(recent.items)
    moment = np.full(users, NOW_MS), np.zeros(users), np.full((users, 3), -1)
    ages_s = np.tile(np.arange(recent.items.shape[1]) * 900.0, (users, 1))
    excluded = np.full((users, 1), -1, np.int32)
    return Question(catalog.index.lookup(recent.items), recent.gains, excluded, *moment, ages_s)


LANGUAGES = languages()["en"], languages()["zh"]


class Made(NamedTuple):
    """What is published for one user, read again."""

    recommendation: Recommendation
    reasons: WrittenReasons | None
    changed: bool


def read_again(published):
    return [Made(each.list.record, each.reasons, each.changed) for each in published]


def ranked_world(seed, users=3, top_k=5, empty=False, untold=False):
    """`(ranked, recent, behaviours, catalog, stats)`"""
    rng = np.random.default_rng(seed)
    catalog, stats = world(rng, untold=untold)
    behaviours = behaviours_of(rng, users)
    if empty:
        behaviours = behaviours._replace(item=np.zeros_like(behaviours.item), gain=np.zeros_like(behaviours.gain))
    recent = recent_items(behaviours.item, behaviours.time_ms, behaviours.gain, 6)
    ranked = rank(
        asked_by(catalog, recent),
        catalog=catalog,
        stats=stats,
        priors=compute_priors(catalog, stats, candidates_each=50, now_ms=NOW_MS),
        params=RankingParams(top_k=top_k),
    )
    return ranked, recent, behaviours, catalog, stats


def publish(
    seed,
    users=3,
    top_k=5,
    offset=77,
    empty=False,
    untold=False,
    name_of=NAMES.get,
    most=0,
    speaks=LANGUAGES,
    change=None,
    gone=(),
    listed_ms=None,
):
    """`change`: of the ranked batch before its records; `gone`: items removed by then, the others listed at `listed_ms`."""
    ranked, recent, behaviours, catalog, stats = ranked_world(seed, users, top_k, empty, untold)
    ranked = ranked if change is None else change(ranked)
    catalog = catalog.apply(dict.fromkeys(gone))
    if listed_ms is not None:
        catalog = catalog.apply({i: CatalogItem(i, f"Title of {i}", published_at_ms=listed_ms) for i in IDS})
    listed = [ListHeader(f"u{u}", EventSource("interest.events", 2, offset), NOW_MS - u, "event") for u in range(users)]
    telling = SentenceContext(item_facts(ranked.items, stats, NOW_MS), NOW_MS, UTC, phrases_of(speaks))
    naming = Naming(Words(), catalog, name_of)
    return read_again(
        build_records(listed, ranked, recent, behaviours, naming, NOW_MS, most, [MODEL] * len(listed), telling)
    )
