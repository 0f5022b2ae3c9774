"""The encoder's micro-batcher, seen from the event loop: it cleans texts, answers from memory, lets equal texts share one
computation and hands the rest to the encoder's thread, with no timer by default.

Every text that is accepted is answered: with a vector or with a reason, also if its text breaks the encoder, the thread dies
or hangs, the deadline passes or the worker stops.

Text-embeddings-inference and Infinity do parts of this, as servers: neither coalesces, and one bad input stops the latter for
good.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from models.encoder.contract import Encoder, Prepared, Role
from models.encoder.text import clean_text, text_hash
from stream.errors import PenchantError
from stream.metrics import TextMetrics
from stream.texts.backlog import Entry, Priority
from stream.texts.batch import POISONED, Answer, Refused
from stream.texts.encoder_thread import BatcherOptions, SupervisedEncoder
from stream.texts.memory import Quarantine, VectorCache

__all__ = ["Answer", "BatcherOptions", "Health", "MicroBatcher", "Priority", "Refused"]

PREPARE_TEXTS: Final = 256
"""Texts cleaned and tokenised at once: between two lots the event loop gets its turn."""


class Health(NamedTuple):
    """Is the encoder doing its work?"""

    is_alive: bool
    detail: str
    queue_texts: int
    queue_tokens: int
    oldest_s: float


class _Request:
    """One call of `encode`: its answers so far, and the future that ends it."""

    __slots__ = ("answers", "done", "entries", "missing")

    def __init__(self, n: int, done: asyncio.Future[None]) -> None:
        self.answers: list[Answer | None] = [None] * n
        self.missing = n
        self.done = done
        self.entries: set[Entry] = set()

    def answer(self, position: int, answer: Answer) -> None:
        """The first answer of a position counts."""
        if self.answers[position] is None:
            self.answers[position] = answer
            self.missing -= 1
            if not self.missing and not self.done.done():
                self.done.set_result(None)


class MicroBatcher:
    """Texts in, vectors out. All methods are called on the event loop that called `start`."""

    def __init__(
        self,
        make_encoder: Callable[[], Encoder],
        options: BatcherOptions,
        metrics: TextMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            make_encoder: loads the encoder; called in its thread, and again after it died.
            options: bounds.
            metrics: of texts.
            clock: seconds, monotonic.
        """
        self._options, self._metrics, self._clock = options, metrics, clock
        self._thread = SupervisedEncoder(
            make_encoder,
            options,
            metrics,
            on_answers=self._resolve,
            on_down=self._go_down,
            on_up=self._come_up,
            clock=clock,
        )
        self._entries: dict[bytes, Entry] = {}  # accepted and not yet answered
        self._cache = VectorCache(options.cache_max_texts)
        self._quarantine = Quarantine(options.quarantine_s, clock)
        self._accepted = 0  # texts being tokenised, beside those in the backlog
        self._refusal: Refused | None = None  # of everything, once stopped or down

    # --- starting, stopping, being asked ---

    async def start(self) -> None:
        """Load the encoder and warm it up; returns when it has encoded.

        Raises:
            ModelUnusableError: it cannot be loaded as the settings say.
            InvariantError: it was loaded but does not work, or took longer than `start_timeout_s`.
        """
        self._loop = asyncio.get_running_loop()
        self._preparer = ThreadPoolExecutor(1, "encoder-prepare")
        try:
            await self._thread.start()
        except PenchantError:
            await self.stop(0.0)
            raise

    async def stop(self, timeout_s: float) -> None:
        """Take no more texts, encode what waits for up to `timeout_s`, refuse the rest, end the thread."""
        self._refusal = self._refusal or Refused("stopped")
        waiting = {waiter.done for entry in self._entries.values() for waiter, _ in entry.waiters}
        if waiting and timeout_s > 0:
            await asyncio.wait(waiting, timeout=timeout_s)
        self._thread.close()
        self._refuse_all(self._refusal)
        self._preparer.shutdown(wait=False, cancel_futures=True)
        await self._thread.join(max(timeout_s, 1.0))

    @property
    def encoder(self) -> Encoder:
        """The encoder in use, for its version, dimensions and provider. After `start`."""
        return self._thread.encoder

    def health(self) -> Health:
        """Alive = not away, and with texts waiting a batch has ended within `stall_s`."""
        texts, tokens, oldest_s, silent_s = self._thread.load()
        if self._refusal is not None:
            return Health(False, self._refusal.detail or self._refusal.reason, texts, tokens, oldest_s)
        if silent_s > self._options.stall_s:
            return Health(False, f"no batch ended for {silent_s:.0f} s", texts, tokens, oldest_s)
        return Health(True, "ok", texts, tokens, oldest_s)

    def update_metrics(self) -> None:
        """Set the gauges; to be called now and then."""
        health = self.health()
        self._metrics.encoder_alive.set(health.is_alive)
        self._metrics.encoder_queue_texts.set(health.queue_texts)
        self._metrics.encoder_queue_tokens.set(health.queue_tokens)
        self._metrics.encoder_queue_age.set(health.oldest_s)
        self._metrics.encoder_budget.set(self._thread.budget_tokens)

    # --- encoding ---

    async def encode(
        self,
        texts: Sequence[str],
        *,
        role: Role = "passage",
        priority: Priority = Priority.URGENT,
        timeout_s: float | None = None,
    ) -> list[Answer]:
        """An answer per text, in their order. Never raises for a text; cancelling it withdraws the texts.

        A text's vector is the same whatever it is encoded with (`models.encoder.contract.BATCH_TOLERANCE`).

        Args:
            texts: any strings.
            role: some models encode queries differently.
            priority: who goes first.
            timeout_s: after this a text is `Refused("too_late")`; None = the setting `encoder_timeout_s`. One that cannot
                be done in time, by the speed of the last batches, is refused at once.
        """
        if not texts:
            return []
        timeout_s = self._options.timeout_s if timeout_s is None else timeout_s
        request = _Request(len(texts), self._loop.create_future())
        timer = self._loop.call_later(timeout_s, self._expire, request)
        try:
            for start in range(0, len(texts), PREPARE_TEXTS):
                if request.done.done():
                    break
                await self._submit(request, texts[start : start + PREPARE_TEXTS], start, role, priority, timeout_s)
            await request.done
        finally:
            timer.cancel()
            self._withdraw(request)
        answers = [answer for answer in request.answers if answer is not None]
        for answer in answers:
            if isinstance(answer, Refused):
                self._metrics.encoder_refused.labels(answer.reason).inc()
        return answers

    async def _submit(
        self, request: _Request, texts: Sequence[str], start: int, role: Role, priority: Priority, timeout_s: float
    ) -> None:
        """Answer what can be answered at once, join what is under way, queue the rest."""
        fresh: dict[bytes, str] = {}
        places: dict[bytes, list[int]] = {}
        max_tokens = self.encoder.max_tokens
        for position, text in enumerate(texts, start):
            clean = clean_text(text, max_tokens)
            key = text_hash(f"{role}\n{clean}")
            refusal = self._refusal or (None if clean else Refused("empty"))
            if refusal is None and key in self._quarantine:
                refusal = Refused("quarantined")
            if refusal is not None:
                request.answer(position, refusal)
            elif (vector := self._cache.get(key)) is not None:
                self._metrics.encoder_texts.labels("cached").inc()
                request.answer(position, vector)
            elif (entry := self._entries.get(key)) is not None:
                self._metrics.encoder_texts.labels("coalesced").inc()
                self._join(entry, request, position, priority)
            elif key in fresh:
                self._metrics.encoder_texts.labels("coalesced").inc()
                places[key].append(position)
            elif self._accepted + self._thread.waiting_texts + len(fresh) >= self._options.queue_max_texts:
                request.answer(position, Refused("queue_full", f"{self._options.queue_max_texts} texts are waiting"))
            else:
                fresh[key] = clean
                places[key] = [position]
        if fresh:
            await self._queue(request, fresh, places, role, priority, timeout_s)

    async def _queue(
        self,
        request: _Request,
        fresh: dict[bytes, str],
        places: dict[bytes, list[int]],
        role: Role,
        priority: Priority,
        timeout_s: float,
    ) -> None:
        self._accepted += len(fresh)
        try:
            prepared = await self._prepared(list(fresh.values()), role)
        finally:
            self._accepted -= len(fresh)
        now = self._clock()
        for key, each in zip(fresh, prepared, strict=True):
            entry = self._entries.get(key)  # another call may have been faster
            refusal = self._refusal or (each if isinstance(each, Refused) else None)
            if refusal is None and entry is None and not isinstance(each, Refused):
                refusal = self._over_bounds(each.tokens, priority, timeout_s)
                if refusal is None and not request.done.done():
                    self._enter(Entry(key, each, priority, now), request, places[key])
                    continue
            for position in places[key]:
                if entry is not None and refusal is None:
                    self._join(entry, request, position, priority)
                else:
                    request.answer(position, refusal or _TOO_LATE)
        self._thread.notify()

    async def _prepared(self, texts: list[str], role: Role) -> list[Prepared | Refused]:
        """Tokenised in a thread; if one text breaks the tokeniser, the others are tokenised without it."""
        encoder = self.encoder

        def work() -> list[Prepared | Refused]:
            try:
                return [*encoder.prepare(texts, role)]
            except Exception:  # noqa: BLE001  (a tokeniser raises anything; one text at a time finds the one)
                return [_prepared_alone(encoder, text, role) for text in texts]

        with self._metrics.encoder_stage_seconds.labels("prepare").time():
            try:
                return await self._loop.run_in_executor(self._preparer, work)
            except RuntimeError:  # shut down meanwhile
                return [self._refusal or Refused("stopped")] * len(texts)

    def _over_bounds(self, tokens: int, priority: Priority, timeout_s: float) -> Refused | None:
        waiting = self._thread.waiting_tokens
        if waiting + tokens > self._options.queue_max_tokens:
            return Refused("queue_full", f"{waiting} tokens are waiting")
        if priority is Priority.URGENT:  # passes what is periodic, so the whole backlog is an upper bound only
            return None if timeout_s > self._thread.seconds(tokens) else _TOO_LATE
        return None if timeout_s > self._thread.seconds(waiting + tokens) else _TOO_LATE

    def _enter(self, entry: Entry, request: _Request, places: list[int]) -> None:
        """Queue a text. It has its waiters before the thread can see it: one without is dropped."""
        entry.waiters = [(request, position) for position in places]
        request.entries.add(entry)
        self._entries[entry.key] = entry
        self._thread.add(entry)

    def _join(self, entry: Entry, request: _Request, position: int, priority: Priority) -> None:
        if request.done.done():
            return
        entry.waiters.append((request, position))
        request.entries.add(entry)
        if priority is Priority.URGENT and entry.priority is Priority.PERIODIC:
            self._thread.promote(entry)

    def _expire(self, request: _Request) -> None:
        for position, answer in enumerate(request.answers):
            if answer is None:
                request.answer(position, Refused("too_late"))

    def _withdraw(self, request: _Request) -> None:
        """Nobody waits for this request any more; texts that nobody else wants are dropped when their turn comes."""
        for entry in request.entries:
            entry.waiters = [waiter for waiter in entry.waiters if waiter[0] is not request]
            if not entry.waiters and self._entries.get(entry.key) is entry and not self._thread.is_running(entry):
                del self._entries[entry.key]
        request.entries.clear()

    # --- back from the thread ---

    def _resolve(self, entries: Sequence[Entry], answers: Sequence[Answer]) -> None:
        for entry, answer in zip(entries, answers, strict=True):
            if not isinstance(answer, Refused):
                self._cache.put(entry.key, answer)
            elif answer.reason in POISONED:
                self._quarantine.add(entry.key)
            entry.is_answered = True
            if self._entries.get(entry.key) is entry:
                del self._entries[entry.key]
            for request, position in entry.waiters:
                request.answer(position, answer)

    def _go_down(self, error: BaseException) -> None:
        """Refuse all until the encoder is back: whoever asks goes without a vector, and asks again."""
        if self._refusal is None or self._refusal.reason == "encoder_down":  # not once it was stopped
            self._refusal = Refused("encoder_down", f"{type(error).__name__}: {error}"[:200])
            self._refuse_all(self._refusal)

    def _come_up(self) -> None:
        if self._refusal is not None and self._refusal.reason == "encoder_down":
            self._refusal = None

    def _refuse_all(self, refusal: Refused) -> None:
        self._thread.drain()
        entries = list(self._entries.values())
        self._resolve(entries, [refusal] * len(entries))


_TOO_LATE: Final = Refused("too_late", "by the speed of the last batches")


def _prepared_alone(encoder: Encoder, text: str, role: Role) -> Prepared | Refused:
    try:
        return encoder.prepare([text], role)[0]
    except Exception as error:  # noqa: BLE001  (see `_prepared`)
        return Refused("failed", f"{type(error).__name__}: {error}"[:200])
