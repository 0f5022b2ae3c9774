"""The encoder's micro-batcher: an asyncio front, and one supervised thread that runs the encoder.

The front cleans texts, answers from a cache, lets equal texts share one computation and queues the rest; the thread takes a
batch whenever the device is free, with no timer by default. While it computes, the front already puts the next full batch
together. Every text that is accepted is answered: with a vector or with a reason, also if its text breaks the encoder, the
thread dies or hangs, the deadline passes or the worker stops.

Text-embeddings-inference and Infinity (see the README's decisions) do parts of this, as servers: neither coalesces, and one
bad input stops the latter for good.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder.contract import Encoder, Prepared, Role
from models.encoder.errors import ModelError
from models.encoder.text import clean_text, text_hash
from stream.errors import InvariantError, ModelUnusableError
from stream.metrics import Metrics
from stream.texts.backlog import Backlog, BatchLimits, Entry, Priority, Taken, TimeFit
from stream.texts.batch import POISONED, Answer, Budget, EncoderBrokenError, Outcome, Refused, run_batch

__all__ = ["Answer", "BatcherOptions", "Health", "MicroBatcher", "Priority", "Refused"]

logger = logging.getLogger(__name__)

PROBE_TEXT: Final = "a text that is good for certain"
PREPARE_TEXTS: Final = 256
"""Texts cleaned and tokenised at once: between two lots the event loop gets its turn."""

MAX_QUARANTINED: Final = 10_000
MAX_DEATHS: Final = 3
"""Encoders an entry may outlive before it is given up."""

MAX_RESTARTS: Final = 5
RESTART_WINDOW_S: Final = 60.0
FIRST_RESTART_WAIT_S: Final = 0.1
_LOCAL: Final = frozenset({"cpu", "cuda", "tensorrt"})


class BatcherOptions(NamedTuple):
    """Bounds; see the settings `encoder_*`."""

    max_tokens: int = 2048
    max_texts: int = 1024
    wait_s: float = 0.0
    queue_max_texts: int = 32_768
    queue_max_tokens: int = 1 << 21
    timeout_s: float = 60.0
    ageing_s: float = 5.0
    stall_s: float = 60.0
    start_timeout_s: float = 300.0
    cache_max_texts: int = 20_000
    quarantine_s: float = 600.0


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


class _Running(NamedTuple):
    taken: Taken
    started_at: float


class MicroBatcher:
    """Texts in, vectors out. All methods are called on the event loop that called `start`."""

    def __init__(
        self,
        make_encoder: Callable[[], Encoder],
        options: BatcherOptions,
        metrics: Metrics,
        *,
        on_down: Callable[[BaseException], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            make_encoder: loads the encoder; called in its thread, and again after it died.
            options: bounds.
            metrics: the worker's.
            on_down: called once, when the encoder could not be kept alive; the worker should stop.
            clock: seconds, monotonic.
        """
        self._make_encoder, self._options, self._metrics = make_encoder, options, metrics
        self._on_down, self._clock = on_down, clock
        self._budget = Budget(options.max_tokens)
        self._fit = TimeFit()
        self._encoder: Encoder | None = None
        self._entries: dict[bytes, Entry] = {}  # accepted and not yet answered
        self._cache: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._quarantine: OrderedDict[bytes, float] = OrderedDict()
        self._accepted = 0  # texts being tokenised, beside those in the backlog
        self._restarts: list[float] = []
        self._last_progress = clock()
        self._refusal: Refused | None = None  # of everything, once stopped or down
        self._tasks: set[asyncio.Task[Any]] = set()
        # Shared with the thread, under the condition's lock:
        self._condition = threading.Condition()
        self._backlog = Backlog(options.ageing_s)
        self._running: _Running | None = None
        self._prefetched: Taken | None = None
        self._generation = 0
        self._is_closing = False

    # --- starting, stopping, being asked ---

    async def start(self) -> None:
        """Load the encoder and warm it up; returns when it has encoded.

        Raises:
            ModelUnusableError: it cannot be loaded as the settings say.
            InvariantError: it was loaded but does not work, or took longer than `start_timeout_s`.
        """
        self._loop = asyncio.get_running_loop()
        self._preparer = ThreadPoolExecutor(1, "encoder-prepare")
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._start_thread()
        try:
            await asyncio.wait_for(self._ready, self._options.start_timeout_s)
        except ModelError as error:
            await self.stop(0.0)
            raise ModelUnusableError(error.message, error.fix) from None
        except TimeoutError:
            await self.stop(0.0)
            raise InvariantError(f"the encoder was not ready within {self._options.start_timeout_s:g} s") from None
        except Exception as error:
            await self.stop(0.0)
            raise InvariantError(f"the encoder does not work: {type(error).__name__}: {error}") from error
        self._keep(self._watch())

    async def stop(self, timeout_s: float) -> None:
        """Take no more texts, encode what waits for up to `timeout_s`, refuse the rest, end the thread."""
        self._refusal = self._refusal or Refused("stopped")
        waiting = {waiter.done for entry in self._entries.values() for waiter, _ in entry.waiters}
        if waiting and timeout_s > 0:
            await asyncio.wait(waiting, timeout=timeout_s)
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()
        self._refuse_all(self._refusal)
        for task in self._tasks:
            task.cancel()
        self._preparer.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._thread.join, max(timeout_s, 1.0))
        self._metrics.texts.encoder_alive.set(0)

    @property
    def encoder(self) -> Encoder:
        """The encoder in use, for its version, dimensions and provider. After `start`."""
        if self._encoder is None:
            raise RuntimeError("the micro-batcher was not started")
        return self._encoder

    def health(self) -> Health:
        """Alive = not given up, and with texts waiting a batch has ended within `stall_s`."""
        now = self._clock()
        with self._condition:
            texts, tokens, oldest = self._backlog.texts, self._backlog.tokens, self._backlog.oldest_at()
            since = oldest if self._running is None else self._running.started_at
        oldest_s = 0.0 if oldest is None else max(0.0, now - oldest)
        silent_s = 0.0 if since is None else now - max(since, self._last_progress)
        if self._refusal is not None:
            return Health(False, self._refusal.detail or self._refusal.reason, texts, tokens, oldest_s)
        if silent_s > self._options.stall_s:
            return Health(False, f"no batch ended for {silent_s:.0f} s", texts, tokens, oldest_s)
        return Health(True, "ok", texts, tokens, oldest_s)

    def update_metrics(self) -> None:
        """Set the gauges; to be called now and then."""
        health = self.health()
        self._metrics.texts.encoder_alive.set(health.is_alive)
        self._metrics.texts.encoder_queue_texts.set(health.queue_texts)
        self._metrics.texts.encoder_queue_tokens.set(health.queue_tokens)
        self._metrics.texts.encoder_queue_age.set(health.oldest_s)
        self._metrics.texts.encoder_budget.set(self._budget.tokens)

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
                self._metrics.texts.encoder_refused.labels(answer.reason).inc()
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
            refusal = self._refusal or (None if clean else Refused("empty")) or self._quarantined(key)
            if refusal is not None:
                request.answer(position, refusal)
            elif (vector := self._cached(key)) is not None:
                self._metrics.texts.encoder_texts.labels("cached").inc()
                request.answer(position, vector)
            elif (entry := self._entries.get(key)) is not None:
                self._metrics.texts.encoder_texts.labels("coalesced").inc()
                self._join(entry, request, position, priority)
            elif key in fresh:
                self._metrics.texts.encoder_texts.labels("coalesced").inc()
                places[key].append(position)
            elif self._accepted + self._backlog.texts + len(fresh) >= self._options.queue_max_texts:
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
        with self._condition:
            self._condition.notify_all()
        self._prefetch()

    async def _prepared(self, texts: list[str], role: Role) -> list[Prepared | Refused]:
        """Tokenised in a thread; if one text breaks the tokeniser, the others are tokenised without it."""
        encoder = self.encoder

        def work() -> list[Prepared | Refused]:
            try:
                return [*encoder.prepare(texts, role)]
            except Exception:  # noqa: BLE001  (a tokeniser raises anything; one text at a time finds the one)
                return [_prepared_alone(encoder, text, role) for text in texts]

        with self._metrics.texts.encoder_stage_seconds.labels("prepare").time():
            try:
                return await self._loop.run_in_executor(self._preparer, work)
            except RuntimeError:  # shut down meanwhile
                return [self._refusal or Refused("stopped")] * len(texts)

    def _over_bounds(self, tokens: int, priority: Priority, timeout_s: float) -> Refused | None:
        waiting = self._backlog.tokens
        if waiting + tokens > self._options.queue_max_tokens:
            return Refused("queue_full", f"{waiting} tokens are waiting")
        if priority is Priority.URGENT:  # passes what is periodic, so the whole backlog is an upper bound only
            return None if timeout_s > self._fit.seconds(tokens, self._budget.tokens) else _TOO_LATE
        return None if timeout_s > self._fit.seconds(waiting + tokens, self._budget.tokens) else _TOO_LATE

    def _enter(self, entry: Entry, request: _Request, places: list[int]) -> None:
        """Queue a text. It has its waiters before the thread can see it: one without is dropped."""
        entry.waiters = [(request, position) for position in places]
        request.entries.add(entry)
        self._entries[entry.key] = entry
        with self._condition:
            self._backlog.add(entry)

    def _join(self, entry: Entry, request: _Request, position: int, priority: Priority) -> None:
        if request.done.done():
            return
        entry.waiters.append((request, position))
        request.entries.add(entry)
        if priority is Priority.URGENT and entry.priority is Priority.PERIODIC:
            with self._condition:
                self._backlog.promote(entry)

    def _expire(self, request: _Request) -> None:
        for position, answer in enumerate(request.answers):
            if answer is None:
                request.answer(position, Refused("too_late"))

    def _withdraw(self, request: _Request) -> None:
        """Nobody waits for this request any more; texts that nobody else wants are dropped when their turn comes."""
        for entry in request.entries:
            entry.waiters = [waiter for waiter in entry.waiters if waiter[0] is not request]
            if not entry.waiters and self._entries.get(entry.key) is entry and not self._is_running(entry):
                del self._entries[entry.key]
        request.entries.clear()

    def _is_running(self, entry: Entry) -> bool:
        running = self._running
        return running is not None and entry in running.taken.entries

    # --- cache and quarantine ---

    def _cached(self, key: bytes) -> NDArray[np.float32] | None:
        vector = self._cache.get(key)
        if vector is not None:
            self._cache.move_to_end(key)
        return vector

    def _remember(self, key: bytes, vector: NDArray[np.float32]) -> None:
        vector.flags.writeable = False  # several callers get the same array
        self._cache[key] = vector
        while len(self._cache) > self._options.cache_max_texts:
            self._cache.popitem(last=False)

    def _quarantined(self, key: bytes) -> Refused | None:
        until = self._quarantine.get(key)
        if until is None:
            return None
        if until <= self._clock():
            del self._quarantine[key]
            return None
        return Refused("quarantined")

    # --- the thread's side ---

    def _start_thread(self) -> None:
        self._generation += 1
        self._thread = threading.Thread(
            target=self._work, args=(self._generation,), name=f"encoder-{self._generation}", daemon=True
        )
        self._thread.start()

    def _work(self, generation: int) -> None:
        try:
            encoder = self._make_encoder()
            try:
                probe = encoder.prepare([PROBE_TEXT], "passage")[0]
                self._warm_up(encoder, probe)
                self._post(self._started, generation, encoder)
                while (running := self._next(generation)) is not None:
                    batch = [entry.prepared for entry in running.taken.entries]
                    outcome = run_batch(encoder, batch, self._budget, probe)
                    self._post(self._finished, generation, running, outcome, self._clock())
            finally:
                encoder.close()
        except BaseException as error:  # noqa: BLE001  (the thread's edge: whatever it is, texts wait for an answer)
            self._post(self._died, generation, error)

    def _warm_up(self, encoder: Encoder, probe: Prepared) -> None:
        """The smallest and the largest batch: allocates, tunes, and finds out whether the budget fits the device."""
        answer = run_batch(encoder, [probe], self._budget, probe).answers[0]
        if isinstance(answer, Refused):
            raise EncoderBrokenError(f"{PROBE_TEXT!r} gave no vector: {answer.reason} {answer.detail}")
        if encoder.provider in _LOCAL:
            longest = encoder.prepare(["word " * encoder.max_tokens], "passage")[0]
            n = max(1, min(self._budget.tokens // longest.tokens, self._options.max_texts))
            started = self._clock()
            run_batch(encoder, [longest] * n, self._budget, probe)
            self._fit.add(n * longest.tokens, self._clock() - started)

    def _next(self, generation: int) -> _Running | None:
        """Wait for a batch; None when this thread should end."""
        with self._condition:
            self._running = None if generation == self._generation else self._running
            while generation == self._generation and not self._is_closing:
                taken, self._prefetched = self._still_wanted(self._prefetched), None
                if taken is None and not self._should_wait():
                    taken = self._backlog.take(self._limits())
                if taken is not None:
                    self._running = _Running(taken, self._clock())
                    self._post(self._prefetch)
                    return self._running
                self._condition.wait(self._options.wait_s if self._backlog.texts else None)
        return None

    def _should_wait(self) -> bool:
        """At a low rate, with the setting: a moment for more texts to come."""
        oldest = self._backlog.oldest_at()
        if not self._options.wait_s or oldest is None or self._backlog.tokens >= self._budget.tokens:
            return False
        return self._clock() - oldest < self._options.wait_s

    def _still_wanted(self, taken: Taken | None) -> Taken | None:
        if taken is None:
            return None
        wanted = [entry for entry in taken.entries if entry.waiters]
        return taken._replace(entries=wanted) if wanted else None

    def _limits(self) -> BatchLimits:
        return BatchLimits(self._budget.tokens, self._options.max_texts)

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *arguments)

    # --- back on the event loop ---

    def _prefetch(self) -> None:
        """Put the next batch together while the device is busy, if there is enough for a full one."""
        with self._condition:
            if self._running is not None and self._prefetched is None and self._backlog.tokens >= self._budget.tokens:
                self._prefetched = self._backlog.take(self._limits())

    def _started(self, generation: int, encoder: Encoder) -> None:
        if generation != self._generation:
            return
        if self._encoder is not None and encoder.model_version != self._encoder.model_version:
            self._give_up(InvariantError(f"the encoder changed to {encoder.model_version} while running"))
            return
        self._encoder = encoder
        self._last_progress = self._clock()
        self._metrics.texts.encoder_provider.labels(encoder.provider).set(1)
        self._metrics.texts.encoder_alive.set(1)
        logger.info(
            "encoder: %s on %s, batches of %d tokens", encoder.model_version, encoder.provider, self._budget.tokens
        )
        if not self._ready.done():
            self._ready.set_result(None)

    def _finished(self, generation: int, running: _Running, outcome: Outcome, at: float) -> None:
        if generation != self._generation:
            return  # declared dead meanwhile; its texts are answered by its successor
        self._last_progress = at
        taken = running.taken
        self._fit.add(taken.padded_tokens, at - running.started_at)
        for entry, answer in zip(taken.entries, outcome.answers, strict=True):
            self._resolve(entry, answer)
        self._measure(running, outcome, at)

    def _measure(self, running: _Running, outcome: Outcome, at: float) -> None:
        metrics, taken = self._metrics, running.taken
        metrics.texts.encoder_batch_texts.observe(len(taken.entries))
        metrics.texts.encoder_batch_tokens.observe(taken.padded_tokens)
        tokens = sum(entry.prepared.tokens for entry in taken.entries)
        metrics.texts.encoder_padding.inc(max(0, taken.padded_tokens - tokens))
        is_waited = taken.reason == "idle" and self._options.wait_s > 0
        metrics.texts.encoder_dispatches.labels("waited" if is_waited else taken.reason).inc()
        oldest = min(entry.queued_at for entry in taken.entries)
        metrics.texts.encoder_stage_seconds.labels("queue").observe(max(0.0, running.started_at - oldest))
        metrics.texts.encoder_stage_seconds.labels("encode").observe(at - running.started_at)
        metrics.texts.encoder_bisections.inc(outcome.bisections)
        metrics.texts.encoder_texts.labels("encoded").inc(sum(not isinstance(a, Refused) for a in outcome.answers))

    def _resolve(self, entry: Entry, answer: Answer) -> None:
        if isinstance(answer, Refused):
            if answer.reason in POISONED:
                self._quarantine[entry.key] = self._clock() + self._options.quarantine_s
                if len(self._quarantine) > MAX_QUARANTINED:
                    self._quarantine.popitem(last=False)
        else:
            self._remember(entry.key, answer)
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
        for request, position in entry.waiters:
            request.answer(position, answer)

    # --- supervision ---

    def _died(self, generation: int, error: BaseException) -> None:
        """The thread ended: its batch is tried again, and a new encoder is made, within bounds."""
        if generation != self._generation or self._is_closing:
            return
        if not self._ready.done():  # at the first start the caller hears of it
            self._ready.set_exception(error if isinstance(error, Exception) else InvariantError(repr(error)))
            return
        now = self._clock()
        self._generation += 1  # nothing more from that thread counts
        with self._condition:
            running, self._running = self._running, None
            prefetched, self._prefetched = self._prefetched, None
            if prefetched is not None:
                self._backlog.put_back(prefetched.entries)
            self._condition.notify_all()
        if running is not None:
            self._retry(running.taken.entries, is_their_fault=not isinstance(error, EncoderBrokenError))
        self._restarts = [at for at in self._restarts if now - at < RESTART_WINDOW_S]
        if len(self._restarts) >= MAX_RESTARTS or isinstance(error, ModelError):
            self._give_up(error)
            return
        wait_s = FIRST_RESTART_WAIT_S * 2 ** len(self._restarts) if self._restarts else 0.0
        self._restarts.append(now)
        self._metrics.texts.encoder_restarts.inc()
        logger.warning("the encoder died (%s: %s); starting it again", type(error).__name__, error)
        self._last_progress = now
        self._loop.call_later(wait_s, self._restart)

    def _restart(self) -> None:
        if not self._is_closing:
            self._start_thread()

    def _retry(self, entries: Iterable[Entry], *, is_their_fault: bool) -> None:
        """Texts that an encoder died with: again, one by one, until one of them proves to be the killer."""
        entries = list(entries)
        for entry in entries:
            if self._entries.get(entry.key) is not entry:
                continue  # answered just before the thread died
            entry.deaths += 1
            if len(entries) == 1 and entry.deaths > 1 and is_their_fault:
                self._resolve(entry, Refused("killed_encoder"))
            elif entry.deaths > MAX_DEATHS:
                self._resolve(entry, Refused("encoder_down"))
            elif entry.waiters:
                entry.queued_at = self._clock()
                with self._condition:
                    self._backlog.add(entry)
            else:
                self._entries.pop(entry.key, None)

    def _give_up(self, error: BaseException) -> None:
        logger.error("the encoder cannot be kept alive: %s: %s", type(error).__name__, error)
        self._refusal = Refused("encoder_down", f"{type(error).__name__}: {error}"[:200])
        self._refuse_all(self._refusal)
        self._metrics.texts.encoder_alive.set(0)
        if self._on_down is not None:
            self._keep(self._on_down(error))

    def _refuse_all(self, refusal: Refused) -> None:
        with self._condition:
            self._backlog.drain()
            self._prefetched = None
        for entry in list(self._entries.values()):
            self._resolve(entry, refusal)

    async def _watch(self) -> None:
        """A thread that hangs cannot be ended, only left behind."""
        while True:
            await asyncio.sleep(min(self._options.stall_s / 4, 5.0))
            self.update_metrics()
            running = self._running
            if running is not None and self._clock() - running.started_at > self._options.stall_s:
                self._died(self._generation, TimeoutError(f"a batch took longer than {self._options.stall_s:g} s"))

    def _keep(self, work: Awaitable[Any]) -> None:
        """A task that is not garbage-collected while it runs."""

        async def run() -> None:
            await work

        task = asyncio.ensure_future(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_TOO_LATE: Final = Refused("too_late", "by the speed of the last batches")


def _prepared_alone(encoder: Encoder, text: str, role: Role) -> Prepared | Refused:
    try:
        return encoder.prepare([text], role)[0]
    except Exception as error:  # noqa: BLE001  (see `_prepared`)
        return Refused("failed", f"{type(error).__name__}: {error}"[:200])
