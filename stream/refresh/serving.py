"""What ranks now: weights, the sequence model, and what strategies have earned; and the versions of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.ranking.rank import RankingParams
from models.ranking.weights import RankingWeights
from models.sequence.model import SequenceModel
from models.vocabulary import STRATEGIES
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.outcomes.strategies import Strategies
from stream.refresh.sequence import Sequences
from stream.refresh.versions import RankerModel, weights_of


class Serving:
    """Swapped between two batches, never within one."""

    def __init__(self, params: RankingParams, strategy_feedback_max: float, metrics: Metrics) -> None:
        self.params = params
        """How lists are made now."""
        self.sequences = Sequences(metrics)
        self._own_weights = params.weights
        self._feedback_max, self._metrics = strategy_feedback_max, metrics
        self._strategies = Strategies()
        self._strategies_changed = False

    def start_with(self, weights: RankingWeights) -> None:
        """Rank with these until the models topic names others."""
        self._own_weights = weights
        self.params = replace(self.params, weights=weights)

    def use_ranker(self, model: RankerModel | None) -> bool:
        """Rank with this version from now on; None: withdrawn, back to what the worker started with. Whether
        that changes it."""
        weights = self._own_weights if model is None else weights_of(model)
        if weights.version == self.params.weights.version:
            return False
        self.params = replace(self.params, weights=weights)
        return True

    def use_sequence(self, model: SequenceModel | None) -> bool:
        """Expect with this model from now on. Whether that changes it."""
        before = self.sequences.model_version
        self.sequences.serve(model)
        return self.sequences.model_version != before

    def replicate_strategies(self, records: Sequence[Replicated]) -> None:
        """What strategies earned; `weigh_strategies` has ranking take it into account."""
        self._strategies.replicate((record.key, record.value) for record in records)
        self._strategies_changed = True

    def weigh_strategies(self) -> None:
        """Rank by what strategies have earned by now, from the next batch on. Once a second is enough: every commit of every
        partition says something new, and each time all cells are added up."""
        if not self._strategies_changed:
            return
        self._strategies_changed = False
        feedback = self._strategies.feedback(self._feedback_max)
        for strategy, added in zip(STRATEGIES, feedback.tolist(), strict=True):
            self._metrics.output.strategy_feedback.labels(strategy).set(added)
        interest, popular, cold_start, *_ = feedback.tolist()
        self.params = replace(self.params, feedback=(interest, popular, cold_start))
