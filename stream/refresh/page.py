"""The home placement: what a worker knows of items and people that its lists are composed of, and those lists.

Without a placement in the settings nothing of this is there, and lists are byte for byte those of the ranking.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4, I8
from models.calendar import HOUR_MS
from models.compiled import compiled
from models.experiments.assignment import Experiment, assigned
from models.items.catalog import Catalog
from models.items.priors import NEW_CANDIDATES, PRIOR_CANDIDATES, Priors, compute_priors
from models.items.sketches import SKETCH_DIMS
from models.items.vectors import ItemVectors
from models.page.compose import ComposeParams, warm_up
from models.page.draws import draw_key
from models.page.explore import ExploreParams
from models.page.fatigue import Exposed, FatigueParams
from models.page.placing import BY_RULES
from models.page.ranked import FATIGUE_PART, PageItems, PageParams, PageUsers, bonus_of_unknown, evidence_of, rank_page
from models.ranking.features import Question
from models.ranking.moment import Moments
from models.ranking.placed import Placed
from models.ranking.rank import RankedBatch, RankingParams, SequenceScores, joined
from models.ranking.semantics import Semantics
from stream.metrics import Metrics
from stream.refresh.knowledge import Knowledge
from stream.refresh.question import Behaviours
from stream.rules.active import SCOPES_MAX, ActiveRules, Scope
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


Arm = tuple[str, str] | None
"""An experiment and the arm of it that a person is in; None: in no experiment."""


class Group(NamedTuple):
    """Users whose lists are made alike."""

    page: PageParams
    """Of their arms, which may be several that change nothing."""
    rules: tuple[str, ...]
    """That count for them."""


class HomePage:
    """The lists of the placement `home`: where the settings have one, or an experiment, or there are rules."""

    def __init__(self, settings: Settings, knowledge: Knowledge, metrics: Metrics) -> None:
        self._knowledge, self._seed, self._metrics = knowledge, settings.draws_seed, metrics
        placement = settings.placements.get(HOME)
        self.experiments: tuple[Experiment, ...] = settings.experiments_in_order()
        self._is_configured = placement is not None or bool(self.experiments)
        self.params = page_params(placement or PlacementSettings.model_validate({}), settings.top_k)
        """Of who is in no arm."""
        self._params: dict[Arm, PageParams] = {None: self.params} | {
            (each.name, arm): page_params(settings.home_of(each.name, arm), settings.top_k)
            for each in self.experiments
            for arm in each.shares
        }
        of_all = self._params.values()
        self._is_exploring = any(each.compose.explore.slots for each in of_all)
        # Whatever arms a batch has, the bytes of a list do not depend on them.
        self._has_fatigue = any(each.fatigue.weight for each in of_all)
        self.rules = ActiveRules(self.params.compose.slots)
        self._explorable: dict[ExploreParams, tuple[int, F4, I4]] = {}
        self._counted: ExploreParams | None = None
        """Whose little known items the metrics count: of several arms that explore the first one's."""
        self._little_known: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._priors: dict[tuple[str, ...], tuple[int, NDArray[np.bool_], Priors]] = {}

    @property
    def is_active(self) -> bool:
        """Whether there is anything to decide beside the scores."""
        return self._is_configured or not self.rules.is_empty

    def warm_up(self) -> None:
        """Compile what runs compiled, where there is a placement; without one the first rule waits for it."""
        if self._is_configured:
            self._compile()

    def _compile(self) -> None:
        warm_up()
        _unanswered(States(1).columns, np.zeros(1, np.int64), np.zeros((1, 1), np.uint64), *_room(1))

    def look_at_rules(self, now_ms: int, slices: int = 1) -> bool:
        """Look which items rules mean, some at a time; whether lists may come out otherwise now."""
        if self.rules.is_empty and self.rules.is_ready:
            return False
        catalog, popularity = self._knowledge.catalog, self._knowledge.stats.count
        moment_ms = self._knowledge.sentence_time_ms(now_ms)
        is_first = not self.rules.is_serving and not self.rules.is_empty
        changed = self.rules.look(catalog, popularity, moment_ms, whole=is_first)
        for _ in range(slices - 1):
            changed |= not self.rules.is_ready and self.rules.look(catalog, popularity, moment_ms)
        return changed

    def rank(
        self,
        question: Question,
        params: RankingParams,
        users: PageUsers,
        keys: Sequence[bytes],
        *,
        semantics: Semantics | None,
        sequence: SequenceScores | None,
        explained: NDArray[np.bool_],
        moments: Moments,
        now_ms: int,
    ) -> RankedBatch:
        """Lists as they are shown; see `models.page.ranked.rank_page`.

        Args:
            question, params, semantics, sequence, explained, moments: as for `models.ranking.rank.rank`.
            users: what the placement knows of the same users, see `users_of`.
            keys: of the same users.
            now_ms: the wall clock.
        """
        self.look_at_rules(now_ms)
        arms = self.arms_of(keys)
        groups = self._groups(keys, arms, self._knowledge.sentence_time_ms(now_ms))
        made = [
            self._rank_group(
                group,
                question.take(rows),
                params,
                users.take(rows),
                None if semantics is None else semantics.take(rows),
                None if sequence is None else sequence.take(rows),
                explained[rows],
                moments,
                now_ms,
            )
            for group, rows in groups.items()
        ]
        ranked = made[0] if len(made) == 1 else _in_order(made, np.concatenate(list(groups.values())))
        if arms is None or ranked.placed is None:
            return ranked
        return ranked._replace(placed=ranked.placed._replace(arms=tuple(arms)))

    def arms_of(self, keys: Sequence[bytes]) -> list[Arm] | None:
        """Of each user; None: there is no experiment."""
        return [assigned(self.experiments, key) for key in keys] if self.experiments else None

    def _groups(self, keys: Sequence[bytes], arms: Sequence[Arm] | None, now_ms: int) -> dict[Group, I8]:
        """Users by how their lists are composed, and the rules that count for them."""
        if not self.rules.has_shares and arms is None:
            return {Group(self.params, self.rules.rules_of(b"", now_ms)): np.arange(len(keys))}
        groups: dict[Group, list[int]] = {}
        for u, key in enumerate(keys):
            page = self._params[None if arms is None else arms[u]]
            groups.setdefault(Group(page, self.rules.rules_of(key, now_ms)), []).append(u)
        return {group: np.array(rows) for group, rows in groups.items()}

    def _rank_group(
        self,
        group: Group,
        question: Question,
        params: RankingParams,
        users: PageUsers,
        semantics: Semantics | None,
        sequence: SequenceScores | None,
        explained: NDArray[np.bool_],
        moments: Moments,
        now_ms: int,
    ) -> RankedBatch:
        knowledge, (page, rules) = self._knowledge, group
        scope = self.rules.scope(rules, knowledge.catalog, knowledge.stats.count)
        catalog, priors = self._what_may(scope, now_ms)
        made = rank_page(
            question,
            catalog=catalog,
            stats=knowledge.stats,
            priors=priors,
            params=params,
            page=page,
            of_items=self._items(page, scope, now_ms),
            of_users=users,
            semantics=semantics,
            sequence=sequence,
            explained=explained,
            moments=moments,
        )
        composed, every = made.composed, sorted(self.rules.book.rules)
        names = (*MOVES, *(f"rule:{rule_id}" for rule_id in every))
        numbers = np.array([*range(BY_RULES), *(BY_RULES + every.index(rule_id) for rule_id in rules)], np.int16)
        moved_by = numbers[composed.moved_by]
        relaxed = (scope.relaxed,) * len(composed.items)
        placed = Placed(moved_by, composed.propensity, composed.promoted, names, HOME, relaxed)
        ranked = made.ranked
        if self._has_fatigue and FATIGUE_PART not in ranked.parts:
            ranked = ranked._replace(parts=ranked.parts | {FATIGUE_PART: np.zeros_like(ranked.scores)})
        return ranked._replace(placed=placed)

    def _what_may(self, scope: Scope, now_ms: int) -> tuple[Catalog, Priors]:
        """The catalogue as far as rules allow it, and what leads in it: of now, or of a moment ago."""
        knowledge = self._knowledge
        if scope.allowed is None:
            return knowledge.catalog, knowledge.priors(now_ms)
        kept = self._priors.get(scope.rules)
        max_age_ms = max(EXPLORABLE_MAX_AGE_MS, len(knowledge.index) // 20)
        catalog = knowledge.catalog.only(scope.allowed)
        if kept is not None and kept[1] is scope.allowed and now_ms - kept[0] < max_age_ms:
            return catalog, kept[2]
        priors = compute_priors(
            catalog,
            knowledge.stats,
            candidates_each=PRIOR_CANDIDATES,
            new_items=NEW_CANDIDATES,
            now_ms=knowledge.stream_time_ms(now_ms),
        )
        if len(self._priors) >= SCOPES_MAX:
            self._priors.clear()
        self._priors[scope.rules] = now_ms, scope.allowed, priors
        return catalog, priors

    def users_of(self, states: States, rows: I8, behaviours: Behaviours, user_ids: Sequence[str]) -> PageUsers:
        """What the placement knows of `rows` (u,) of the states of a partition."""
        exposed = Exposed(*_room(len(rows)))
        _unanswered(states.columns, rows, behaviours.item, *exposed)
        key = np.zeros(len(rows), np.uint64)
        if self._is_exploring:
            fences = states.fence[rows].tolist()
            key[:] = [
                draw_key(self._seed, user_id, fence, HOME) for user_id, fence in zip(user_ids, fences, strict=True)
            ]
        return PageUsers(exposed, key)

    def _items(self, page: PageParams, scope: Scope, now_ms: int) -> PageItems:
        explore = page.compose.explore
        bonus, proposed = np.zeros(0, np.float32), scope.proposed
        if explore.slots:
            bonus, least = self._look_for_explorable(explore, now_ms)
            proposed = np.union1d(least, proposed).astype(np.int32)
        return PageItems(scope.placing, bonus, proposed, self._sketches(page), self.rules.has_boosts)

    def _sketches(self, page: PageParams) -> F4:
        vectors: ItemVectors | None = self._knowledge.vectors if page.compose.diversity else None
        return np.zeros((0, SKETCH_DIMS), np.float32) if vectors is None else vectors.sketches.rows(vectors)

    def _look_for_explorable(self, explore: ExploreParams, now_ms: int) -> tuple[F4, I4]:
        """What being little known is worth, and which of them are proposed to everybody: of now, or of a moment ago."""
        knowledge = self._knowledge
        max_age_ms = max(EXPLORABLE_MAX_AGE_MS, len(knowledge.index) // 50)
        kept = self._explorable.get(explore)
        if kept is not None and now_ms - kept[0] < max_age_ms:
            return kept[1], kept[2]
        recommendable, stats = knowledge.catalog.recommendable, knowledge.stats
        published_ms = knowledge.published_ms[: len(recommendable)]
        moment_ms = knowledge.stream_time_ms(now_ms)
        bonus = bonus_of_unknown(explore, stats, published_ms, recommendable, moment_ms)
        proposed = least_known(
            np.flatnonzero(bonus >= 0.0), stats.exposures, stats.count, knowledge.index.hashes, moment_ms // HOUR_MS
        )
        self._count_little_known(explore, bonus)
        self._explorable[explore] = now_ms, bonus, proposed
        return bonus, proposed

    def _count_little_known(self, explore: ExploreParams, bonus: F4) -> None:
        """For the metrics: what may be explored, and what has become known since."""
        self._counted = self._counted or explore
        if explore != self._counted:
            return
        little_known = evidence_of(self._knowledge.stats, len(bonus)) < explore.max_exposures
        n = len(self._little_known)
        graduated = self._little_known & ~little_known[:n]
        self._little_known = little_known
        self._metrics.work.graduated.inc(int(np.count_nonzero(graduated)))
        self._metrics.work.explorable.set(int(np.count_nonzero(bonus >= 0.0)))


def _in_order(made: list[RankedBatch], rows: I8) -> RankedBatch:
    """Batches of groups as one, whose users stand as they did before they were parted; `rows` (u,) says where each stood."""
    order = np.argsort(rows, kind="stable")
    batch = joined([each._replace(placed=None) for each in made])
    placed = [each.placed for each in made if each.placed is not None]
    first = placed[0]
    parts = {name: values[order] for name, values in batch.parts.items()}
    relaxed = [names for each in placed for names in each.relaxed]
    return RankedBatch(
        batch.items[order],
        batch.scores[order],
        parts,
        batch.strategy[order],
        batch.probability[order],
        batch.contributions[order],
        Placed(
            np.concatenate([each.moved_by for each in placed])[order],
            np.concatenate([each.propensity for each in placed])[order],
            np.concatenate([each.promoted for each in placed])[order],
            first.names,
            first.placement,
            tuple(relaxed[i] for i in order.tolist()),
        ),
    )


def least_known(items: I8, exposures: I8, count: NDArray[np.float64], hashes: NDArray[np.uint64], hour: int) -> I4:
    """At most `PROPOSED` of these items: those with the least evidence; of equal ones others every hour, since without
    impressions evidence never comes."""
    evidence = np.zeros(len(items))
    known = items < len(count)
    evidence[known] = np.maximum(exposures[items[known]], count[items[known]])
    if len(items) > PROPOSED:
        least = np.partition(evidence, PROPOSED - 1)[PROPOSED - 1]
        kept = evidence <= least
        items, evidence = items[kept], evidence[kept]
    turn = (hashes[items] ^ np.uint64(hour * _MIX % 2**64)) * np.uint64(_MIX)
    order = np.lexsort((turn, evidence))[:PROPOSED]
    return items[order].astype(np.int32)


_MIX: Final = 0x9E3779B97F4A7C15


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
