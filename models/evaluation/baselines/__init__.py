"""Contenders that Penchant has to beat, tuned on the warm-up part as it is."""

from __future__ import annotations

from typing import Final

from models.evaluation.baselines.co_occurrence_plain import co_occurrence_plain
from models.evaluation.baselines.co_occurrence_tuned import TunedCoOccurrence
from models.evaluation.baselines.popularity import Popularity
from models.evaluation.baselines.recency_popularity import RecencyPopularity
from models.evaluation.contract import Factory

BASELINES: Final[dict[str, Factory]] = {
    "popularity": Popularity,
    "recency_popularity": RecencyPopularity,
    "co_occurrence_plain": co_occurrence_plain,
    "co_occurrence_tuned": TunedCoOccurrence,
}
