"""Contenders that Penchant has to beat, tuned on the warm-up part as it is. Sources: deploy/docs/evaluation.md.

They must not know Penchant's own ranking, nor anything after the moment that is asked about.
"""

from __future__ import annotations

from typing import Final

from models.evaluation.baselines.co_occurrence_plain import co_occurrence_plain
from models.evaluation.baselines.co_occurrence_tuned import co_occurrence_tuned
from models.evaluation.baselines.content import content
from models.evaluation.baselines.ease import ease
from models.evaluation.baselines.implicit_factors import als, bpr
from models.evaluation.baselines.item_cf import item_cf
from models.evaluation.baselines.popularity import Popularity
from models.evaluation.baselines.recency_popularity import recency_popularity
from models.evaluation.baselines.user_cf import user_cf
from models.evaluation.contract import Factory

BASELINES: Final[dict[str, Factory]] = {
    "popularity": Popularity,
    "recency_popularity": recency_popularity,
    "co_occurrence_plain": co_occurrence_plain,
    "co_occurrence_tuned": co_occurrence_tuned,
    "item_cf": item_cf,
    "user_cf": user_cf,
    "ease": ease,
    "als": als,
    "bpr": bpr,
    "content": content,
}
"""By name, in the order of the report."""
