"""People with a few items each, whose lists can be made as if they had met fewer."""

from __future__ import annotations

import numpy as np
from ranking_world import ITEMS, NOW_MS, world

from models.items.priors import compute_priors
from models.items.vectors import ItemVectors
from models.ranking.features import Question
from models.ranking.place_vectors import past_of_items
from models.ranking.rank import RankingParams
from models.reasons.removal import Past
from models.reasons.what_if import RankingInputs, WhatIf
from stream.params import interest_params
from stream.settings import Settings

PLACES = 6


def as_if(seed, texts=False, top_k=5):
    rng = np.random.default_rng(seed)
    catalog, stats = world(rng)
    history = rng.permutation(ITEMS)[:PLACES].astype(np.int32)[None, :]
    gains = rng.choice([0.2, 1.0, 4.0, -2.0, 0.0], (1, PLACES), p=[0.3, 0.3, 0.2, 0.1, 0.1])
    ages = np.sort(rng.random((1, PLACES)) * 1e6)
    ages -= ages[:, :1]
    moment = np.array([NOW_MS]), np.array([60.0]), np.full((1, 3), -1)
    question = Question(history, gains, history.copy(), *moment, ages)
    vectors = None
    if texts:
        vectors = ItemVectors("m", 8)
        rows = rng.normal(size=(ITEMS, 8)).astype(np.float32)
        vectors.put(np.arange(ITEMS), rows / np.linalg.norm(rows, axis=1, keepdims=True))
    past = Past(question, None if vectors is None else past_of_items(history, vectors))
    priors = compute_priors(catalog, stats, candidates_each=50, now_ms=NOW_MS)
    interest = interest_params(Settings())
    return WhatIf(past, RankingInputs(catalog, stats, priors, RankingParams(top_k=top_k), interest, vectors))
