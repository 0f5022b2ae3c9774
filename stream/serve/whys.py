"""Why a place is what it is, and what a list would be if."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from models.ranking.features import PARTS
from stream.refresh.refresher import Request
from stream.serve.answers import ListAnswer, ListedItem, Move, WhatIfAnswer, WhyAnswer
from stream.serve.errors import RefusedQuestionError, UnknownThingError
from stream.serve.person import picture
from stream.serve.questions import N_MAX, WhatIfQuestion, WhyQuestion
from stream.serve.ranker import Made, Ranker
from stream.serve.shelf import Shelf
from stream.settings import Settings
from stream.state import edits
from stream.worker.tracker import Tracker


class WhyDesk:
    """Takes lists apart, and makes them as if."""

    def __init__(
        self, settings: Settings, tracker: Tracker, ranker: Ranker, shelf: Shelf, partition_of: Callable[[str], int]
    ) -> None:
        self._settings, self._tracker, self._ranker, self._shelf = settings, tracker, ranker, shelf
        self._partition_of = partition_of

    def why(self, user_id: str, rank: int, question: WhyQuestion) -> WhyAnswer:
        """One place of the person's list, taken apart."""
        known = self._ranker.load(user_id)
        request = Request(top_k=N_MAX if question.item is not None else max(rank, self._settings.top_k))
        made = self._ranker.list_for(user_id, self._partition_of(user_id), request, question.placement, known=known)
        if question.item is not None:
            rank = next((each.rank for each in made.answer.items if each.item_id == question.item), 0)
            if not rank:
                raise UnknownThingError(f"item {question.item!r} is not in the list", "item")
        if rank > len(made.answer.items):
            raise UnknownThingError(f"the list has {len(made.answer.items)} places", "rank")
        item = made.answer.items[rank - 1]
        return WhyAnswer(
            msgspec.structs.replace(made.answer, items=(item,)),
            item,
            self._ranker.features(made.requested, rank - 1),
            self._ranker.counterfactual(made.requested, user_id) if rank == 1 and not item.moved_by else None,
        )

    def what_if(self, user_id: str, question: WhatIfQuestion) -> WhatIfAnswer:
        """The person's list as it is, and as it would be."""
        began = time.perf_counter()
        self._check(question)
        partition, ranker = self._partition_of(user_id), self._ranker
        known = self._ranker.load(user_id)
        page = ranker.page(question.placement)
        top_k = max(question.n, page.slots)
        before = ranker.list_for(user_id, partition, Request(top_k=top_k), question.placement, known=known)
        unknown = self._edit(question)
        request = Request(moment_ms=question.at, factors=question.weights, top_k=top_k)
        after = ranker.list_for(user_id, partition, request, question.placement, known=known)
        return WhatIfAnswer(
            list=self._with_counterfactual(_first(after.answer, question.n), after, user_id, question),
            before=_first(before.answer, question.n),
            moved=moves(before.answer.items[: question.n], after.answer.items[: question.n]),
            interests=picture(after.requested.asking, ranker),
            at=int(after.requested.asking.question.now_ms[0]),
            took_ms=(time.perf_counter() - began) * 1000,
            unknown=tuple(unknown),
        )

    def _with_counterfactual(
        self, answer: ListAnswer, made: Made, user_id: str, question: WhatIfQuestion
    ) -> ListAnswer:
        """Of the list as it is alone: a list as if is an answer already."""
        if question != WhatIfQuestion(n=question.n, placement=question.placement):
            return answer
        return msgspec.structs.replace(answer, counterfactual=self._ranker.counterfactual(made.requested, user_id))

    def _check(self, question: WhatIfQuestion) -> None:
        for name in question.weights:
            if name not in PARTS:
                raise RefusedQuestionError(f"no part {name!r}; there is {', '.join(PARTS)}", "$.weights")
        for at, item_id in enumerate(question.with_):
            if self._shelf.item(item_id) is None:
                raise RefusedQuestionError(f"no item {item_id!r} is in the catalogue", f"$.with[{at}]")

    def _edit(self, question: WhatIfQuestion) -> list[str]:
        """The row as the question has it; names that mean no behaviour."""
        states, params = self._ranker.states, self._ranker.update
        names = self._tracker.knowledge.names
        last_ms = int(states.last_ms[0])  # of impressions, too
        behaviours = edits.remembered(states)
        hashes = [names.hash_for(name) for name in question.without]
        struck, unknown = edits.named(behaviours, question.without, hashes)
        if struck:
            edits.strike(states, struck, params)
        if question.at is not None and question.at < last_ms:
            edits.as_of(states, question.at, params)
        if question.with_:
            now_ms = time.time_ns() // 1_000_000
            time_ms = edits.newest_ms(states) or min(now_ms, self._tracker.knowledge.newest_ms or now_ms)
            items = np.array([names.hash_for(item_id) for item_id in question.with_], np.uint64)
            edits.click(states, items, time_ms, params)
        return unknown


def moves(before: Sequence[ListedItem], after: Sequence[ListedItem]) -> tuple[Move, ...]:
    """What differs between two lists: by the place after, and then what left by its place before."""
    was, is_ = {each.item_id: each.rank for each in before}, {each.item_id: each.rank for each in after}
    moved = [
        Move(each.item_id, each.title, was.get(each.item_id), each.rank)
        for each in after
        if was.get(each.item_id) != each.rank
    ]
    return (*moved, *(Move(each.item_id, each.title, each.rank, None) for each in before if each.item_id not in is_))


def _first(answer: ListAnswer, n: int) -> ListAnswer:
    return msgspec.structs.replace(answer, items=answer.items[:n])
