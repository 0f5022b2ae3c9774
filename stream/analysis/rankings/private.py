"""Penchant as a contender that knows of others only what may be shown to everybody: released statistics, noised.

A person's own history is theirs and is read as it is; everything else that a list is made of is public (the catalogue, its
texts, the weights that Penchant comes with) or comes from the releases. So there is neither a sequence model here, nor weights
learned from these people, nor what newcomers chose.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calendar import HOUR_MS
from models.evaluation.contract import Answer, Contender, Factory, Known, Setup, Stream, UnavailableError
from models.hashing import item_hash
from models.privacy.bounds import Contribution, Promise
from models.privacy.contribution import Counted, Engagements, PublicPairs, counted
from models.privacy.noise import NoOpenDPError, needs_opendp
from models.privacy.public_pairs import near_pairs
from models.privacy.records import records
from models.privacy.release import PAIRS_WEIGHT, Budget, Series, budget, exact_budget, of_release
from models.ranking.weights import default_weights
from stream.analysis.replayed import ReplayedWorker
from stream.settings import Settings
from stream.state.update import apply_events

NEAR_EACH: Final = 3
"""Nearest items by text that an item makes pairs with."""


class ReleaseOptions(NamedTuple):
    """How statistics are released in an evaluation."""

    promise: Promise | None
    """None: no noise, and no promise: what the bounds alone cost."""
    contribution: Contribution
    ends_ms: tuple[int, ...]
    """When each release is made, ascending: it counts what happened up to then. Fixed before the first one."""
    near_each: int = NEAR_EACH
    pairs_weight: float = PAIRS_WEIGHT


def options_of(settings: Settings, stream: Stream, end: int) -> ReleaseOptions:
    """Of the settings: the first release counts what came before event `end`, the others follow at their distance.

    Raises:
        UnavailableError: dp_epsilon is off.
    """
    if settings.dp_epsilon == 0.0:
        raise UnavailableError("needs the setting dp_epsilon")
    first_ms = int(stream.time_ms[min(end, stream.n_events - 1)]) - 1
    step_ms = settings.dp_release_h * HOUR_MS
    return ReleaseOptions(
        Promise(settings.dp_epsilon, settings.dp_delta),
        Contribution(settings.dp_items, settings.dp_pairs, settings.dp_pair_window),
        tuple(first_ms + int(number * step_ms) for number in range(settings.dp_releases)),
        settings.dp_near_items,
    )


class ReleasedWorker(ReplayedWorker):
    """A worker that ranks with released statistics, and with no others."""

    def __init__(self, settings: Settings, stream: Stream, known: Known, options: ReleaseOptions) -> None:
        super().__init__(settings, stream, known)
        self._ends_ms = np.array(options.ends_ms, np.int64)
        # By id: numbers that follow who came first would change with who takes part.
        order = np.argsort(np.array(known.item_ids))
        self.hashes = np.array([item_hash(known.item_ids[at]) for at in order.tolist()], np.uint64)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        vectors = known.text_vectors
        self.pairs = (
            PublicPairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
            if vectors is None
            else near_pairs(vectors[order], options.near_each)
        )
        self.engagements = engagements_of(stream, known, rank, self._ends_ms)
        self.counted = counted(self.engagements, self.pairs, len(rank), options.contribution)
        self.budget = _budget(options, len(self._ends_ms))
        self._items = Series(len(rank), self.budget.items, self.budget.scale)
        self._of_pairs = Series(len(self.pairs.first), self.budget.pairs, self.budget.scale)

    def advance(self, to: int) -> None:
        """Apply the events before `to`; each release comes before the first event after its period."""
        while self.applied < to:
            made = self._items.releases
            stop = to
            if made < len(self._ends_ms):
                ends = int(np.searchsorted(self._stream.time_ms, self._ends_ms[made], side="right"))
                stop = min(to, ends)
            if stop > self.applied:
                apply_events(self.states, self._columns.take(np.arange(self.applied, stop)), self._params)
                self.applied = stop
            if made < len(self._ends_ms) and stop < to:
                self._release(made)

    def _release(self, number: int) -> None:
        c: Counted = self.counted
        self._items.release(of_release(c.items, c.items_release, number, len(self.hashes)))
        self._of_pairs.release(of_release(c.pairs, c.pairs_release, number, len(self.pairs.first)))
        ends_ms = self._ends_ms[: number + 1]
        found = records(self._items, self._of_pairs, self.pairs, self.hashes, ends_ms, int(self._stream.time_ms[0]))
        self.stats.put_columns(self.index.lookup(self.hashes), found)
        self._priors = None


def _budget(options: ReleaseOptions, releases: int) -> Budget:
    if options.promise is not None:
        return budget(options.promise, options.contribution, releases, options.pairs_weight)
    return exact_budget(options.contribution, releases, options.pairs_weight)


def engagements_of(stream: Stream, known: Known, number: NDArray[np.int64], ends_ms: NDArray[np.int64]) -> Engagements:
    """First engagements that some release counts; those after the last one are in none."""
    firsts = np.flatnonzero(stream.first)
    release = np.searchsorted(ends_ms, stream.time_ms[firsts], side="left")
    firsts, release = firsts[release < len(ends_ms)], release[release < len(ends_ms)]
    user = np.array([item_hash(user_id) for user_id in known.user_ids], np.uint64).view(np.int64)
    return Engagements(user[stream.user[firsts]], number[stream.item[firsts]], release.astype(np.int64))


class PrivatePenchant:
    """See `models.evaluation.contract.Contender`."""

    name = "penchant_private"

    def __init__(self, settings: Settings, setup: Setup, options: ReleaseOptions | None = None) -> None:
        """`options`: None for those of the settings, with the first release at the warm-up mark."""
        self._settings, self._setup, self._options = settings, setup, options
        self.weights = default_weights()
        self.chosen: dict[str, float | str] = {}

    def warm_up(self, stream: Stream, known: Known, end: int) -> None:
        """Release what ends before the mark.

        Raises:
            UnavailableError: dp_epsilon is off, or OpenDP is not installed.
        """
        self._stream = stream
        options = options_of(self._settings, stream, end) if self._options is None else self._options
        try:
            needs_opendp()
        except NoOpenDPError as error:
            raise UnavailableError(str(error)) from None
        self.replayed = ReleasedWorker(self._settings, stream, known, options)
        self.chosen = {"noise": self.replayed.budget.scale, "releases": float(self.replayed.budget.releases)}
        self.replayed.advance(end)

    def ask(self, at: int) -> Answer:
        """Scores of everything."""
        self.replayed.advance(at)
        inputs = self.replayed.inputs(int(self._stream.user[at]), int(self._stream.time_ms[at]))
        return Answer(self.replayed.scores(inputs, self.weights))

    def learn(self, at: int) -> None:
        """The event has happened; it is applied when that is needed next."""


def serving_releases(settings: Settings) -> Factory:
    """With the releases that the settings say."""

    def make(setup: Setup) -> Contender:
        return PrivatePenchant(settings, setup)

    return make
