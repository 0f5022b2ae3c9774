"""The lists of one placement, and what a worker knows of items and people that they are composed of."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.arrays import F4, I4, I8
from models.compiled import compiled
from models.experiments.assignment import Experiment, assigned
from models.items.catalog import Catalog
from models.items.index import NO_INDEX
from models.items.priors import NEW_CANDIDATES, PRIOR_CANDIDATES, Priors, compute_priors
from models.items.sketches import SKETCH_DIMS
from models.items.vectors import ItemVectors
from models.page.compose import ComposeParams
from models.page.draws import draw_key
from models.page.explore import ExploreParams
from models.page.fatigue import Exposed, FatigueParams
from models.page.placing import BY_RULES
from models.page.ranked import FATIGUE_PART, PageItems, PageParams, PageUsers, rank_page
from models.ranking.features import Question
from models.ranking.moment import Moments
from models.ranking.newcomers import followed
from models.ranking.placed import Placed
from models.ranking.rank import RankedBatch, RankingParams, SequenceScores, joined
from models.ranking.semantics import Semantics
from stream.refresh.explorable import Explorable
from stream.refresh.knowledge import Knowledge
from stream.refresh.question import Behaviours
from stream.rules.active import SCOPES_MAX, ActiveRules, Scope
from stream.rules.marks import Seen
from stream.settings import Settings
from stream.settings.experiments import changed_by
from stream.settings.placements import HOME, MINORS, PlacementSettings
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
    arm: Arm = None
    """Whose weights rank; None: those that rank for everybody."""


class Narrowed(NamedTuple):
    """What a request allows, beside what rules do."""

    allowed: NDArray[np.bool_]
    """(n,) by dense index; nothing beyond it is."""
    name: str
    """The same for the same filter: what leads among its items is kept a moment."""


class Page:
    """The lists of one placement."""

    def __init__(
        self, name: str, settings: Settings, knowledge: Knowledge, rules: ActiveRules, explorable: Explorable
    ) -> None:
        """`rules`, `explorable`: those of all placements."""
        self.name = name
        self._settings, self._knowledge, self._rules, self._explorable = settings, knowledge, rules, explorable
        self._seed = settings.draws_seed
        self.experiments: tuple[Experiment, ...] = settings.experiments_in_order()
        self._priors: dict[tuple[str, ...], tuple[int, int, Priors]] = {}
        """Of what the rules leave: when they were found, and by which version of the rules."""
        self._live: PlacementSettings | None = None
        self._moments: dict[Arm, Moments] = {}
        """Of arms with weights of their own."""
        self.asked: dict[bytes, I4] | None = None
        """Of users whose lists are made next, by key: items (slots,) whose probabilities to stand at their places are asked."""
        self.answers: dict[bytes, F4] = {}
        """(slots,) of the users of the last batch, where something is asked."""
        self._use(None)

    def _use(self, live: PlacementSettings | None) -> None:
        settings, name = self._settings, self.name
        placement = settings.placements.get(name)
        self.is_configured = not (placement is None and live is None and not self.experiments)
        """By the settings, or while workers run: else there is a placement only while rules count."""
        base = placement or PlacementSettings.model_validate({})
        everybody = base if live is None else changed_by(base, live)
        self._live = live
        self.is_for_minors = everybody.audience == MINORS
        """Whether nothing sensitive is listed."""
        self.has_rows = everybody.rows
        """Whether its lists are parted into rows."""
        self.params = page_params(everybody, settings.top_k)
        """Of who is in no arm."""
        self._params: dict[Arm, PageParams] = {None: self.params} | {
            (each.name, arm): page_params(settings.placement_of(name, each.name, arm, everybody), settings.top_k)
            for each in self.experiments
            for arm in each.shares
        }
        if self.name == HOME and self.params.compose.explore.slots:
            self._explorable.counted = self.params.compose.explore
        of_all = self._params.values()
        self._is_exploring = any(each.compose.explore.slots for each in of_all)
        # Whatever arms a batch has, the bytes of a list do not depend on them.
        self._has_fatigue = any(each.fatigue.weight for each in of_all)

    def follow(self, live: PlacementSettings | None) -> bool:
        """Be as the topic of rules says by now; whether that is otherwise than before. None: as the settings say."""
        if live == self._live:
            return False
        self._use(live)
        return True

    @property
    def is_active(self) -> bool:
        """Whether there is anything to decide beside the scores."""
        return self.is_configured or bool(self._rules.ids)

    @property
    def slots(self) -> int:
        """Places of a list, with a placement or without."""
        return self.params.compose.slots

    def allowed(self, key: bytes, seen: Seen) -> NDArray[np.bool_] | None:
        """(n,) what rules allow this user here, by dense index; None: everything."""
        arm = None if (arms := self.arms_of([key])) is None else arms[0]
        by_rules = self._rules.allowed(self._rules.rules_of(key, self.name, _told(arm)), seen.catalog, self.slots)[0]
        return self._for_audience(by_rules, seen.size)

    def _for_audience(self, allowed: NDArray[np.bool_] | None, n: int) -> NDArray[np.bool_] | None:
        """Of what rules allow, (n,), what who looks at this placement may be shown."""
        sensitive = self._knowledge.sensitive
        if not self.is_for_minors or sensitive is None:
            return allowed
        suitable = sensitive.others(n)
        return suitable if allowed is None else _both(allowed, suitable)

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
        moments: Moments | None,
        now_ms: int,
        seen: Seen,
        of_arms: Mapping[Arm, RankingParams] | None = None,
        narrowed: Narrowed | None = None,
    ) -> RankedBatch:
        """Lists as they are shown; see `models.page.ranked.rank_page`.

        Args:
            question, params, semantics, sequence, explained, moments: as for `models.ranking.rank.rank`.
            users: what the placement knows of the same users, see `users_of`.
            keys: of the same users.
            now_ms: the wall clock.
            seen: what rules are asked of.
            of_arms: of arms with weights of their own, instead of `params`.
            narrowed: what a request allows; None: everything.
        """
        of_arms = of_arms or {}
        if self.asked is not None:
            users = users._replace(asked=self._asked_of(keys))
        arms = self.arms_of(keys)
        groups = self._groups(keys, arms, of_arms)
        made = [
            self._rank_group(
                group,
                question.take(rows),
                of_arms.get(group.arm, params),
                users.take(rows),
                None if semantics is None else semantics.take(rows),
                None if sequence is None else sequence.take(rows),
                explained[rows],
                moments if group.arm is None or moments is None else self._moments.setdefault(group.arm, Moments()),
                now_ms,
                seen,
                narrowed,
            )
            for group, rows in groups.items()
        ]
        ranked = made[0] if len(made) == 1 else _in_order(made, np.concatenate(list(groups.values())))
        if ranked.placed is not None and ranked.placed.of_asked is not None:
            self.answers |= zip(keys, ranked.placed.of_asked, strict=True)
        if arms is None or ranked.placed is None:
            return ranked
        return ranked._replace(placed=ranked.placed._replace(arms=tuple(arms)))

    def _asked_of(self, keys: Sequence[bytes]) -> I4:
        found = np.full((len(keys), self.slots), NO_INDEX, np.int32)
        for u, key in enumerate(keys):
            items = (self.asked or {}).get(key, found[u, :0])[: self.slots]
            found[u, : len(items)] = items
        return found

    def arms_of(self, keys: Sequence[bytes]) -> list[Arm] | None:
        """Of each user; None: there is no experiment."""
        return [assigned(self.experiments, key) for key in keys] if self.experiments else None

    def _groups(
        self, keys: Sequence[bytes], arms: Sequence[Arm] | None, of_arms: Mapping[Arm, RankingParams]
    ) -> dict[Group, I8]:
        """Users by how their lists are composed, and the rules that count for them."""
        if not self._rules.has_shares(self.name) and arms is None:
            return {Group(self.params, self._rules.rules_of(b"", self.name)): np.arange(len(keys))}
        groups: dict[Group, list[int]] = {}
        for u, key in enumerate(keys):
            arm = None if arms is None else arms[u]
            rules = self._rules.rules_of(key, self.name, _told(arm))
            groups.setdefault(Group(self._params[arm], rules, arm if arm in of_arms else None), []).append(u)
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
        moments: Moments | None,
        now_ms: int,
        seen: Seen,
        narrowed: Narrowed | None,
    ) -> RankedBatch:
        knowledge, (page, rules, _) = self._knowledge, group
        scope = self._rules.scope(rules, seen, page.compose.slots)
        allowed = self._for_audience(scope.allowed, seen.size)
        catalog, priors = self.what_may(allowed, scope.rules, now_ms, followed(params.weights), narrowed)
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
        composed, ids = made.composed, self._rules.ids
        names = (*MOVES, *(f"rule:{rule_id}" for rule_id in ids))
        # Of the rules of this group -> of all, so that the lists of a batch have one table of names.
        numbers = np.array([*range(BY_RULES), *(BY_RULES + bisect_left(ids, rule_id) for rule_id in rules)], np.int16)
        moved_by = numbers[composed.moved_by]
        relaxed = (scope.relaxed,) * len(composed.items)
        placed = Placed(moved_by, composed.propensity, composed.promoted, names, self.name, relaxed)
        if composed.of_asked.shape[1]:
            placed = placed._replace(of_asked=composed.of_asked)
        ranked = made.ranked
        if self._has_fatigue and FATIGUE_PART not in ranked.parts:
            ranked = ranked._replace(parts=ranked.parts | {FATIGUE_PART: np.zeros_like(ranked.scores)})
        return ranked._replace(placed=placed)

    def what_may(
        self,
        allowed: NDArray[np.bool_] | None,
        rules: tuple[str, ...],
        now_ms: int,
        followed: int,
        narrowed: Narrowed | None = None,
    ) -> tuple[Catalog, Priors]:
        """The catalogue as far as `rules` allow it (`allowed` (n,); None: everything), and a request does, and what leads in
        it: of now, or of a moment ago."""
        knowledge = self._knowledge
        if narrowed is not None:
            allowed = narrowed.allowed if allowed is None else _both(allowed, narrowed.allowed)
            rules = (*rules, narrowed.name)
        if allowed is None:
            return knowledge.catalog, knowledge.priors(now_ms, followed)
        kept, version = self._priors.get(rules), self._rules.version
        max_age_ms = max(PRIORS_MAX_AGE_MS, len(knowledge.index) // 20)
        catalog = knowledge.catalog.only(allowed)
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
        self._priors[rules] = now_ms, version, priors
        return catalog, priors

    def users_of(self, states: States, rows: I8, behaviours: Behaviours, user_ids: Sequence[str]) -> PageUsers:
        """What the placement knows of `rows` (u,) of the states of a partition."""
        exposed = Exposed(*room(len(rows)))
        unanswered(states.columns, rows, behaviours.item, *exposed)
        key = np.zeros(len(rows), np.uint64)
        if self._is_exploring:
            fences = states.fence[rows].tolist()
            key[:] = [
                draw_key(self._seed, user_id, fence, self.name) for user_id, fence in zip(user_ids, fences, strict=True)
            ]
        return PageUsers(exposed, key, np.zeros((len(rows), 0), np.int32))

    def _items(self, page: PageParams, scope: Scope, now_ms: int) -> PageItems:
        explore = page.compose.explore
        bonus, proposed = np.zeros(0, np.float32), scope.proposed
        if explore.slots:
            bonus, least = self._explorable.of(explore, now_ms)
            proposed = np.union1d(least, proposed).astype(np.int32)
        return PageItems(scope.placing, bonus, proposed, self._sketches(page), self._rules.has_boosts)

    def _sketches(self, page: PageParams) -> F4:
        vectors: ItemVectors | None = self._knowledge.vectors if page.compose.diversity else None
        return np.zeros((0, SKETCH_DIMS), np.float32) if vectors is None else vectors.sketches.rows(vectors)


def _told(arm: Arm) -> str | None:
    """As a rule names it."""
    return None if arm is None else "/".join(arm)


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
            of_asked=None
            if first.of_asked is None
            else np.concatenate([each.of_asked for each in placed if each.of_asked is not None])[order],
        ),
    )


def _both(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    n = min(len(one), len(other))
    return one[:n] & other[:n]


def room(users: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    return np.zeros((users, EXPOSURES), np.uint32), np.zeros((users, EXPOSURES), np.uint32)


@compiled
def unanswered(
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
