"""The home placement: what a worker knows of items and people that its lists are composed of, and those lists.

Without a placement in the settings nothing of this is there, and lists are byte for byte those of the ranking.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I8
from models.compiled import compiled
from models.experiments.assignment import Experiment, assigned
from models.items.catalog import Catalog
from models.items.priors import NEW_CANDIDATES, PRIOR_CANDIDATES, Priors, compute_priors
from models.items.sketches import SKETCH_DIMS
from models.items.vectors import ItemVectors
from models.page.compose import ComposeParams
from models.page.draws import draw_key
from models.page.explore import ExploreParams
from models.page.fatigue import Exposed, FatigueParams
from models.page.placing import BY_RULES, no_placing
from models.page.ranked import FATIGUE_PART, PageItems, PageParams, PageUsers, rank_page
from models.ranking.features import Question
from models.ranking.moment import Moments
from models.ranking.newcomers import followed
from models.ranking.placed import Placed
from models.ranking.rank import RankedBatch, RankingParams, SequenceScores, joined
from models.ranking.semantics import Semantics
from stream.metrics import Metrics
from stream.refresh.explorable import Explorable
from stream.refresh.knowledge import Knowledge
from stream.refresh.question import Behaviours
from stream.rules.active import SCOPES_MAX, ActiveRules, Scope
from stream.rules.marks import Seen
from stream.settings import Settings
from stream.settings.placements import HOME, PlacementSettings
from stream.state.record import EXPOSURES, StateColumns, States

PRIORS_MAX_AGE_MS: Final = 1_000
"""How old what leads among the items that rules leave may be; longer where there are many items, as for `Knowledge.priors`."""

MOVES: Final = ("", "diversity", FATIGUE_PART, "explore")
"""By the codes of `models.page.placing`."""


def page_params(settings: PlacementSettings, top_k: int) -> PageParams:
    """What a placement's settings mean."""
    slots, explore = settings.slots or top_k, ExploreParams(**settings.explore.model_dump())
    return PageParams(
        ComposeParams(slots, settings.diversity, settings.diversity_method, explore),
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
        self.is_configured = placement is not None or bool(self.experiments)
        """By the settings: else there is a placement only while rules count."""
        self.is_compiled = False
        """What makes its lists; rules do not count before, since a first list would wait for it."""
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
        self._explorable = Explorable(knowledge, metrics)
        self._priors: dict[tuple[str, ...], tuple[int, int, Priors]] = {}
        """Of what the rules leave: when they were found, and by which version of the rules."""

    @property
    def is_active(self) -> bool:
        """Whether there is anything to decide beside the scores."""
        return self.is_configured or bool(self.rules.ids)

    @property
    def slots(self) -> int:
        """Places of a list, with a placement or without."""
        return self.params.compose.slots

    def warm_up(self, question: Question, params: RankingParams, priors: Priors, text: Semantics | None) -> None:
        """Compile what makes a placement's lists: those of nobody, with everything that may be decided."""
        knowledge, users = self._knowledge, len(question.history)
        page = PageParams(
            ComposeParams(params.top_k, 0.5, "dpp", ExploreParams(1, 1, min_history=0)),
            FatigueParams(1.0),
            params.top_k,
        )
        exposed = Exposed(*_room(users))
        _unanswered(States(1).columns, np.zeros(users, np.int64), np.zeros((users, 1), np.uint64), *exposed)
        rank_page(
            question,
            catalog=knowledge.catalog,
            stats=knowledge.stats,
            priors=priors,
            params=params,
            page=page,
            of_items=PageItems(
                no_placing(), np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros((0, SKETCH_DIMS), np.float32)
            ),
            of_users=PageUsers(exposed, np.zeros(users, np.uint64)),
            semantics=text,
            moments=Moments(),
        )
        self.is_compiled = True

    def look_at_rules(self, now_ms: int) -> bool:
        """Look which items rules mean, at some at a time; whether lists may come out otherwise now. Nothing of it counts before
        `is_compiled`."""
        if not self.is_compiled or (self.rules.is_empty and self.rules.is_ready):
            return False
        return self.rules.look(self._seen(now_ms))

    def allowed(self, key: bytes, now_ms: int) -> NDArray[np.bool_] | None:
        """(n,) what rules allow this user, by dense index; None: everything."""
        return self.rules.scope(self.rules.rules_of(key), self._seen(now_ms)).allowed

    def _seen(self, now_ms: int) -> Seen:
        knowledge = self._knowledge
        return Seen(knowledge.catalog, knowledge.stats.count, knowledge.sentence_time_ms(now_ms))

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
        groups = self._groups(keys, arms)
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

    def _groups(self, keys: Sequence[bytes], arms: Sequence[Arm] | None) -> dict[Group, I8]:
        """Users by how their lists are composed, and the rules that count for them."""
        if not self.rules.has_shares and arms is None:
            return {Group(self.params, self.rules.rules_of(b"")): np.arange(len(keys))}
        groups: dict[Group, list[int]] = {}
        for u, key in enumerate(keys):
            page = self._params[None if arms is None else arms[u]]
            groups.setdefault(Group(page, self.rules.rules_of(key)), []).append(u)
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
        scope = self.rules.scope(rules, self._seen(now_ms))
        catalog, priors = self._what_may(scope, now_ms, followed(params.weights))
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
        composed, ids = made.composed, self.rules.ids
        names = (*MOVES, *(f"rule:{rule_id}" for rule_id in ids))
        # Of the rules of this group -> of all, so that the lists of a batch have one table of names.
        numbers = np.array([*range(BY_RULES), *(BY_RULES + bisect_left(ids, rule_id) for rule_id in rules)], np.int16)
        moved_by = numbers[composed.moved_by]
        relaxed = (scope.relaxed,) * len(composed.items)
        placed = Placed(moved_by, composed.propensity, composed.promoted, names, HOME, relaxed)
        ranked = made.ranked
        if self._has_fatigue and FATIGUE_PART not in ranked.parts:
            ranked = ranked._replace(parts=ranked.parts | {FATIGUE_PART: np.zeros_like(ranked.scores)})
        return ranked._replace(placed=placed)

    def _what_may(self, scope: Scope, now_ms: int, followed: int) -> tuple[Catalog, Priors]:
        """The catalogue as far as rules allow it, and what leads in it: of now, or of a moment ago."""
        knowledge = self._knowledge
        if scope.allowed is None:
            return knowledge.catalog, knowledge.priors(now_ms, followed)
        kept, version = self._priors.get(scope.rules), self.rules.version
        max_age_ms = max(PRIORS_MAX_AGE_MS, len(knowledge.index) // 20)
        catalog = knowledge.catalog.only(scope.allowed)
        is_same = kept is not None and (kept[1], kept[2].followed) == (version, followed)
        if kept is not None and is_same and now_ms - kept[0] < max_age_ms:
            return catalog, kept[2]  # what has been forbidden since is no candidate
        priors = compute_priors(
            catalog,
            knowledge.stats,
            candidates_each=PRIOR_CANDIDATES,
            new_items=NEW_CANDIDATES,
            now_ms=knowledge.stream_time_ms(now_ms),
            followed=followed,
        )
        if len(self._priors) >= SCOPES_MAX:
            self._priors.clear()
        self._priors[scope.rules] = now_ms, version, priors
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
            bonus, least = self._explorable.of(explore, now_ms)
            proposed = np.union1d(least, proposed).astype(np.int32)
        return PageItems(scope.placing, bonus, proposed, self._sketches(page), self.rules.has_boosts)

    def _sketches(self, page: PageParams) -> F4:
        vectors: ItemVectors | None = self._knowledge.vectors if page.compose.diversity else None
        return np.zeros((0, SKETCH_DIMS), np.float32) if vectors is None else vectors.sketches.rows(vectors)


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
