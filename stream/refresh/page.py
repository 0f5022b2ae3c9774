"""The home placement: what a worker knows of items and people that its lists are composed of, and those lists.

Without a placement in the settings nothing of this is there, and lists are byte for byte those of the ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4, I8
from models.compiled import compiled
from models.items.sketches import SKETCH_DIMS
from models.items.vectors import ItemVectors
from models.page.compose import ComposeParams, warm_up
from models.page.draws import draw_key
from models.page.explore import ExploreParams
from models.page.fatigue import Exposed, FatigueParams
from models.page.placing import no_placing
from models.page.ranked import FATIGUE_PART, PageItems, PageParams, PageUsers, explorable_items, rank_page
from models.ranking.features import Question
from models.ranking.moment import Moments
from models.ranking.placed import Placed
from models.ranking.rank import RankedBatch, RankingParams, SequenceScores
from models.ranking.semantics import Semantics
from stream.refresh.knowledge import Knowledge
from stream.refresh.question import Behaviours
from stream.settings import Settings
from stream.settings.placements import HOME, PlacementSettings
from stream.state.record import EXPOSURES, StateColumns, States

PROPOSED: Final = 32
"""Little known items that are proposed to everyone: those of which least is known."""

EXPLORABLE_MAX_AGE_MS: Final = 1_000
"""How old the choice of those may be; longer where there are many items, as for `Knowledge.priors`."""

MOVES: Final = ("", "diversity", FATIGUE_PART, "explore")
"""By the codes of `models.page.placing`."""


def page_params(settings: PlacementSettings, top_k: int) -> PageParams:
    """What a placement's settings mean."""
    explore = settings.explore
    slots = settings.slots or top_k
    return PageParams(
        ComposeParams(
            slots,
            settings.diversity,
            settings.diversity_method,
            ExploreParams(
                explore.slots,
                explore.from_place,
                explore.rate,
                explore.temperature,
                explore.optimism,
                explore.max_exposures,
                explore.max_age_h,
                explore.min_history,
            ),
        ),
        FatigueParams(settings.fatigue, 3600.0 * settings.fatigue_half_life_h),
        max(settings.pool, slots),
    )


class HomePage:
    """The lists of the placement `home`, where the settings have one."""

    def __init__(self, settings: Settings, knowledge: Knowledge) -> None:
        self._knowledge, self._seed = knowledge, settings.draws_seed
        placement = settings.placements.get(HOME)
        self.params = None if placement is None else page_params(placement, settings.top_k)
        """None: there is no placement."""
        self._explorable: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._proposed: I4 = np.zeros(0, np.int32)
        self._explorable_at_ms: int | None = None

    def warm_up(self) -> None:
        """Compile what runs compiled."""
        if self.params is not None:
            warm_up()
            _unanswered(States(1).columns, np.zeros(1, np.int64), np.zeros((1, 1), np.uint64), *_room(1))

    def rank(
        self,
        question: Question,
        params: RankingParams,
        users: PageUsers,
        *,
        semantics: Semantics | None,
        sequence: SequenceScores | None,
        explained: NDArray[np.bool_],
        moments: Moments,
        now_ms: int,
    ) -> RankedBatch:
        """Lists as they are shown; see `models.page.ranked.rank_page`. There is a placement.

        Args:
            question, params, semantics, sequence, explained, moments: as for `models.ranking.rank.rank`.
            users: what the placement knows of the same users, see `users_of`.
            now_ms: the wall clock.
        """
        page, knowledge = self.params, self._knowledge
        assert page is not None, "asked only where there is one"
        made = rank_page(
            question,
            catalog=knowledge.catalog,
            stats=knowledge.stats,
            priors=knowledge.priors(now_ms),
            params=params,
            page=page,
            of_items=self._items(page, now_ms),
            of_users=users,
            semantics=semantics,
            sequence=sequence,
            explained=explained,
            moments=moments,
        )
        composed = made.composed
        placed = Placed(composed.moved_by, composed.propensity, composed.promoted, MOVES, HOME)
        return made.ranked._replace(placed=placed)

    def users_of(
        self, states: States, rows: I8, behaviours: Behaviours, user_ids: Sequence[str], partition: int
    ) -> PageUsers:
        """What the placement knows of `rows` (u,) of the states of a partition."""
        exposed = Exposed(*_room(len(rows)))
        _unanswered(states.columns, rows, behaviours.item, *exposed)
        key = np.zeros(len(rows), np.uint64)
        if self.params is not None and self.params.compose.explore.slots:
            fences = states.fence[rows].tolist()
            key[:] = [
                draw_key(self._seed, user_id, partition, fence, HOME)
                for user_id, fence in zip(user_ids, fences, strict=True)
            ]
        return PageUsers(exposed, key)

    def _items(self, page: PageParams, now_ms: int) -> PageItems:
        explore = page.compose.explore
        if explore.slots:
            self._look_for_explorable(explore, now_ms)
        return PageItems(no_placing(), self._explorable, self._proposed, self._sketches(page))

    def _sketches(self, page: PageParams) -> F4:
        vectors: ItemVectors | None = self._knowledge.vectors if page.compose.diversity else None
        return np.zeros((0, SKETCH_DIMS), np.float32) if vectors is None else vectors.sketches.rows(vectors)

    def _look_for_explorable(self, explore: ExploreParams, now_ms: int) -> None:
        knowledge = self._knowledge
        max_age_ms = max(EXPLORABLE_MAX_AGE_MS, len(knowledge.index) // 50)
        if self._explorable_at_ms is not None and now_ms - self._explorable_at_ms < max_age_ms:
            return
        self._explorable_at_ms = now_ms
        recommendable, stats = knowledge.catalog.recommendable, knowledge.stats
        published_ms = knowledge.published_ms[: len(recommendable)]
        moment_ms = knowledge.stream_time_ms(now_ms)
        self._explorable = explorable_items(explore, stats, published_ms, recommendable, moment_ms)
        self._proposed = _least_known(
            np.flatnonzero(self._explorable), stats.exposures, stats.count, knowledge.index.hashes
        )


def _least_known(items: I8, exposures: I8, count: NDArray[np.float64], hashes: NDArray[np.uint64]) -> I4:
    """At most `PROPOSED` of these items: those with the least evidence, and of equal ones those with the lowest hashes."""
    evidence = np.zeros(len(items))
    known = items < len(count)
    evidence[known] = np.maximum(exposures[items[known]], count[items[known]])
    if len(items) > PROPOSED:
        least = np.partition(evidence, PROPOSED - 1)[PROPOSED - 1]
        kept = evidence <= least
        items, evidence = items[kept], evidence[kept]
    order = np.lexsort((hashes[items], evidence))[:PROPOSED]
    return items[order].astype(np.int32)


def _room(users: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    return np.zeros((users, EXPOSURES), np.uint32), np.zeros((users, EXPOSURES), np.uint32)


@compiled
def _unanswered(
    c: StateColumns, rows: I8, behaviours: NDArray[np.uint64], item: NDArray[np.uint32], time_s: NDArray[np.uint32]
) -> None:
    """Fill (u, X) with what users were shown and did nothing with since; of what they did something with nobody is tired."""
    half = np.uint64(32)
    for u in range(len(rows)):
        r = rows[u]
        for x in range(min(c.n_exposures[r], np.int64(EXPOSURES))):
            shown, is_answered = c.exposed_item[r, x], False
            for b in range(behaviours.shape[1]):
                is_answered = is_answered or (behaviours[u, b] != 0 and np.uint32(behaviours[u, b] >> half) == shown)
            if not is_answered:
                item[u, x], time_s[u, x] = shown, c.exposed_s[r, x]
