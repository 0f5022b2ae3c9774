"""What ranks now: weights, the sequence model, and what strategies have earned; and the versions of these."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from models.ranking.evidence import Surest
from models.ranking.few_items import ADDED_NAMES, with_added
from models.ranking.newcomers import Choice, choose, with_list
from models.ranking.rank import RankingParams
from models.ranking.weights import RankingWeights
from models.sequence.model import SequenceModel
from models.vocabulary import EXPERTS, NEWCOMER_CONTEXTS, NEWCOMER_LISTS, STRATEGIES
from stream.kafka.replica import Replicated
from stream.metrics import Metrics
from stream.outcomes.strategies import Strategies
from stream.refresh.sequence import Sequences
from stream.refresh.versions import RankerModel, weights_of

logger = logging.getLogger(__name__)

FOLLOWED: Final = "auto"
"""For the list of newcomers: the one that those before them took most from."""


class Serving:
    """Swapped between two batches, never within one."""

    def __init__(
        self, params: RankingParams, strategy_feedback_max: float, metrics: Metrics, newcomer_lists: str = FOLLOWED
    ) -> None:
        """`newcomer_lists`: the expert whose list newcomers get, or `FOLLOWED`."""
        self.params = params
        """How lists are made now."""
        self.without_added = params.weights
        """The same weights without what is added for people with few items: what such people would have had else."""
        self.sequences = Sequences(metrics)
        self._own_weights = self._weights = params.weights
        self._feedback_max, self._metrics = strategy_feedback_max, metrics
        self._strategies = Strategies()
        self._strategies_changed = False
        self._list, self._context, self._added = EXPERTS[0] if newcomer_lists == FOLLOWED else newcomer_lists, "", 0.0
        self._is_followed = newcomer_lists == FOLLOWED
        self._of_arms: dict[tuple[str, str] | None, RankingWeights] = {}
        self.of_arms: dict[tuple[str, str] | None, RankingParams] = {}
        """By experiment and arm: how lists of arms with weights of their own are made now."""
        self._serve(params.weights)

    def use_for_arm(self, experiment: str, arm: str, weights: RankingWeights) -> None:
        """Rank with these for people in this arm, whatever ranks for others."""
        self._of_arms[experiment, arm] = weights
        self._renew()

    def params_of(self, arm: tuple[str, str] | None) -> RankingParams:
        """How lists of an experiment's arm are made."""
        return self.of_arms.get(arm, self.params)

    def start_with(self, weights: RankingWeights) -> None:
        """Rank with these until the models topic names others."""
        self._own_weights = weights
        self._serve(weights)

    def use_ranker(self, model: RankerModel | None) -> bool:
        """Rank with this version from now on; None: withdrawn, back to what the worker started with. Whether
        that changes it."""
        weights = self._own_weights if model is None else weights_of(model)
        if weights.version == self.params.weights.version:
            return False
        self._serve(weights)
        return True

    def _serve(self, weights: RankingWeights) -> None:
        self._weights = weights
        self.without_added = with_list(weights, self._list, self._context)
        self.params = replace(self.params, weights=with_added(self.without_added, self._added))
        self._renew()

    def _renew(self) -> None:
        self.of_arms = {
            arm: replace(self.params, weights=with_added(with_list(weights, self._list, self._context), self._added))
            for arm, weights in self._of_arms.items()
        }

    def use_sequence(self, model: SequenceModel | None) -> bool:
        """Expect with this model from now on. Whether that changes it."""
        before = self.sequences.model_version
        self.sequences.serve(model)
        self._strategies_changed = True  # its list is one of those that newcomers may get
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
        self._renew()
        self._follow(choose(self._strategies.newcomers, has_sequence=self.sequences.model is not None))

    def _follow(self, choice: Choice) -> None:
        """Newcomers get the list that those before them took most from."""
        if self._is_followed and choice.added != self._added:
            logger.info(
                "the list of newcomers is now added with weight %g for people with few items: NDCG@10 %+.4f, standard error "
                "%.4f, by %.0f of their choices",
                choice.added, *_of(choice.few), choice.few.judgements,
            )  # fmt: skip
            self._added = choice.added
            self._serve(self._weights)
        if self._is_followed and (choice.name, choice.context) != (self._list, self._context):
            logger.info(
                "people without history now get %s%s: NDCG@10 %+.4f over all-time counts, standard error %.4f, by the "
                "first choices of %.0f newcomers; made for it %+.4f, standard error %.4f",
                choice.name, f" of their {choice.context}" if choice.context else "", *_of(choice.lists),
                choice.lists.judgements, *_of(choice.contexts),
            )  # fmt: skip
            self._list, self._context = choice.name, choice.context
            self._serve(self._weights)
        output = self._metrics.output
        output.newcomers.set(choice.lists.judgements)
        for at, name in enumerate(NEWCOMER_LISTS):
            output.newcomer_list.labels(name).set(name == self._list)
            output.newcomer_gain.labels(name).set(choice.lists.better[at])
            output.newcomer_gain_error.labels(name).set(choice.lists.error[at])
        for at, context in enumerate(NEWCOMER_CONTEXTS):
            output.newcomer_context.labels(context).set(context == self._context)
            output.newcomer_context_gain.labels(context).set(choice.contexts.better[at])
            output.newcomer_context_gain_error.labels(context).set(choice.contexts.error[at])
        output.few_items_judgements.set(choice.few.judgements)
        output.few_items_added.set(self._added)
        for at, name in enumerate(ADDED_NAMES):
            output.few_items_gain.labels(name).set(choice.few.better[at])
            output.few_items_gain_error.labels(name).set(choice.few.error[at])


def _of(found: Surest) -> tuple[float, float]:
    """Gain and standard error of what serves; 0 where nothing does."""
    return (0.0, 0.0) if found.way < 0 else (float(found.better[found.way]), float(found.error[found.way]))
