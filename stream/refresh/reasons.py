"""Ranked lists and what caused them -> one record of reasons a list. Pure.

Arrays over all places of a batch, so that a place costs a few steps of a loop and not a dozen small calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import Final, NamedTuple

import numpy as np
from msgspec.json import encode
from numpy.typing import NDArray

from models.arrays import I8
from models.items.facts import NEW, NEW_MS
from models.ranking.placed import Placed
from models.ranking.rank import SPLIT, RankedBatch
from models.ranking.recent import RecentItems
from models.reasons.citations import citations_of
from models.reasons.contributions import METHOD, contributions_of, relative_gaps
from models.vocabulary import ACTIONS, EXPLORE
from stream.reasons.ago import CODES, ago
from stream.reasons.choice import Told, choose
from stream.reasons.language import ACTIONS_TOLD, CLAIMS
from stream.reasons.phrases import Phrases
from stream.refresh.json_bytes import MILLION
from stream.refresh.question import Behaviours
from stream.refresh.reason_bytes import PlaceNumbers, behaviours_json, places_json
from stream.refresh.sentence_bytes import SaidOf, sentences_json
from stream.refresh.words import Naming
from stream.wire.reasons import Reasons
from stream.wire.records import reasons_decoder

FATIGUE: Final = "fatigue"
"""Name of a part, and of a reason to move."""

_TOLD = np.isin(np.array(ACTIONS), ACTIONS_TOLD)
"""By action code: whether it can be a reason."""


class SentenceContext(NamedTuple):
    """What sentences need beside the numbers."""

    facts: NDArray[np.uint8]
    """(u, k) uint8 bits of `models.items.facts`, of the items of the ranked batch."""
    moment_ms: int
    """What \"yesterday\" is the day before of."""
    zone: tzinfo
    phrases: Phrases
    """Of the languages of the sentences."""


class ExplainedBatch(NamedTuple):
    """The lists of u users, and what their reasons are made of."""

    list_ids: Sequence[str]
    user_ids: Sequence[str]
    explained: NDArray[np.bool_]
    """(u, k): places that get a reason; the first ones of a list, or none of it."""
    word: I8
    """Of the items of those places, in their order: numbers of words."""
    ranked: RankedBatch
    recent: RecentItems
    behaviours: Behaviours


NOTHING_SAID: Final = np.zeros(0, np.int64)


class WrittenReasons(NamedTuple):
    """A record of reasons as it is sent."""

    value: bytes
    gap: float
    """As the record has it."""
    claim: I8 = NOTHING_SAID
    """(n,) what is said of each place: code of `stream.reasons.choice`."""
    named: I8 = NOTHING_SAID
    """(n,) which of the record's behaviours is named first, -1 = none."""

    @property
    def record(self) -> Reasons:
        """What was written, read again."""
        return reasons_decoder.decode(self.value)


def build_reasons(
    batch: ExplainedBatch, naming: Naming, contributions_max: int, telling: SentenceContext
) -> list[WrittenReasons]:
    """A record for each of the u users; without places where nothing is explained."""
    explained, ranked, behaviours = batch.explained, batch.ranked, batch.behaviours
    users, k = explained.shape
    item_contributions = ranked.contributions
    if not explained.all():
        item_contributions = np.where(explained[:, :, None], item_contributions, 0.0)
    hidden = naming.are_sensitive(batch.recent.items)
    told_contributions = item_contributions if hidden is None else np.where(hidden[:, None], 0.0, item_contributions)
    causes, others = contributions_of(told_contributions, batch.recent, behaviours.gain, contributions_max)
    if hidden is not None:
        others = others + np.where(hidden[:, None], item_contributions, 0.0).sum(axis=2)
    places = np.flatnonzero(explained)
    bounds = np.searchsorted(causes.user * k + causes.rank, np.append(places, explained.size))
    user, place = places // k, np.repeat(np.arange(len(places)), np.diff(bounds))
    citations = citations_of(causes, users, behaviours.item.shape[1])
    at = (citations.user, citations.behaviour)
    cited = _cited(behaviours, at, _disliked(batch.recent, behaviours)[at], naming, telling)
    words = naming.words
    parts, names = np.stack([values[explained] for values in ranked.parts.values()], axis=1), tuple(ranked.parts)
    strategy = ranked.strategy[explained]
    choice = choose(
        Told(
            causes.value,
            cited.title[citations.cited],
            cited.said[citations.cited],
            cited.word[citations.cited],
        ),
        bounds,
        user,
        batch.word,
        parts,
        names,
        _facts(words.listed_ms[batch.word], telling.facts[explained], telling.moment_ms),
        strategy == EXPLORE,
        _told_of_places(ranked, explained, naming),
    )
    rounded, value, left = _millionths(parts, names, causes.value, place)
    behaviour = citations.cited - citations.start[causes.user]
    starts = np.searchsorted(user, np.arange(users + 1))
    numbers = PlaceNumbers(rounded, left, choice.reason, strategy, behaviour, value, bounds)
    if (placed := ranked.placed) is not None:
        numbers = numbers._replace(
            propensity=np.maximum(np.rint(placed.propensity[explained].astype(np.float64) * MILLION), 1).astype(
                np.int64
            ),
            moved_by=placed.moved_by[explained],
            promoted=placed.promoted[explained],
            names=placed.names,
        )
    told = places_json(words.ids(batch.word), numbers, starts)
    action = behaviours.action[at]
    written = behaviours_json(words.ids(cited.word), action, behaviours.time_ms[at], citations.start)
    gaps = _gaps(ranked, explained, others, causes.value, place).tolist()
    named = choice.named[choice.is_first]
    sentences = sentences_json(
        telling.phrases,
        SaidOf(words.data, words.middle[cited.word], words.end[cited.word], action, cited.when),
        choice.claim[choice.is_first],
        np.where(named >= 0, np.append(citations.cited, -1)[named], -1),
        np.searchsorted(user[choice.is_first], np.arange(users + 1)),
    )
    made, between = encode(METHOD), encode(names)
    first = np.where(choice.named[:, 0] >= 0, np.append(behaviour, -1)[choice.named[:, 0]], -1)
    bound = starts.tolist()
    return [
        WrittenReasons(
            b'{"kind":"reasons","recommendation_id":%b,"user_id":%b,"method":%b,"part_names":%b,"behaviours":[%b],"places":[%b],'
            b'"reasons":[%b],"gap":%b,"counterfactual":null,"schema_version":2}'
            % (
                encode(list_id),
                encode(user_id),
                made,
                between,
                written.of(u),
                told.of(u),
                sentences.of(u),
                encode(gap),
            ),
            gap,
            choice.claim[bound[u] : bound[u + 1]],
            first[bound[u] : bound[u + 1]],
        )
        for u, (list_id, user_id, gap) in enumerate(zip(batch.list_ids, batch.user_ids, gaps, strict=True))
    ]


def _told_of_places(ranked: RankedBatch, explained: NDArray[np.bool_], naming: Naming) -> NDArray[np.int64] | None:
    """(f,): the claim to make of a place because of what it holds or how that came to be there, -1 = none."""
    placed, sensitive = ranked.placed, naming.sensitive
    if placed is None and sensitive is None:
        return None
    claim = np.full(int(explained.sum()), -1)
    if placed is not None:
        _tell_of_moves(ranked, placed, explained, claim)
    if sensitive is not None:
        # To say why somebody would want it is to say something of them. That it is an advertisement has to be said.
        claim[sensitive.are(ranked.items[explained]) & (claim != CLAIMS.index("promoted"))] = CLAIMS.index("withheld")
    return claim


def _tell_of_moves(ranked: RankedBatch, placed: Placed, explained: NDArray[np.bool_], claim: NDArray[np.int64]) -> None:
    if FATIGUE in placed.names and FATIGUE in ranked.parts:
        tired = (placed.moved_by[explained] == placed.names.index(FATIGUE)) & (ranked.parts[FATIGUE][explained] < 0.0)
        claim[tired] = CLAIMS.index("fatigue")
    claim[placed.promoted[explained]] = CLAIMS.index("promoted")


def _millionths(
    parts: NDArray[np.float64], names: tuple[str, ...], causes: NDArray[np.float64], place: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of `parts` (f, p), of `causes` (c,), and (f,) what these leave of what behaviours caused of their `place` (c,).

    Sums are taken of what was rounded, so that they hold to the last digit.
    """
    rounded, caused = np.rint(parts * MILLION), np.rint(causes * MILLION)
    split = rounded[:, [name in SPLIT for name in names]].sum(axis=1)
    # Whole numbers below 2**53: float64 adds them exactly.
    left = split - np.bincount(place, weights=caused, minlength=len(parts))
    return _whole(rounded), _whole(caused), _whole(left)


def _whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """What is not a number is 0 here: the gap of its list is not a number, and the list does not go out."""
    return np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).astype(np.int64)


def _gaps(
    ranked: RankedBatch,
    explained: NDArray[np.bool_],
    others: NDArray[np.float64],
    causes: NDArray[np.float64],
    place: NDArray[np.int64],
) -> NDArray[np.float64]:
    """(u,): the largest gap of each list, of the numbers before they are rounded. `causes` and `place` (c,)."""
    scores = ranked.scores[explained]
    impersonal = sum((v[explained] for name, v in ranked.parts.items() if name not in SPLIT), np.zeros(len(scores)))
    own = np.bincount(place, weights=causes, minlength=len(scores))
    gaps = np.zeros(explained.shape)
    gaps[explained] = relative_gaps(scores - impersonal - others[explained] - own, scores)
    largest: NDArray[np.float64] = gaps.max(axis=1, initial=0.0)
    return largest


def _facts(listed_ms: I8, facts: NDArray[np.uint8], moment_ms: int) -> NDArray[np.uint8]:
    """(f,): an item that has been listed for longer than nobody took notice of it is not new."""
    return np.where(listed_ms < moment_ms - NEW_MS, facts & np.uint8(0xFF - NEW), facts)


def _disliked(recent: RecentItems, behaviours: Behaviours) -> NDArray[np.bool_]:
    """(u, R) bool: behaviours with an item that the person also showed dislike of, whatever came first."""
    disliked = np.zeros((len(recent.items), recent.items.shape[1] + 1), np.bool_)  # the last place is that of -1
    user, behaviour = np.nonzero(behaviours.gain < 0)
    disliked[user, recent.position[user, behaviour]] = True
    disliked[:, -1] = False
    return np.take_along_axis(disliked, recent.position, axis=1)


class _Cited(NamedTuple):
    """The m behaviours that a batch cites, ready to be told; each once a list."""

    word: I8
    """(m,) numbers of words."""
    title: I8
    """(m,): the same number for the same title; -1: it is nothing to be told."""
    said: I8
    """(m,): the same number where the same words are said of it."""
    when: I8
    """(m,) code of `stream.reasons.ago`."""


def _cited(
    behaviours: Behaviours,
    at: tuple[I8, I8],
    disliked: NDArray[np.bool_],
    naming: Naming,
    telling: SentenceContext,
) -> _Cited:
    code, when = behaviours.action[at], ago(behaviours.time_ms[at], telling.moment_ms, telling.zone)
    # Every item that co-occurs with anything is a key of the item statistics, so its id is known; should a worker
    # not have met it yet, the hash still tells two causes apart.
    word = naming.numbers(behaviours.item[at])
    title = naming.words.title[word]
    said = (title * len(ACTIONS) + code) * CODES + when
    is_told = _TOLD[code] & ~disliked
    if naming.sensitive is not None:  # of a query, or of an item that the catalogue has not, nobody knows the kind
        is_told &= naming.words.is_item[word]
    return _Cited(word, np.where(is_told, title, -1), said, when)
