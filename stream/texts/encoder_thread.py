"""The encoder in one supervised thread of its own: it takes a batch whenever the device is free, dies, hangs, and is made anew.

While a batch runs, the next full one is put together already. A batch that an encoder died with is tried again, text by text,
until the one to blame is found. Every entry that is accepted comes back through `on_answers`, unless `drain` takes it away.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from models.encoder.contract import Encoder, Prepared
from models.encoder.errors import ModelError
from stream.errors import InvariantError, ModelUnusableError
from stream.metrics import TextMetrics
from stream.texts.backlog import Backlog, BatchLimits, Entry, Taken, TimeFit
from stream.texts.batch import Answer, BatchOutcome, Budget, EncoderBrokenError, Refused, run_batch

logger = logging.getLogger(__name__)

PROBE_TEXT: Final = "a text that is good for certain"
MAX_DEATHS: Final = 3
"""Encoders an entry may outlive before it is given up."""

MAX_RESTARTS: Final = 5
RESTART_WINDOW_S: Final = 60.0
FIRST_RESTART_WAIT_S: Final = 0.1
DOWN_WAIT_S: Final = 5.0
DOWN_WAIT_MAX_S: Final = 300.0
"""An encoder that cannot be kept alive is tried again after so long, twice as long each time."""
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


class Load(NamedTuple):
    """What waits, and for how long."""

    texts: int
    tokens: int
    oldest_s: float
    """How long the longest-waiting text has waited; 0 = none waits."""
    silent_s: float
    """How long no batch has ended although there is one to end; 0 = there is none."""


class _Running(NamedTuple):
    taken: Taken
    started_at: float


class SupervisedEncoder:
    """Entries in, answers out. All methods are called on the event loop that called `start`, except those marked as the
    thread's."""

    def __init__(
        self,
        make_encoder: Callable[[], Encoder],
        options: BatcherOptions,
        metrics: TextMetrics,
        *,
        on_answers: Callable[[Sequence[Entry], Sequence[Answer]], None],
        on_down: Callable[[BaseException], None],
        on_up: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing happens before `start`.

        Args:
            make_encoder: loads the encoder; called in its thread, and again after it died.
            options: bounds.
            metrics: of texts.
            on_answers: called on the event loop with entries that have left, and the answer of each.
            on_down: called on the event loop when the encoder could not be kept alive; nothing is encoded until `on_up`. It is
                tried again, for as long as it takes.
            on_up: called when it encodes again.
            clock: seconds, monotonic.
        """
        self._make_encoder, self._options, self._metrics = make_encoder, options, metrics
        self._on_answers, self._on_down, self._on_up, self._clock = on_answers, on_down, on_up, clock
        self._down_wait_s = 0.0
        """How long it was waited for when it was away last; 0: it is not."""
        self._budget = Budget(options.max_tokens)
        self._fit = TimeFit()
        self._encoder: Encoder | None = None
        self._restarts: list[float] = []
        self._last_progress = clock()
        self._watching: asyncio.Task[None] | None = None
        # Shared with the thread, under the condition's lock:
        self._condition = threading.Condition()
        self._backlog = Backlog(options.ageing_s)
        self._running: _Running | None = None
        self._prefetched: Taken | None = None
        self._generation = 0
        self._is_closing = False

    # --- starting, stopping ---

    async def start(self) -> None:
        """Load the encoder and warm it up; returns when it has encoded.

        Raises:
            ModelUnusableError: it cannot be loaded as the settings say.
            InvariantError: it was loaded but does not work, or took longer than `start_timeout_s`.
        """
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._start_thread()
        try:
            await asyncio.wait_for(self._ready, self._options.start_timeout_s)
        except ModelError as error:
            raise ModelUnusableError(error.message, error.fix) from None
        except TimeoutError:
            raise InvariantError(f"the encoder was not ready within {self._options.start_timeout_s:g} s") from None
        except Exception as error:
            raise InvariantError(f"the encoder does not work: {type(error).__name__}: {error}") from error
        self._watching = asyncio.ensure_future(self._watch())

    def close(self) -> None:
        """Begin no further batch, restart no more; `join` waits for the thread's end."""
        with self._condition:
            self._is_closing = True
            self._condition.notify_all()
        if self._watching is not None:
            self._watching.cancel()

    async def join(self, timeout_s: float) -> None:
        """Wait for the thread's end, so long at most."""
        await asyncio.to_thread(self._thread.join, timeout_s)
        self._metrics.encoder_alive.set(0)

    @property
    def encoder(self) -> Encoder:
        """The encoder in use, for its version, dimensions and provider. After `start`."""
        if self._encoder is None:
            raise RuntimeError("the micro-batcher was not started")
        return self._encoder

    # --- what waits ---

    @property
    def waiting_texts(self) -> int:
        """Texts that wait for a batch."""
        return self._backlog.texts

    @property
    def waiting_tokens(self) -> int:
        """Their tokens."""
        return self._backlog.tokens

    @property
    def budget_tokens(self) -> int:
        """Tokens that a batch may have now."""
        return self._budget.tokens

    def seconds(self, tokens: int) -> float:
        """How long so many tokens take, by the speed of the last batches."""
        return self._fit.seconds(tokens, self._budget.tokens)

    def load(self) -> Load:
        """What waits now."""
        now = self._clock()
        with self._condition:
            texts, tokens, oldest = self._backlog.texts, self._backlog.tokens, self._backlog.oldest_at()
            since = oldest if self._running is None else self._running.started_at
        oldest_s = 0.0 if oldest is None else max(0.0, now - oldest)
        return Load(texts, tokens, oldest_s, 0.0 if since is None else now - max(since, self._last_progress))

    def is_running(self, entry: Entry) -> bool:
        """Whether it is in the batch that runs now."""
        running = self._running
        return running is not None and entry in running.taken.entries

    def add(self, entry: Entry) -> None:
        """Queue it; `notify` after the last of several. It has its waiters already: one without is dropped."""
        with self._condition:
            self._backlog.add(entry)

    def promote(self, entry: Entry) -> None:
        """Somebody urgent wants a text that waits as periodic."""
        with self._condition:
            self._backlog.promote(entry)

    def notify(self) -> None:
        """There may be something to do."""
        with self._condition:
            self._condition.notify_all()
        self._prefetch()

    def drain(self) -> None:
        """Forget all that waits."""
        with self._condition:
            self._backlog.drain()
            self._prefetched = None

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
            self._generation += 1  # the thread ends
            self._go_down(InvariantError(f"the encoder changed to {encoder.model_version} while running"))
            return
        self._encoder = encoder
        if self._down_wait_s:
            self._down_wait_s = 0.0
            self._on_up()
        self._last_progress = self._clock()
        self._metrics.encoder_provider.labels(encoder.provider).set(1)
        self._metrics.encoder_alive.set(1)
        logger.info(
            "encoder: %s on %s, batches of %d tokens", encoder.model_version, encoder.provider, self._budget.tokens
        )
        if not self._ready.done():
            self._ready.set_result(None)

    def _finished(self, generation: int, running: _Running, outcome: BatchOutcome, at: float) -> None:
        if generation != self._generation:
            return  # declared dead meanwhile; its texts are answered by its successor
        self._last_progress = at
        taken = running.taken
        self._fit.add(taken.padded_tokens, at - running.started_at)
        self._on_answers(taken.entries, outcome.answers)
        self._measure(running, outcome, at)

    def _measure(self, running: _Running, outcome: BatchOutcome, at: float) -> None:
        metrics, taken = self._metrics, running.taken
        metrics.encoder_batch_texts.observe(len(taken.entries))
        metrics.encoder_batch_tokens.observe(taken.padded_tokens)
        tokens = sum(entry.prepared.tokens for entry in taken.entries)
        metrics.encoder_padding.inc(max(0, taken.padded_tokens - tokens))
        is_waited = taken.reason == "idle" and self._options.wait_s > 0
        metrics.encoder_dispatches.labels("waited" if is_waited else taken.reason).inc()
        oldest = min(entry.queued_at for entry in taken.entries)
        metrics.encoder_stage_seconds.labels("queue").observe(max(0.0, running.started_at - oldest))
        metrics.encoder_stage_seconds.labels("encode").observe(at - running.started_at)
        metrics.encoder_bisections.inc(outcome.bisections)
        metrics.encoder_texts.labels("encoded").inc(sum(not isinstance(a, Refused) for a in outcome.answers))

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
        if len(self._restarts) >= MAX_RESTARTS or isinstance(error, ModelError) or self._down_wait_s:
            self._go_down(error)
            return
        wait_s = FIRST_RESTART_WAIT_S * 2 ** len(self._restarts) if self._restarts else 0.0
        self._restarts.append(now)
        self._metrics.encoder_restarts.inc()
        logger.warning(
            "the encoder died (%s: %s); starting it again. Nothing to do; if it comes often, report it",
            type(error).__name__,
            error,
        )
        self._last_progress = now
        self._loop.call_later(wait_s, self._restart)

    def _restart(self) -> None:
        if not self._is_closing:
            self._start_thread()

    def _retry(self, entries: Iterable[Entry], *, is_their_fault: bool) -> None:
        """Texts that an encoder died with: again, one by one, until one of them proves to be the killer."""
        suspects = list(entries)
        for entry in suspects:
            if entry.is_answered:
                continue  # just before the thread died
            entry.deaths += 1
            if len(suspects) == 1 and entry.deaths > 1 and is_their_fault:
                self._on_answers([entry], [Refused("killed_encoder")])
            elif entry.deaths > MAX_DEATHS or not entry.waiters:
                self._on_answers([entry], [Refused("encoder_down")])
            else:
                entry.queued_at = self._clock()
                self.add(entry)

    def _go_down(self, error: BaseException) -> None:
        self._down_wait_s = min(2 * self._down_wait_s, DOWN_WAIT_MAX_S) if self._down_wait_s else DOWN_WAIT_S
        logger.error(
            "the encoder is away (%s: %s); lists go without new texts, and it is tried again in %g s. "
            "Fix: see that its device or service works",
            type(error).__name__,
            error,
            self._down_wait_s,
        )
        self._metrics.encoder_alive.set(0)
        self._on_down(error)
        self._loop.call_later(self._down_wait_s, self._restart)

    async def _watch(self) -> None:
        """A thread that hangs cannot be ended, only left behind."""
        while True:
            await asyncio.sleep(min(self._options.stall_s / 4, 5.0))
            running = self._running
            if running is not None and self._clock() - running.started_at > self._options.stall_s:
                self._died(self._generation, TimeoutError(f"a batch took longer than {self._options.stall_s:g} s"))
