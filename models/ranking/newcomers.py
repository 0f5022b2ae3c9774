"""What people without any history are shown: of some impersonal lists the one that their like have taken from most.

The lists are by single decayed counts, of all engagements and of entries, those that were the first of their user; and what the
sequence model expects of somebody without history. What a newcomer takes first judges all of them: each gains NDCG@10 of that
item in its list at that moment. Another list than that of all-time counts serves while it is surely better
(`models.ranking.evidence`).

The list that serves is also made for the hour, the weekday and the place or device of the moment: its count times how much more
than usual each item is engaged with then (`models.ranking.features.moment_feature`: few engagements say little). One of these
serves while what newcomers took says that it is surely better than the list without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from models.arrays import F8, I4, I8
from models.items.priors import Priors
from models.items.record import MOMENT_STARTS
from models.ranking import evidence
from models.ranking.evidence import NONE, Evidence, Surest, add_up, surest, worth
from models.ranking.features import FEATURES
from models.ranking.few_items import ADDED, with_added
from models.ranking.weights import RankingWeights
from models.vocabulary import EXPERTS, NEWCOMER_CONTEXTS, NEWCOMER_LISTS, SEQUENCE

CONTEXT_SURE: Final = 3.0
"""Standard errors by which a list made for a context has to be better: most often contexts do not matter, and with two, one was
served by chance to some newcomers in a hundred on every real set."""

_SEQUENCE: Final = NEWCOMER_LISTS.index(SEQUENCE)
_POPULARITY: Final = FEATURES.index("popularity")
_WAYS: Final = len(NEWCOMER_LISTS), len(NEWCOMER_CONTEXTS), len(ADDED)


class EvidenceOf(NamedTuple):
    """What was said of one list, the one that served then: of another one it says nothing."""

    name: str
    evidence: Evidence


class NewcomerEvidence(NamedTuple):
    """What newcomers of one partition said."""

    lists: Evidence
    """Of `NEWCOMER_LISTS`, over the first of them."""
    contexts: EvidenceOf
    """Of a list made for each of `NEWCOMER_CONTEXTS`, over itself."""
    few: EvidenceOf
    """Of a list added with each of `models.ranking.few_items.ADDED`, over nothing added: what people with few items said."""


class Choice(NamedTuple):
    """What newcomers get, and why."""

    lists: Surest
    contexts: Surest
    few: Surest

    @property
    def name(self) -> str:
        """Of the list."""
        return NEWCOMER_LISTS[max(self.lists.way, 0)]

    @property
    def context(self) -> str:
        """What it is made for; empty: for nothing."""
        return "" if self.contexts.way == NONE else NEWCOMER_CONTEXTS[self.contexts.way]

    @property
    def added(self) -> float:
        """Weight with which the list is added for people with few items."""
        return 0.0 if self.few.way == NONE else ADDED[self.few.way]


def no_evidence() -> NewcomerEvidence:
    """Nobody has come yet."""
    lists, contexts, few = (evidence.no_evidence(ways) for ways in _WAYS)
    return NewcomerEvidence(lists, EvidenceOf("", contexts), EvidenceOf("", few))


def gains(priors: Priors, expected: I4, taken: I8) -> F8:
    """(m, `NEWCOMER_LISTS`) float64: what each list was worth to newcomers who took `taken`.

    Args:
        priors: what led at that moment.
        expected: (k,) int32 what the sequence model expects of somebody without history, best first; empty without one.
        taken: (m,) dense indices, -1 of items that nobody knows.
    """
    last = np.full((1, evidence.JUDGED_AT), -1, np.int32)
    last[0, : min(len(expected), evidence.JUDGED_AT)] = expected[: evidence.JUDGED_AT]
    return np.concatenate((worth(priors.leaders[None], taken), worth(last[None], taken)), axis=1)


def gains_in_context(priors: Priors, taken: I8, bins: I8) -> F8:
    """(m, `NEWCOMER_CONTEXTS`) float64: how much more the list of `priors.followed` was worth made for each context of theirs.
    0 where the context is not known, or another one than led is of.

    Args:
        priors, taken: as for `gains`.
        bins: (m, 3) the bins of `models.items.record.MOMENTS` in which they took it.
    """
    plain = worth(priors.leaders[None, priors.followed, None], taken)
    better = np.zeros((len(taken), len(NEWCOMER_CONTEXTS)))
    scene = bins[:, 2] - MOMENT_STARTS[2]
    rows = (
        np.where(bins[:, 0] == priors.bins[0], 0, -1),
        np.where(bins[:, 1] == priors.bins[1], 1, -1),
        np.where(scene > 0, 1 + scene, -1),
    )
    for c, row in enumerate(rows):
        lists = priors.in_context[row]
        told = (row >= 0) & (lists >= 0).any(axis=1)
        better[:, c] = np.where(told, worth(lists[:, None], taken)[:, 0] - plain[:, 0], 0.0)
    return better


def remember(before: NewcomerEvidence, gained: F8, name: str, in_context: F8) -> NewcomerEvidence:
    """With m newcomers more, in the order in which they came: what `gains` says, and `gains_in_context` of the list of this
    name."""
    return before._replace(
        lists=evidence.remember(before.lists, gained - gained[:, :1]), contexts=_of(before.contexts, name, in_context)
    )


def remember_few(before: NewcomerEvidence, name: str, better: F8) -> NewcomerEvidence:
    """With what m people with few items said of the list of this name, `models.ranking.few_items.better_with_added`, in the
    order in which they did."""
    return before._replace(few=_of(before.few, name, better))


def _of(before: EvidenceOf, name: str, better: F8) -> EvidenceOf:
    """Of another list than before it is learned anew."""
    known = before.evidence if before.name == name else evidence.no_evidence(better.shape[1])
    return EvidenceOf(name, evidence.remember(known, better))


def warm_up() -> None:
    """Compile what runs compiled, before a newcomer waits for it."""
    remember(no_evidence(), np.zeros((1, len(NEWCOMER_LISTS))), EXPERTS[0], np.zeros((1, len(NEWCOMER_CONTEXTS))))


def choose(told: Iterable[NewcomerEvidence], *, has_sequence: bool) -> Choice:
    """By what newcomers of all partitions said: the list that is surely better than all-time counts, what it is made for, and
    with what weight it is added; where there is no sequence model, its list is none."""
    told = list(told)
    allowed = np.ones(len(NEWCOMER_LISTS), np.bool_)
    allowed[_SEQUENCE] = has_sequence
    lists = surest(add_up([each.lists for each in told], len(NEWCOMER_LISTS)), allowed)
    name = NEWCOMER_LISTS[max(lists.way, 0)]
    contexts = add_up([each.contexts.evidence for each in told if each.contexts.name == name], len(NEWCOMER_CONTEXTS))
    few = add_up([each.few.evidence for each in told if each.few.name == name], len(ADDED))
    return Choice(lists, surest(contexts, by=CONTEXT_SURE), surest(few))


def with_choice(weights: RankingWeights, choice: Choice) -> RankingWeights:
    """These weights, as they serve with this choice."""
    return with_added(with_list(weights, choice.name, choice.context), choice.added)


def followed(weights: RankingWeights) -> int:
    """Position in `EXPERTS` of the count whose list is made for contexts too."""
    return 0 if weights.cold_expert == SEQUENCE else EXPERTS.index(weights.cold_expert)


def with_list(weights: RankingWeights, name: str, context: str = "") -> RankingWeights:
    """The same weights, newcomers getting this list, for this context; `popularity` alone: what the weights say themselves."""
    if name == EXPERTS[0] and not context:
        return weights
    cold = np.zeros(len(FEATURES))
    cold[FEATURES.index(name)] = 1.0
    if name == EXPERTS[0]:
        if np.delete(weights.cold, _POPULARITY).any():
            return weights  # they have learned something of their own for newcomers, of which nobody judged this
        cold = weights.cold.copy()
    if context:
        # As much as the count: the list is in order of the count times how much more than usual an item is taken then.
        cold[FEATURES.index(context)] = cold[FEATURES.index(name)]
    return weights._replace(cold=cold, cold_expert=name, cold_context=context)
