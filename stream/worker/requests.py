"""Requests of people, carried out at their place among the person's events: see `stream.wire.requests`.

All that a request changes in memory becomes durable with the next commit: deletions, what is taken out of the
statistics, the mark that keeps old events from coming back, and the receipt, in one transaction. A crash before it
changes nothing, and the request is read again. Only the published list is deleted at once, by the producer that sent it,
so that no older one comes behind.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from msgspec import UNSET

from models.hashing import item_hash
from models.items.co_occurrence import Withdrawn
from models.items.record import NEVER_MS
from stream.errors import CorruptStateError
from stream.kafka.partitioner import key_partition
from stream.partitions.users import TakenOut, UserPartition
from stream.privacy.signing import is_signed, signed_receipt
from stream.privacy.verifying import person_hash
from stream.state.contributions import Contributions
from stream.state.standing import Standing
from stream.wire.decode import BAD_SIGNATURE, QUARANTINED, Rejected
from stream.wire.records import encode
from stream.wire.requests import PrivacyRequest, Receipt, StillHeld
from stream.worker.foreign_keys import REKEYED_HEADER
from stream.worker.parts import WorkerParts

logger = logging.getLogger(__name__)

NAMED_MAX: Final = 100
"""Items that a receipt names."""

_SALT_BYTES: Final = 16


class RequestHandler:
    """Of one worker. Runs on the event loop and never awaits."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts, self._settings, self._tracker = parts, parts.settings, parts.tracker

    def handle(self, users: UserPartition, record: Any, request: PrivacyRequest, now_ms: int) -> None:
        """Carry out one request, or refuse it."""
        user = request.user_id.encode()
        if (why := self._why_refused(record, request, user)) is not None:
            return self._refuse(record, why)
        if self._is_elsewhere(users, record, user):
            return self._send_home(users, record, user)
        offset = users.base_offset + record.offset
        if users.standing.is_done(user, offset) or (request.request == "rectify" and users.fence_of(user) > offset):
            return None  # read again: it was carried out, and does not mean what came after it
        try:
            receipt = self._carry_out(
                users, user, request, Standing("erased", offset, max(0, record.timestamp)), now_ms
            )
        except CorruptStateError as error:
            return self._refuse(record, Rejected(QUARANTINED, f"what is stored cannot be read: {error}"))
        users.receipts.append((request.request_id.encode(), encode(self._signed(receipt))))
        self._parts.metrics.input.requests.labels(request.request).inc()
        return None

    def _why_refused(self, record: Any, request: PrivacyRequest, user: bytes) -> Rejected | None:
        keys = self._settings.trusted_requesters
        if record.key is not None and record.key != user:
            return Rejected("key_mismatch", "the record's key differs from user_id")
        if keys and not is_signed(request, keys):
            return Rejected(BAD_SIGNATURE, "no key of request_public_keys signed this request")
        return None

    def _carry_out(
        self, users: UserPartition, user: bytes, request: PrivacyRequest, at: Standing, now_ms: int
    ) -> Receipt:
        kind, removed, out = request.request, {}, TakenOut([], None)
        if kind in ("erase", "object"):
            removed = self._held(users, user)
            out = self._tracker.erase(users, user)
            removed |= _numbers(out.added)
            if any(
                removed.values()
            ):  # of somebody unknown nothing can come back, and marks of them would have no bound
                users.standing.erased(user, at)
            users.standing.release(user)
        if kind in ("restrict", "object"):
            users.standing.set(user, at._replace(kind="restricted" if kind == "restrict" else "objecting"))
            self._tracker.drop_list(users.partition, user)
        if kind == "release" and users.standing.release(user) is not None and users.knows(user):
            self._tracker.queue.add(users.partition, user, "refresh", 0.0)
        if kind == "rectify":
            assert request.item_id is not UNSET, "read_request looks"
            out, removed = self._tracker.rectify(users, user, item_hash(str(request.item_id)))
        if kind in ("erase", "object", "restrict"):
            self._withdraw_lists(user)
        elif kind == "rectify" and users.knows(user):
            self._tracker.queue.add(users.partition, user, "refresh", 0.0)
        waiting = {} if out.of_items is None else self._waiting(out.of_items)
        return self._receipt(users, request, at, now_ms, removed, out.added, waiting)

    def _withdraw_lists(self, user: bytes) -> None:
        for topic in (self._settings.topic_recommendations, *self._settings.placement_topics().values()):
            self._parts.producer.send(topic, user, None)

    # --- the receipt ---

    def _held(self, users: UserPartition, user: bytes) -> dict[str, int]:
        """What there is of a person before it goes."""
        (ledger,) = users.outcomes.ledgers.rows([user]).tolist()
        columns = users.outcomes.ledgers.states.columns
        lists = (
            0 if ledger < 0 else int(columns.n_lists[ledger] + columns.n_touches[ledger] + columns.n_purchases[ledger])
        )
        return {"states": int(users.knows(user)), "ledger_entries": lists}

    def _waiting(self, out: Withdrawn) -> dict[str, list[str]]:
        """Items whose rows no subtraction makes those of a run without the person, as this worker knows them."""
        knowledge = self._tracker.knowledge
        stats, hashes = knowledge.stats, out.items
        if not len(hashes):
            return {}
        at = knowledge.index.lookup(hashes).astype(np.int64)
        known = (at >= 0) & (at < stats.size)
        rows = stats.neighbour_row[at[known]].astype(np.int64)
        lengths = (stats.neighbours[rows] >= 0).sum(axis=1)
        paired = np.isin(hashes[known], np.concatenate((out.item, out.history.ravel())))
        trimmed = hashes[known][paired & (lengths >= self._settings.neighbours_max // 2)]
        first_ms = {int(i): NEVER_MS for i in out.item}
        last_ms = {int(i): 0 for i in out.item}
        for item, ms in zip(out.item.tolist(), out.time_ms.tolist(), strict=True):
            first_ms[item], last_ms[item] = min(first_ms[item], ms), max(last_ms[item], ms)
        ends = [
            int(h)
            for h, i in zip(hashes[known].tolist(), at[known].tolist(), strict=True)
            if h in first_ms
            and stats.count[i] > 1
            and (first_ms[h] <= stats.first_seen_ms[i] or last_ms[h] >= stats.trend_ms[i])
        ]
        found = {"neighbours_trimmed": self._names(trimmed.tolist()), "first_or_last_time": self._names(ends)}
        return {why: names for why, names in found.items() if names}

    def _names(self, hashes: Sequence[int]) -> list[str]:
        named = (self._tracker.knowledge.name_of(each) for each in hashes[:NAMED_MAX])
        return [name for name in named if name is not None]

    def _receipt(
        self,
        users: UserPartition,
        request: PrivacyRequest,
        at: Standing,
        now_ms: int,
        removed: dict[str, int],
        added: Sequence[Contributions],
        waiting: dict[str, list[str]],
    ) -> Receipt:
        is_deleting = request.request in ("erase", "object", "rectify")
        is_complete = self._settings.keep_contributions and not any(each.is_incomplete for each in added)
        salt = os.urandom(_SALT_BYTES)
        return Receipt(
            request_id=request.request_id,
            request=request.request,
            person=person_hash(request.user_id, salt),
            salt=salt.hex(),
            topic=self._settings.topic_events,
            partition=users.partition,
            offset=at.offset - users.base_offset,
            done_at=now_ms,
            requester="" if request.requester is UNSET else str(request.requester),
            removed={name: n for name, n in removed.items() if n},
            exact=not is_deleting or (is_complete and not waiting),
            waiting=waiting if is_complete else {**waiting, "not_written_down": []},
            still_held=self._still_held(now_ms) if is_deleting else (),
            models=self._models(users) if is_deleting and _numbers(added) else (),
        )

    def _still_held(self, now_ms: int) -> tuple[StillHeld, ...]:
        settings = self._settings

        def topic(name: str, why: str) -> StillHeld:
            kept_ms = self._parts.kept_ms(name)
            return StillHeld(name, why, None if kept_ms is None else now_ms + kept_ms)

        held = [
            topic(settings.topic_events, "the events as they were sent; they are passed over from now on"),
            topic(settings.topic_attributions, "reasons and outcomes that were published"),
            topic(settings.topic_dead_letter, "events that were refused: `penchant dead-letter purge`"),
        ]
        if settings.journal_dir is not None:
            held.append(StillHeld("journal_dir", "what was written down for `penchant simulate`: delete the files"))
        held.append(StillHeld("backups", "those made before: delete them, or ask again after a restore"))
        return tuple(held)

    def _models(self, users: UserPartition) -> tuple[str, ...]:
        # The first: fading sums over judgements, each counting e times less after 300 more.
        learned = [f"newcomers/{users.partition}"]
        if users.clicks.model is not None:
            learned.append(f"click-model/{users.partition}")
        serving = self._tracker.serving
        learned.append(f"ranker/{serving.params.weights.version}")
        if (sequence := serving.sequences.model_version) is not None:
            learned.append(f"sequence/{sequence}")
        return tuple(learned)

    def _signed(self, receipt: Receipt) -> Receipt:
        key = self._settings.receipt_private_key
        return receipt if key is None else signed_receipt(receipt, key.get_secret_value())

    # --- elsewhere ---

    def _refuse(self, record: Any, why: Rejected) -> None:
        if self._settings.shadow is None:
            self._parts.dead_letters.refused(record, why)

    def _is_elsewhere(self, users: UserPartition, record: Any, user: bytes) -> bool:
        """Whether the person's events go to another partition, as far as the partitioner says, and there is nothing of theirs
        here."""
        if any(name == REKEYED_HEADER for name, _ in record.headers or ()):
            return False
        if record.key is None:
            return True
        if users.log is None:
            return False
        if users.knows(user):
            return False
        return key_partition(user, users.log.partitions, self._settings.partitioner) != users.partition

    def _send_home(self, users: UserPartition, record: Any, user: bytes) -> None:
        if self._settings.shadow is not None:
            return
        origin = f"{record.partition}-{users.base_offset + record.offset}"
        self._parts.producer.send(
            self._settings.topic_events, user, record.value, headers=[(REKEYED_HEADER, origin.encode())]
        )
        self._parts.metrics.input.rekeyed.inc()


def _numbers(added: Sequence[Contributions]) -> dict[str, int]:
    return {
        name: n
        for name, n in (
            ("engagements", sum(len(each.engagements) for each in added)),
            ("exposures_and_clicks", sum(len(each.seen) for each in added)),
            ("strategy_numbers", sum(len(each.earned) for each in added)),
        )
        if n
    }
