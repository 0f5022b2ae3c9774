"""Rules: those that count, a draft tried on real people, and its publication."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from stream.errors import UsageError
from stream.metrics import Metrics
from stream.refresh.pages import Pages
from stream.refresh.refresher import Request
from stream.rules.book import RULE
from stream.rules.lint import lint
from stream.rules.rule import Rule, from_json, to_json
from stream.rules.topic import publish_changes
from stream.serve.answers import ListAnswer, Published, RulesAnswer, RuleShown, Tried, TryAnswer
from stream.serve.errors import RefusedQuestionError
from stream.serve.followed.lists import LastLists
from stream.serve.followed.people import FollowedPeople
from stream.serve.questions import PublishQuestion, TryQuestion
from stream.serve.ranker import Ranker
from stream.serve.whys import moves
from stream.settings import Settings
from stream.settings.placements import HOME
from stream.wire.records import recommendation_decoder
from stream.worker.tracker import Tracker

TRIED_ON: Final = 10
SHOWN: Final = 10
"""Places whose probabilities are added up."""

KEPT_S: Final = 5.0


class RuleDesk:
    """Rules."""

    def __init__(
        self,
        settings: Settings,
        tracker: Tracker,
        ranker: Ranker,
        lists: LastLists,
        people: FollowedPeople,
        partition_of: Callable[[str], int],
    ) -> None:
        """`lists`: those of the placement `home`."""
        self._settings, self._tracker, self._ranker = settings, tracker, ranker
        self._lists, self._people, self._partition_of = lists, people, partition_of
        self._moved: tuple[float, Counter[str]] = (float("-inf"), Counter())
        self._counting = asyncio.Lock()

    async def rules(self) -> RulesAnswer:
        """Those that are followed, and what they moved in the last lists."""
        async with self._counting:  # once for all who ask
            if time.monotonic() - self._moved[0] > KEPT_S:
                found = await asyncio.to_thread(moved_places, self._lists)
                self._moved = time.monotonic(), found
        pages = self._tracker.refresher.pages
        active, moved = pages.rules, self._moved[1]
        book, counting = active.book, set(active.ids)
        shown = [
            RuleShown(
                rule_id,
                rule.kind,
                rule.note,
                msgspec.Raw(to_json(rule)),
                int(active.marks_of(rule_id).means.sum()) if rule_id in counting else None,
                rule_id in counting,
                moved[f"rule:{rule_id}"],
            )
            for rule_id, rule in sorted(book.rules.items())
        ]
        return RulesAnswer(tuple(shown), (pages.is_compiled and active.is_ready) or active.is_empty)

    async def tried(self, question: TryQuestion) -> TryAnswer:
        """A draft on real people; nothing is published.

        Raises:
            RefusedQuestionError: it is no rule.
        """
        rule = self._rule(question.key, bytes(question.rule))
        await self._compiled()
        pages, warnings, items = self._with_draft(question.key, rule)
        page = pages.named(rule.placement or HOME)
        if page is None:
            raise RefusedQuestionError(f"there is no placement {rule.placement!r}", "$.rule.placement")
        people = question.people or tuple(user for user, _ in self._people.lately(TRIED_ON))
        tried = []
        for user_id in people:
            known = self._ranker.load(user_id)
            partition, request = self._partition_of(user_id), Request(top_k=self._settings.top_k)
            before = self._ranker.list_for(user_id, partition, request, page.name, known=known).answer
            after = self._ranker.list_for(user_id, partition, request, page.name, known=known, page=page).answer
            tried.append(Tried(user_id, before, after, moves(before.items, after.items)))
            await asyncio.sleep(0)
        return TryAnswer(
            tuple(tried),
            items,
            tuple(warnings),
            sum(_clicks(each.before) for each in tried),
            sum(_clicks(each.after) for each in tried),
        )

    async def publish(self, question: PublishQuestion) -> Published:
        """Have all workers follow it; null withdraws it.

        Raises:
            RefusedQuestionError: it is no rule.
        """
        raw = bytes(question.rule)
        rule = None if raw == b"null" else self._rule(question.key, raw)
        await asyncio.to_thread(publish_changes, self._settings, {f"{RULE}{question.key}": rule})
        return Published(question.key)

    def _rule(self, key: str, raw: bytes) -> Rule:
        try:
            return from_json(key, raw)
        except UsageError as error:
            raise RefusedQuestionError(str(error), "$.rule") from None

    async def _compiled(self) -> None:
        if not self._tracker.refresher.pages.is_compiled:
            await asyncio.to_thread(self._tracker.compile_placement)
            self._tracker.use_placements()
            self._tracker.look_at_all_rules(time.monotonic())

    def _with_draft(self, key: str, rule: Rule) -> tuple[Pages, Sequence[str], int | None]:
        knowledge, now_ms = self._tracker.knowledge, time.time_ns() // 1_000_000
        pages = Pages(self._settings, knowledge, Metrics())
        own = self._tracker.refresher.pages.rules.book
        draft = {**own.rules, key: rule}
        try:
            pages.rules.book.replace(draft)
        except UsageError as error:
            raise RefusedQuestionError(str(error), "$.rule") from None
        if pages.rules.book.refused:
            raise RefusedQuestionError(pages.rules.book.refused[0], "$.rule")
        for name, placement in own.placements.items():
            pages.rules.book.placements[name] = placement
        pages.is_compiled = True
        seen = pages.seen(now_ms)
        pages.rules.look(seen, whole=True)
        pages.look_at_rules(now_ms)
        slots = {page.name: page.slots for page in (pages.home, *pages.others)}
        linted = lint(draft, knowledge.catalog, slots, now_ms)
        told = [each.says for each in linted.findings if each.rule_id == key]
        return pages, told, linted.means.get(key)


def moved_places(lists: LastLists) -> Counter[str]:
    """How many places of the last lists each rule moved; blocking."""
    found: Counter[str] = Counter()
    for _, value in lists.some():
        if b'"moved_by":"rule:' not in value:
            continue
        with suppress(msgspec.DecodeError, UnicodeDecodeError):  # of a later release, say
            found.update(str(item.moved_by) for item in recommendation_decoder.decode(value).items)
    return found


def _clicks(answer: ListAnswer) -> float:
    return sum(item.probability for item in answer.items[:SHOWN])
