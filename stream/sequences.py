"""What the sequence model expects of users, computed beside the ranking at its own pace and kept for the lists that follow.

A user whose history changed is asked about; the newest question of a user counts. One task takes users in batches whenever the
thread is free, and every answer is made by one model with one state of its items: those that were current when the batch was
taken. A list uses what is there; how old that was is a metric.

`stream.batching.MicroBatcher` does this for texts, but all that is particular to it would be in the way: it tokenises, budgets
by tokens, remembers and quarantines by the hash of a text, and tells many callers of one text the same answer. Here an answer
belongs to one user, grows stale and is replaced, and nobody waits for it. What is alike is how it is kept alive: one bad
history never costs another, a thread that hangs is left behind and replaced, within bounds.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from itertools import islice
from queue import SimpleQueue
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.hashing import NO_ITEM
from models.sequence.items import ItemTable
from models.sequence.model import SequenceModel
from models.sequence.top_k import TopK
from stream.errors import InvariantError
from stream.metrics import Metrics

logger = logging.getLogger(__name__)

REFUSALS: Final = ("queue_full", "too_late", "failed", "stalled")
"""Every reason of the metric `penchant_sequence_users_refused_total`."""

MAX_RESTARTS: Final = 5
RESTART_WINDOW_S: Final = 60.0

_Key = tuple[int, bytes]


class SequenceOptions(NamedTuple):
    """Bounds."""

    expected: int = 200
    """Items kept of each user, 8 bytes each."""
    batch_users: int = 64
    queue_max_users: int = 100_000
    timeout_s: float = 60.0
    """A question that has waited so long is dropped: newer ones matter more."""
    stall_s: float = 30.0
    """A batch that takes so long is given up, and its thread is left behind."""
    cache_max_users: int = 50_000


class Histories(NamedTuple):
    """What u users had, as `stream.asking.first_engagements` gives it."""

    items: NDArray[np.uint64]
    """(u, t) uint64 hashes, oldest first, at the left."""
    times_ms: NDArray[np.int64]
    """(u, t) int64, ascending."""
    lengths: NDArray[np.int64]
    """(u,) int64."""


class Expected(NamedTuple):
    """What is expected of u users, k items each."""

    items: NDArray[np.uint64]
    """(u, k) uint64 hashes, likeliest first; `NO_ITEM` where there are fewer, and for users without an answer."""
    log_probability: NDArray[np.float32]
    """(u, k) float32 of the softmax over all items of the model; -inf where there is no item."""
    model_version: str
    """Of every answer in it."""


class _Question(NamedTuple):
    items: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    now_ms: int
    asked_at: float


class _Answer(NamedTuple):
    rows: NDArray[np.int32]
    log_probability: NDArray[np.float32]
    made_at: float


class _Batch(NamedTuple):
    """Users to be computed together, with everything that decides the answer."""

    model: SequenceModel
    table: ItemTable
    keys: list[_Key]
    questions: list[_Question]
    rows: NDArray[np.int32]
    times_ms: NDArray[np.int64]
    lengths: NDArray[np.int64]
    now_ms: NDArray[np.int64]

    def take(self, users: slice) -> _Batch:
        """A part of it."""
        return self._replace(
            keys=self.keys[users],
            questions=self.questions[users],
            rows=self.rows[users],
            times_ms=self.times_ms[users],
            lengths=self.lengths[users],
            now_ms=self.now_ms[users],
        )

    def compute(self, k: int) -> TopK:
        """In the thread."""
        queries = self.model.queries(self.rows, self.times_ms, self.lengths, self.now_ms, self.table)
        return self.model.top_k(queries, min(k, max(1, len(self.table.vectors))), table=self.table)


class Sequences:
    """All methods are called on one event loop; none but `run` and `stop` waits."""

    def __init__(
        self,
        model: SequenceModel,
        on_ready: Callable[[int, bytes], None],
        metrics: Metrics,
        options: SequenceOptions,
        *,
        on_down: Callable[[BaseException], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is computed before `run`.

        Args:
            model: open.
            on_ready: `on_ready(partition, user)` is called when a user has got a new answer.
            metrics: the worker's.
            options: bounds.
            on_down: awaited once, when the thread could not be kept alive; `run` ends then.
            clock: seconds, monotonic.
        """
        self._model, self._on_ready, self._metrics, self._options = model, on_ready, metrics, options
        self._on_down, self._clock = on_down, clock
        self._questions: OrderedDict[_Key, _Question] = OrderedDict()
        self._answers: OrderedDict[_Key, _Answer] = OrderedDict()
        self._running: set[_Key] = set()  # users of the batch under way who still want their answer
        self._work = asyncio.Event()
        self._thread = _Thread()
        self._restarts: list[float] = []

    @property
    def model(self) -> SequenceModel:
        """The one that answers now."""
        return self._model

    def swap(self, model: SequenceModel) -> None:
        """Another model from now on: answers of the former one are forgotten, and none of it comes any more.

        Whoever is waiting will be answered by the new one; others have to be asked about again.
        """
        self._model = model
        self._answers.clear()

    def ask(self, partition: int, users: Sequence[bytes], histories: Histories, now_ms: NDArray[np.int64]) -> None:
        """These users' histories changed, or their moment did; a question of theirs that still waits is replaced.

        Args:
            partition: of the users.
            users: u ids.
            histories: theirs.
            now_ms: (u,) int64, when they are asked about, in event time.
        """
        now = self._clock()
        length = self._model.length
        refused = 0
        for i, user in enumerate(users):
            key = (partition, user)
            if key not in self._questions and len(self._questions) >= self._options.queue_max_users:
                refused += 1
                continue
            newest = slice(max(0, int(histories.lengths[i]) - length), int(histories.lengths[i]))
            items, times_ms = histories.items[i, newest].copy(), histories.times_ms[i, newest].copy()
            # It takes the place in the queue of the one before: a busy user does not wait for ever.
            self._questions[key] = _Question(items, times_ms, int(now_ms[i]), now)
        if refused:
            self._metrics.sequence_refused.labels("queue_full").inc(refused)
        self._metrics.sequence_queue.set(len(self._questions))
        self._work.set()

    def expected(self, partition: int, users: Sequence[bytes]) -> Expected:
        """What is there about these users; their answers' ages are measured."""
        k, now = self._options.expected, self._clock()
        rows = np.full((len(users), k), -1, np.int32)
        log_probability = np.full((len(users), k), -np.inf, np.float32)
        for i, user in enumerate(users):
            answer = self._answers.get((partition, user))
            if answer is not None:
                self._answers.move_to_end((partition, user))
                rows[i, : answer.rows.size] = answer.rows
                log_probability[i, : answer.rows.size] = answer.log_probability
                self._metrics.sequence_age.observe(max(0.0, now - answer.made_at))
        return Expected(self._model.items.hashes(rows), log_probability, self._model.model_version)

    def has(self, partition: int, user: bytes) -> bool:
        """Whether there is an answer about this user."""
        return (partition, user) in self._answers

    def forget_user(self, partition: int, user: bytes) -> None:
        """Nothing about this user is kept (an erasure); an answer on its way is dropped."""
        self._questions.pop((partition, user), None)
        self._answers.pop((partition, user), None)
        self._running.discard((partition, user))

    def forget(self, partition: int) -> None:
        """The partition is another worker's now."""
        for kept in (self._questions, self._answers):
            for key in [key for key in kept if key[0] == partition]:
                del kept[key]
        self._running = {key for key in self._running if key[0] != partition}

    async def run(self) -> None:
        """Answer what is asked, until cancelled or given up."""
        self._thread.start()
        self._metrics.sequence_alive.set(1)
        try:
            while True:
                await self._work.wait()
                batch = self._take()
                if batch is None:
                    self._work.clear()
                elif not await self._answer(batch):
                    return
        finally:
            self._metrics.sequence_alive.set(0)
            self._thread.end()

    def _take(self) -> _Batch | None:
        """The longest waiting users, those whose question is too old left out; None when nobody waits."""
        options, model = self._options, self._model
        keys: list[_Key] = []
        questions: list[_Question] = []
        oldest = self._clock() - options.timeout_s
        late = 0
        while self._questions and len(keys) < options.batch_users:
            key, question = self._questions.popitem(last=False)
            if question.asked_at < oldest:
                late += 1
                continue
            keys.append(key)
            questions.append(question)
        if late:
            self._metrics.sequence_refused.labels("too_late").inc(late)
        self._metrics.sequence_queue.set(len(self._questions))
        if not keys:
            return None
        self._running = set(keys)
        lengths = np.array([min(len(question.items), model.length) for question in questions], np.int64)
        items = np.full((len(keys), int(lengths.max())), NO_ITEM, np.uint64)
        times_ms = np.zeros(items.shape, np.int64)
        for i, (question, length) in enumerate(zip(questions, lengths.tolist(), strict=True)):
            if length:
                items[i, :length], times_ms[i, :length] = question.items[-length:], question.times_ms[-length:]
        # Numbers are looked up here, on the loop, where items are put; the thread sees one state of them.
        rows, now_ms = model.items.rows_of_hashes(items), np.array([q.now_ms for q in questions], np.int64)
        return _Batch(model, model.items.table, keys, questions, rows, times_ms, lengths, now_ms)

    async def _answer(self, batch: _Batch) -> bool:
        """Compute a batch and keep what came of it; if it fails, user by user. False: given up."""
        started = self._clock()
        try:
            found = await self._compute(batch)
        except TimeoutError:
            self._metrics.sequence_refused.labels("stalled").inc(len(batch.keys))
            return await self._restart()
        except Exception as error:  # noqa: BLE001  (the batch's edge: a runtime raises anything)
            if len(batch.keys) > 1:
                logger.warning("the sequence model failed for %d users (%s); one by one now", len(batch.keys), error)
                for i in range(len(batch.keys)):
                    if not await self._answer(batch.take(slice(i, i + 1))):
                        return False
                return True
            logger.warning("the sequence model fails for a user: %s: %s", type(error).__name__, error)
            self._metrics.sequence_refused.labels("failed").inc()
            return True
        self._metrics.sequence_batch_users.observe(len(batch.keys))
        self._metrics.sequence_seconds.observe(max(0.0, self._clock() - started))
        self._keep(batch, found)
        return True

    async def _compute(self, batch: _Batch) -> TopK:
        return await asyncio.wait_for(
            self._thread.call(lambda: batch.compute(self._options.expected)), self._options.stall_s
        )

    def _keep(self, batch: _Batch, found: TopK) -> None:
        """Keep the answers of those who still want them, and say so; after a swap they are asked about again."""
        if batch.model is not self._model:
            for key, question in reversed(list(zip(batch.keys, batch.questions, strict=True))):
                if key in self._running and key not in self._questions:
                    self._questions[key] = question
                    self._questions.move_to_end(key, last=False)
            self._work.set()
            return
        now = self._clock()
        for i, key in enumerate(batch.keys):
            if key not in self._running:
                continue
            self._running.discard(key)
            self._answers[key] = _Answer(found.items[i].copy(), found.log_probability[i].copy(), now)
            self._answers.move_to_end(key)
            self._metrics.sequence_users.inc()
            self._on_ready(*key)
        for key in list(islice(self._answers, max(0, len(self._answers) - self._options.cache_max_users))):
            del self._answers[key]

    async def _restart(self) -> bool:
        """Leave a thread behind that hangs; False once that happened too often."""
        now = self._clock()
        self._thread.end()
        self._restarts = [at for at in self._restarts if now - at < RESTART_WINDOW_S]
        error = InvariantError(f"a batch of the sequence model took longer than {self._options.stall_s:g} s")
        if len(self._restarts) >= MAX_RESTARTS:
            logger.error("the sequence model cannot be kept alive: %s", error)
            self._metrics.sequence_alive.set(0)
            if self._on_down is not None:
                await self._on_down(error)
            return False
        self._restarts.append(now)
        self._metrics.sequence_restarts.inc()
        logger.warning("%s; its thread is replaced", error)
        self._thread = _Thread()
        self._thread.start()
        return True


class _Thread:
    """Runs one call after another. A daemon: one that hangs must not keep the process from ending."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = SimpleQueue()

    def start(self) -> None:
        """From the event loop that will call."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, name="sequence-model", daemon=True).start()

    def call(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        """What `work` returns or raises."""
        done = self._loop.create_future()
        self._calls.put((work, done))
        return done

    def end(self) -> None:
        """After the call under way, if that ever ends."""
        self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            work, done = call
            value: Any = None
            error: BaseException | None = None
            try:
                value = work()
            except BaseException as raised:  # noqa: BLE001  (the thread's edge: whatever it is, somebody waits for it)
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_settle, done, value, error)


def _settle(done: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if done.done():  # given up meanwhile
        return
    if error is None:
        done.set_result(value)
    else:
        done.set_exception(error if isinstance(error, Exception) else InvariantError(repr(error)))
