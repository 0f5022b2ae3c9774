"""All placements of a worker, the rules that count in them, and what compiles both.

Without a placement in the settings, and without rules, nothing of this is there: lists are byte for byte those of the ranking.
"""

from __future__ import annotations

import numpy as np

from models.items.priors import Priors
from models.items.sketches import SKETCH_DIMS
from models.page.compose import ComposeParams
from models.page.explore import ExploreParams
from models.page.fatigue import Exposed, FatigueParams
from models.page.placing import no_placing
from models.page.ranked import PageItems, PageParams, PageUsers, rank_page
from models.ranking.features import Question
from models.ranking.moment import Moments
from models.ranking.rank import RankingParams
from models.ranking.semantics import Semantics
from stream.metrics import Metrics
from stream.refresh.explorable import Explorable
from stream.refresh.knowledge import Knowledge
from stream.refresh.page import Page, room, unanswered
from stream.rules.active import ActiveRules
from stream.rules.book import RuleBook
from stream.rules.live_placement import refusal_by
from stream.rules.marks import Seen
from stream.settings import Settings
from stream.settings.placements import HOME
from stream.state.record import States


class Pages:
    """The placements of a worker."""

    def __init__(self, settings: Settings, knowledge: Knowledge, metrics: Metrics) -> None:
        self._knowledge = knowledge
        self.rules = ActiveRules(RuleBook(refusal_by(settings)))
        explorable = Explorable(knowledge, metrics)
        self.home = Page(HOME, settings, knowledge, self.rules, explorable)
        self.topics = settings.placement_topics()
        """By name of each placement but `home`: where its lists go."""
        self.others = tuple(Page(name, settings, knowledge, self.rules, explorable) for name in self.topics)
        self.is_configured = self.home.is_configured or bool(self.others)
        """By the settings: else there is a placement only while rules count."""
        self.has_minors = any(page.is_for_minors for page in (self.home, *self.others))
        """Whether a placement leaves out what is sensitive; no rule and no arm can change that."""
        self.is_compiled = False
        """What makes their lists; rules do not count before, since a first list would wait for it."""
        self._is_news = False

    @property
    def are_to_be_compiled(self) -> bool:
        """The topic of rules says something that waits for it."""
        return not self.is_compiled and not (self.rules.is_empty and not self.rules.book.placements)

    def warm_up(self, question: Question, params: RankingParams, priors: Priors, text: Semantics | None) -> None:
        """Compile what makes a placement's lists: those of nobody, with everything that may be decided."""
        knowledge, users = self._knowledge, len(question.history)
        page = PageParams(
            ComposeParams(params.top_k, 0.5, "dpp", ExploreParams(1, 1, min_history=0)),
            FatigueParams(1.0),
            params.top_k,
        )
        exposed = Exposed(*room(users))
        unanswered(States(1).columns, np.zeros(users, np.int64), np.zeros((users, 1), np.uint64), *exposed)
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
            of_users=PageUsers(exposed, np.zeros(users, np.uint64), np.zeros((users, 0), np.int32)),
            semantics=text,
            moments=Moments(),
        )
        self.is_compiled = True

    def named(self, placement: str) -> Page | None:
        """The placement of this name; None: the worker has none."""
        return next((page for page in (self.home, *self.others) if page.name == placement), None)

    # --- rules ---

    @property
    def are_looking_at_rules(self) -> bool:
        """Of some rules it is not known yet which items they mean."""
        return self.is_compiled and not self.rules.is_ready

    def look_at_rules(self, now_ms: int) -> None:
        """Look which items rules mean, at some at a time, and how placements are by now. Nothing of it counts before
        `is_compiled`."""
        if not self.is_compiled or (self.rules.is_empty and self.rules.is_ready):
            return
        self._is_news |= self.rules.look(self.seen(now_ms))
        for page in (self.home, *self.others):
            self._is_news |= page.follow(self.rules.book.placements.get(page.name))

    def take_news(self) -> bool:
        """Whether lists may come out otherwise than at the last call: rules, what they mean, or placements changed."""
        is_news, self._is_news = self._is_news, False
        return is_news

    def seen(self, now_ms: int) -> Seen:
        """What rules are asked of."""
        knowledge = self._knowledge
        return Seen(knowledge.catalog, knowledge.stats.count, knowledge.sentence_time_ms(now_ms))
