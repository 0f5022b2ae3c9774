"""A list as it would be had the person not met some items: ranked by the code that serves."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.items.catalog import Catalog
from models.items.index import ItemIndex
from models.items.near import NO_LIMIT
from models.items.priors import Priors
from models.items.stats import ItemStatistics
from models.items.vectors import ItemVectors
from models.ranking.features import items_of
from models.ranking.rank import RankedBatch, RankingParams, SequenceScores, features_of, rank, weights_of
from models.ranking.semantics import InterestParams, Semantics, semantics
from models.reasons.removal import Past, rows_without, without
from models.sequence.expectation import expectation
from models.sequence.history import FirstEngagements
from models.sequence.leave_one_out import LeftOut, leave_one_out, with_only
from models.sequence.model import SequenceModel

_AT_ONCE = 64


class RankingInputs(NamedTuple):
    """What lists are made of beside the person."""

    catalog: Catalog
    stats: ItemStatistics
    priors: Priors
    params: RankingParams
    interest: InterestParams
    vectors: ItemVectors | None
    """Of the catalogue's texts; None without an encoder."""


class SequencePast(NamedTuple):
    """What the sequence model reads of the person."""

    model: SequenceModel
    history: FirstEngagements
    """Of one user."""
    places: NDArray[np.uint64]
    """(H,) uint64 hashes: the items of the places that may be taken out."""

    def expected(self, removed: NDArray[np.bool_], now_ms: NDArray[np.int64], index: ItemIndex) -> SequenceScores:
        """What it expects for each row of `removed` (n, H)."""
        items, times_ms, lengths = self.history
        used = np.arange(items.shape[1]) < lengths[0]
        kept = np.stack([used & ~np.isin(items[0], self.places[row]) for row in removed])
        return expectation(self.model, *with_only(items[0], times_ms[0], kept), now_ms, index)


class WhatIf:
    """One person's list with any part of their past taken out."""

    def __init__(self, past: Past, inputs: RankingInputs, sequence: SequencePast | None = None) -> None:
        self.past, self.inputs, self.sequence = past, inputs, sequence

    def rank(self, removed: NDArray[np.bool_] | None = None) -> RankedBatch:
        """A list per row of `removed` (n, H) bool; of the past as it is where that is None."""
        return self._ranked(self._nothing() if removed is None else removed, self.inputs.params)

    def leads(self, sets: list[tuple[int, ...]]) -> NDArray[np.int32]:
        """`models.reasons.counterfactual.Leads`."""
        removed = rows_without(self.past.question.history.shape[1], sets)
        # Two, not one: equal scores are put in order after the exact sum, among what is listed.
        params = replace(self.inputs.params, top_k=2)
        found = [
            self._ranked(removed[start : start + _AT_ONCE], params).items[:, 0]
            for start in range(0, len(removed), _AT_ONCE)
        ]
        leading: NDArray[np.int32] = np.concatenate(found)
        return leading

    def scores(self, removed: NDArray[np.bool_], item: int) -> NDArray[np.float64]:
        """(n,) float64: the score of one item for each row of `removed`, with the weights of the whole past.

        How many items somebody has chooses their weights; that is no property of any of them, so it is held.
        """
        inputs, items = self.inputs, items_of(self.inputs.catalog, self.inputs.stats)
        weights = self.weights()
        scores = np.empty(len(removed))
        for start in range(0, len(removed), _AT_ONCE):
            past = without(self.past, removed[start : start + _AT_ONCE])
            text = self._text(past)
            if text is not None:
                text = text._replace(candidates=np.full((len(past.question.history), 0), -1, np.int32))
            only = 0, np.array([item], np.int32)
            sequence = self._expected(removed[start : start + _AT_ONCE], past)
            found, x = features_of(past.question, items, inputs.priors, only, text, sequence)
            scores[start : start + _AT_ONCE] = (x @ weights)[found.item == item]
        return scores

    def whole(self) -> Past:
        """The past with nothing taken out, as `rank` reads it."""
        return without(self.past, self._nothing())

    def weights(self) -> NDArray[np.float64]:
        """(F,) float64: of the features, for the whole past."""
        items = items_of(self.inputs.catalog, self.inputs.stats)
        weights: NDArray[np.float64] = weights_of(
            self.whole().question, items, self.inputs.params.weights, self.text()
        )[0]
        return weights

    def text(self) -> Semantics | None:
        """Interests by text of the whole past."""
        return self._text(self.whole())

    def left_out(self, item: int) -> LeftOut | None:
        """What the sequence model expects of an item without each event; None without a model."""
        if self.sequence is None:
            return None
        question = np.array([[item]], np.int32)
        model, now_ms = self.sequence.model, self.past.question.now_ms
        return leave_one_out(model, *self.sequence.history, now_ms, self.inputs.catalog.index, question)[0]

    def _nothing(self) -> NDArray[np.bool_]:
        return np.zeros((1, self.past.question.history.shape[1]), np.bool_)

    def _ranked(self, removed: NDArray[np.bool_], params: RankingParams) -> RankedBatch:
        inputs, past = self.inputs, without(self.past, removed)
        return rank(
            past.question,
            catalog=inputs.catalog,
            stats=inputs.stats,
            priors=inputs.priors,
            params=params,
            semantics=self._text(past),
            sequence=self._expected(removed, past),
        )

    def _expected(self, removed: NDArray[np.bool_], past: Past) -> SequenceScores | None:
        if self.sequence is None:
            return None
        return self.sequence.expected(removed, past.question.now_ms, self.inputs.catalog.index)

    def _text(self, past: Past) -> Semantics | None:
        if past.texts is None or self.inputs.vectors is None:
            return None
        return semantics(
            past.texts,
            past.question.gains,
            past.question.ages_s,
            self.inputs.vectors,
            self.inputs.catalog.recommendable,
            self.inputs.interest,
            NO_LIMIT,  # else a list would depend on how often it was asked for
        )
