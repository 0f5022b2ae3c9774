"""Lists made for a request, by the worker's own code, from the state of a person or the events of a visitor.

On the event loop: what is known changes there, too. One list takes about a millisecond.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec
import numpy as np

from models.items.catalog import CatalogItem
from models.items.names import ItemNames
from models.ranking.features import FEATURES, items_of
from models.ranking.rank import features_of, usable_places, weights_of
from models.ranking.weights import GATES, open_gates
from models.reasons.removal import used_places
from models.vocabulary import QUERY
from stream.errors import CorruptStateError, InvariantError
from stream.kafka.read_to_end import Record
from stream.params import decode_limits, update_params
from stream.refresh.page import Page
from stream.refresh.publish import ListHeader
from stream.refresh.refresher import Request, Requested
from stream.serve.answers import Cause, Counterfactual, ListAnswer, ListedItem
from stream.serve.errors import NotReadyError, RefusedQuestionError, UnknownThingError
from stream.serve.followed.people import FollowedPeople
from stream.serve.questions import SessionEvent
from stream.settings import Settings
from stream.settings.placements import HOME
from stream.state import edits
from stream.state.record import States
from stream.state.update import apply_events
from stream.wire.reasons import ItemReason, Reasons, item_reasons
from stream.wire.records import EventSource, Recommendation, RecommendedItem
from stream.worker.intake import read_chunk
from stream.worker.tracker import Tracker

logger = logging.getLogger(__name__)

T = TypeVar("T")

VISITOR: Final = "visitor"
"""Stands for whoever has no id: all of them are in the same share of a rule and in the same arm of an experiment."""

_ROW: Final = np.zeros(1, np.int64)
_COUNTERFACTUAL_PLACES: Final = 64


class Made(NamedTuple):
    """A list that was made for a request."""

    answer: ListAnswer
    requested: Requested


class Ranker:
    """Used from the event loop only: there is one row for whoever is asked about."""

    def __init__(self, settings: Settings, tracker: Tracker, people: FollowedPeople) -> None:
        self._settings, self._tracker, self._people = settings, tracker, people
        self.update, self._limits = update_params(settings), decode_limits(settings)
        self.states = States(1)
        """Row 0 is the person who was loaded last."""

    # --- who ---

    def load(self, user_id: str) -> bool:
        """The person's state, as it was committed last; whether anything is known of them.

        Raises:
            NotReadyError: what is stored cannot be read.
        """
        try:
            return self._people.load(user_id.encode(), self.states)
        except CorruptStateError as error:
            raise NotReadyError(
                f"what is stored for this person cannot be read: {error}. Fix: see the log of the workers"
            ) from None

    def visitor(self, events: Sequence[SessionEvent]) -> None:
        """Somebody of whom nothing is known but these events.

        Raises:
            RefusedQuestionError: one of them is none.
        """
        now_ms = time.time_ns() // 1_000_000
        records = [Record(VISITOR.encode(), _event(each, now_ms), offset, now_ms) for offset, each in enumerate(events)]
        self.states.clear(0)
        intake = read_chunk(records, self._limits.at(now_ms), ItemNames())  # what a visitor names is not kept
        if intake.refused:
            first = intake.refused[0]
            raise RefusedQuestionError(f"{first.why.reason}: {first.why.detail}", f"$.events[{first.record.offset}]")
        if len(intake.keys):
            apply_events(self.states, intake.columns, self.update)

    @property
    def offset(self) -> int:
        """Of the newest event that the row reflects; -1: none."""
        return int(self.states.fence[0])

    # --- lists ---

    def page(self, placement: str) -> Page:
        """The placement of this name.

        Raises:
            UnknownThingError: there is none.
        """
        found = self._tracker.refresher.pages.named(placement)
        if found is None:
            names = [HOME, *self._settings.placement_topics()]
            raise UnknownThingError(f"no placement {placement!r}; there is {', '.join(names)}", "placement")
        return found

    def list_for(
        self,
        user_id: str | None,
        partition: int,
        request: Request,
        placement: str,
        *,
        known: bool,
        page: Page | None = None,
    ) -> Made:
        """The list of the person in the row.

        Raises:
            InvariantError: none can be made: a score is not a number.
        """
        now_ms = time.time_ns() // 1_000_000
        states = self.states
        source = EventSource(self._settings.topic_events, partition, self.offset)
        who = ListHeader(
            user_id or VISITOR,
            source,
            edits.newest_ms(states) or int(states.last_ms[0]),
            "refresh",
            request.is_explained,
        )
        found = self._tracker.refresher.requested(page or self.page(placement), states, _ROW, who, now_ms, request)
        if not np.isfinite(found.ranked.scores).all():
            raise InvariantError("a score of the list is not a number")
        record = found.published.list.record
        reasons = None if found.published.reasons is None else found.published.reasons.record
        answer = ListAnswer(
            recommendation_id=record.recommendation_id,
            user_id=user_id,
            placement=placement,
            known=known,
            fresh=True,
            how="ranked",
            source=source if known and self.offset >= 0 else None,
            age_ms=0,
            generated_at=now_ms,
            event_time=who.event_time_ms,
            model=record.model,
            items=self.listed(record, reasons),
            gates=self.gates(found) if request.is_explained else (),
            relaxed=_or(record.relaxed, ()),
            experiments=_or(record.experiments, {}),
        )
        return Made(answer, found)

    def gates(self, made: Requested) -> tuple[str, ...]:
        """Names of the conditions that hold for the person, and so choose their weights."""
        knowledge, question = self._tracker.knowledge, made.asking.question
        usable = usable_places(question, items_of(knowledge.catalog, knowledge.stats), made.asking.text)
        if not usable[0]:
            return ("newcomer",)
        opened = open_gates(usable, question.idle_s)[0].tolist()
        return tuple(name for name, is_open in zip(GATES, opened, strict=True) if is_open)

    def listed(self, record: Recommendation, reasons: Reasons | None) -> tuple[ListedItem, ...]:
        """The places of a list with what people read of an item."""
        whys: Sequence[ItemReason | None] = [None] * len(record.items) if reasons is None else item_reasons(reasons)
        known = self.catalogue_items([item.item_id for item in record.items])
        return tuple(self._place(*each) for each in zip(record.items, whys, known, strict=False))

    def _place(self, item: RecommendedItem, why: ItemReason | None, known: CatalogItem | None) -> ListedItem:
        return ListedItem(
            item_id=item.item_id,
            title=item.item_id if known is None else known.title,
            rank=item.rank,
            score=item.score,
            probability=item.probability,
            strategy=item.strategy,
            propensity=item.propensity,
            parts=item.parts,
            price=None if known is None else known.price,
            categories=() if known is None else known.categories,
            moved_by=_or(item.moved_by, None),
            promoted=_or(item.promoted, False),
            reason=None if why is None else dict(why.sentences),
            causes=None
            if why is None
            else tuple(
                Cause(c.item_id, self.title_of(c.item_id), c.action, c.event_time, c.contribution)
                for c in why.contributions
            ),
            others=None if why is None else why.others,
        )

    def catalogue_item(self, item_id: str) -> CatalogItem | None:
        """As the catalogue has it; None: it does not."""
        return self.catalogue_items([item_id])[0]

    def catalogue_items(self, item_ids: Sequence[str]) -> list[CatalogItem | None]:
        """The same of several, looked up at once: one by one that is most of what a published list costs."""
        knowledge = self._tracker.knowledge
        hash_for = knowledge.names.hash_for
        found = knowledge.index.lookup(np.array([hash_for(item_id) for item_id in item_ids], np.uint64)).tolist()
        return [knowledge.catalog.item(at) if at >= 0 else None for at in found]

    def is_allowed(self, page: Page, user_id: str, item_ids: Sequence[str]) -> list[bool]:
        """Whether rules, and who looks there, allow the person each of these by now."""
        pages, knowledge = self._tracker.refresher.pages, self._tracker.knowledge
        if not page.is_for_minors and (pages.rules.is_empty or not pages.rules.ids):
            return [True] * len(item_ids)
        allowed = page.allowed(user_id.encode(), pages.seen(time.time_ns() // 1_000_000))
        if allowed is None:
            return [True] * len(item_ids)
        rows = knowledge.index.lookup(np.array([knowledge.names.hash_for(each) for each in item_ids], np.uint64))
        return [0 <= row < len(allowed) and bool(allowed[row]) for row in rows.tolist()]

    def title_of(self, item_id: str) -> str:
        """Of an item of the catalogue; else the id itself."""
        item = self.catalogue_item(item_id)
        return item_id if item is None else item.title

    # --- why ---

    def features(self, made: Requested, place: int) -> dict[str, float]:
        """What each feature adds to the score of a place (from 0) of a list that was just made; zeros are left out."""
        knowledge, asking = self._tracker.knowledge, made.asking
        question, params = asking.question, made.params
        items = items_of(knowledge.catalog, knowledge.stats)
        item = int(made.ranked.items[0, place])
        priors = knowledge.last_priors
        if priors is None or item < 0:
            return {}
        text = None if asking.text is None else asking.text._replace(candidates=np.full((1, 0), -1, np.int32))
        sequence = self._tracker.serving.sequences.expected(
            self.states,
            _ROW,
            question.now_ms,
            knowledge.index,
            None if asking.text is None else asking.text.vectors,
        )
        found, x = features_of(question, items, priors, (0, np.array([item], np.int32)), text, sequence)
        row = np.flatnonzero(found.item == item)
        if not len(row):
            return {}
        added = x[row[0]] * weights_of(question, items, params.weights, asking.text)[0]
        return {name: value for name, value in zip(FEATURES, added.tolist(), strict=True) if value}

    def counterfactual(self, made: Requested, user_id: str) -> Counterfactual | None:
        """The one item without which another would lead, if there is one; each is tried by ranking again."""
        refresher, asking = self._tracker.refresher, made.asking
        leader, knowledge = int(made.ranked.items[0, 0]), self._tracker.knowledge
        if leader < 0 or knowledge.speaks_of_sensitive(np.array([leader])):
            return None
        now_ms = time.time_ns() // 1_000_000
        person = refresher.what_if(self.states, asking, 0, refresher.ranking_inputs(now_ms, user_id.encode()))
        places = used_places(person.past)[:_COUNTERFACTUAL_PLACES].tolist()
        try:
            if not places or int(person.rank().items[0, 0]) != leader:
                return None  # more than scores put it there: a rule, say
            leads = person.leads([(place,) for place in places]).tolist()
        except ArithmeticError as error:  # an extra: the list and its reasons are as good without, as in a worker
            logger.warning("what would change a list is not known: %s. Nothing to do: it is answered without", error)
            return None
        catalog, items = knowledge.catalog, asking.question.history[0]
        for place, replacement in zip(places, leads, strict=True):
            removed = self.name_of(int(asking.recent.items[0, place]))
            instead = catalog.id_of(replacement) if replacement >= 0 else None
            # "Without it, it would lead" is true of what they clicked and might be shown again, and says nothing.
            is_told = not knowledge.speaks_of_sensitive(np.array([items[place], replacement]))
            if is_told and replacement != leader and instead != removed:
                return Counterfactual((removed,), instead, exact=True)
        return None

    def is_withheld(self, hashed: int) -> bool:
        """Whether it is an item that is no interest to be told of."""
        knowledge = self._tracker.knowledge
        return knowledge.speaks_of_sensitive(knowledge.index.lookup(np.array([hashed], np.uint64)))

    def name_of(self, hashed: int) -> str:
        """Of an item, or the text of a query; `hash:...` where nobody here knows it."""
        return self._tracker.knowledge.name_of(hashed) or f"hash:{hashed:016x}"

    def is_query(self, action: int) -> bool:
        """Whether behaviours of this action are about a text."""
        return action == QUERY


def _event(each: SessionEvent, now_ms: int) -> bytes:
    fields: Mapping[str, object] = msgspec.to_builtins(each)
    return msgspec.json.encode({"user_id": VISITOR, "event_time": now_ms} | dict(fields))


def _or(value: T | msgspec.UnsetType, otherwise: T) -> T:
    return otherwise if isinstance(value, msgspec.UnsetType) else value
