"""The sequence model beside the ranking: the newest question counts, an answer is of one model, one failure is one user's."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import numpy as np
import pytest
from sequence_models import IDS, TEXT_DIMS, random_items

from models.hashing import NO_ITEM, item_hash
from models.sequence.items import Items
from models.sequence.top_k import top_k
from stream.metrics import Metrics
from stream.sequences import MAX_RESTARTS, Histories, SequenceOptions, Sequences

DEADLINE_S = 20.0
HASH = {item: item_hash(item) for item in IDS}
OPTIONS = SequenceOptions(expected=3)


class Model:
    """Expects what the user had last, and next to it what is like it; does in the thread what a test tells it to."""

    def __init__(self, version="m1", length=4):
        file = random_items()
        vectors = np.eye(len(IDS), file.vectors.shape[1], dtype=np.float32)
        self.items = Items(file._replace(vectors=vectors, biases=np.zeros(len(IDS), np.float32)))
        self.model_version, self.length = version, length
        self.batches = []
        self.in_thread = lambda rows: None

    def queries(self, rows, times_ms, lengths, now_ms, table):
        self.batches.append(SimpleNamespace(rows=rows, times_ms=times_ms, lengths=lengths, now_ms=now_ms))
        self.in_thread(rows)
        newest = np.maximum(lengths - 1, 0)
        found = self.items.gathered(table, np.take_along_axis(rows, newest[:, None], axis=1)[:, 0])
        return np.where(lengths[:, None] > 0, found, 0).astype(np.float32)

    def top_k(self, queries, k, table):
        return top_k(queries, *table, k)


class World:
    def __init__(self, options=OPTIONS, model=None):
        self.model, self.metrics, self.now = model or Model(), Metrics(), 100.0
        self.ready, self.down = [], []
        self.changed = asyncio.Event()
        self.sequences = Sequences(
            self.model, self.on_ready, self.metrics, options, on_down=self.on_down, clock=lambda: self.now
        )

    def on_ready(self, partition, user):
        self.ready.append((partition, user))
        self.changed.set()

    async def on_down(self, error):
        self.down.append(error)

    def ask(self, histories, partition=0, now_ms=10_000):
        """`{user: [item, ..]}`; the times are 1, 2, .. seconds."""
        width = max([1, *map(len, histories.values())])
        items, times = np.zeros((len(histories), width), np.uint64), np.zeros((len(histories), width), np.int64)
        for i, had in enumerate(histories.values()):
            items[i, : len(had)], times[i, : len(had)] = [HASH[x] for x in had], 1000 * np.arange(1, len(had) + 1)
        given = Histories(items, times, np.array([len(had) for had in histories.values()]))
        self.sequences.ask(partition, list(histories), given, np.full(len(histories), now_ms))

    async def until(self, condition):
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                self.changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.05)

    def first(self, user, partition=0):
        """The likeliest item of a user's answer, None if there is none."""
        hashed = int(self.sequences.expected(partition, [user]).items[0, 0])
        return None if hashed == NO_ITEM else {h: i for i, h in HASH.items()}.get(hashed, hashed)

    def refused(self, reason):
        return self.metrics.registry.get_sample_value("penchant_sequence_users_refused_total", {"reason": reason})


@asynccontextmanager
async def running(world):
    task = asyncio.ensure_future(world.sequences.run())
    try:
        yield world
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_users_are_answered_with_what_the_model_expects_and_said_to_be_ready():
    world = World()
    world.ask({b"a": ["i1", "i2"], b"b": ["i3"], b"new": []})
    assert world.first(b"a") is None
    async with running(world):
        await world.until(lambda: len(world.ready) == 3)
    assert (world.first(b"a"), world.first(b"b")) == ("i2", "i3")
    assert world.ready == [(0, b"a"), (0, b"b"), (0, b"new")]
    found = world.sequences.expected(0, [b"a", b"nobody"])
    assert found.items.shape == (2, 3)
    assert found.model_version == "m1"
    assert (np.diff(found.log_probability[0]) <= 0).all()
    assert set(found.items[1].tolist()) == {NO_ITEM}
    assert np.isneginf(found.log_probability[1]).all()
    assert len(world.model.batches) == 1


async def test_the_newest_question_of_a_user_counts_and_only_the_newest_items_are_looked_at():
    world = World()
    world.ask({b"a": ["i1"]}, now_ms=5)
    world.ask({b"a": ["i1", "i2", "i3", "i4", "i5"]}, now_ms=9)
    async with running(world):
        await world.until(lambda: world.ready)
    (batch,) = world.model.batches
    assert batch.rows.tolist() == [[2, 3, 4, 5]]
    assert batch.times_ms.tolist() == [[2000, 3000, 4000, 5000]]
    assert batch.now_ms.tolist() == [9]


async def test_batches_are_bounded_and_the_longest_waiting_go_first():
    world = World(OPTIONS._replace(batch_users=2))
    world.ask({b"%d" % n: ["i1"] for n in range(5)})
    world.ask({b"0": ["i2"]})  # keeps its place
    async with running(world):
        await world.until(lambda: len(world.ready) == 5)
    assert [user for _, user in world.ready] == [b"0", b"1", b"2", b"3", b"4"]
    assert [len(batch.lengths) for batch in world.model.batches] == [2, 2, 1]


async def test_a_full_queue_refuses_new_users_but_not_newer_questions():
    world = World(OPTIONS._replace(queue_max_users=1))
    world.ask({b"a": ["i1"]})
    world.ask({b"b": ["i1"]})
    world.ask({b"a": ["i2"]})
    async with running(world):
        await world.until(lambda: world.ready)
    assert world.first(b"a") == "i2"
    assert not world.sequences.has(0, b"b")
    assert world.refused("queue_full") == 1


async def test_a_question_that_waited_too_long_is_dropped():
    world = World(OPTIONS._replace(timeout_s=10))
    world.ask({b"old": ["i1"]})
    world.now += 11
    world.ask({b"fresh": ["i1"]})
    async with running(world):
        await world.until(lambda: world.ready)
    assert world.ready == [(0, b"fresh")]
    assert world.refused("too_late") == 1


async def test_the_cache_keeps_those_used_last_and_measures_how_old_an_answer_was():
    world = World(OPTIONS._replace(cache_max_users=2, batch_users=1))
    async with running(world):
        world.ask({b"a": ["i1"], b"b": ["i1"]})
        await world.until(lambda: len(world.ready) == 2)
        world.now += 7
        assert world.first(b"a") == "i1"
        world.ask({b"c": ["i1"]})
        await world.until(lambda: len(world.ready) == 3)
    assert [world.sequences.has(0, user) for user in (b"a", b"b", b"c")] == [True, False, True]
    assert world.metrics.registry.get_sample_value("penchant_sequence_age_seconds_sum") == 7


async def test_one_bad_history_costs_nobody_else_their_answer():
    def fail(rows):
        if (rows == IDS.index("i7")).any():
            raise RuntimeError("no such thing")

    world = World()
    world.model.in_thread = fail
    world.ask({b"a": ["i1"], b"bad": ["i7"], b"c": ["i3"]})
    async with running(world):
        await world.until(lambda: len(world.ready) == 2)
        world.ask({b"bad": ["i2"]})
        await world.until(lambda: len(world.ready) == 3)
    assert [world.first(user) for user in (b"a", b"bad", b"c")] == ["i1", "i2", "i3"]
    assert world.refused("failed") == 1


async def test_after_a_swap_no_answer_of_the_former_model_is_kept_even_if_it_was_under_way():
    entered, go_on = threading.Event(), threading.Event()

    def hold(rows):
        entered.set()
        assert go_on.wait(DEADLINE_S)

    world, new = World(), Model("m2")
    async with running(world):
        world.ask({b"a": ["i1"]})
        await world.until(lambda: world.ready)
        world.model.in_thread = hold
        world.ask({b"b": ["i2"]})
        await asyncio.to_thread(entered.wait, DEADLINE_S)
        world.sequences.swap(new)
        assert world.first(b"a") is None
        go_on.set()
        await world.until(lambda: len(world.ready) == 2)
    assert world.ready[1] == (0, b"b")
    assert len(new.batches) == 1
    assert world.sequences.expected(0, [b"b"]).model_version == "m2"
    assert world.first(b"b") == "i2"


async def test_an_answer_sees_one_state_of_the_items_though_one_is_placed_meanwhile():
    world = World()

    def place(rows):
        world.model.items.put(np.array([77], np.uint64), np.full((1, TEXT_DIMS), 100, np.float32))

    world.model.in_thread = place
    world.ask({b"a": ["i1"]})
    async with running(world):
        await world.until(lambda: world.ready)
    assert 77 not in world.sequences.expected(0, [b"a"]).items
    assert len(world.model.items) == len(IDS) + 1


async def test_what_is_forgotten_does_not_come_back_from_a_batch_under_way():
    entered, go_on = threading.Event(), threading.Event()

    def hold(rows):
        entered.set()
        assert go_on.wait(DEADLINE_S)

    world = World()
    world.model.in_thread = hold
    async with running(world):
        world.ask({b"erased": ["i1"], b"stays": ["i1"]})
        world.ask({b"moved": ["i1"]}, partition=1)
        await asyncio.to_thread(entered.wait, DEADLINE_S)
        world.ask({b"waiting": ["i1"]}, partition=1)
        world.sequences.forget_user(0, b"erased")
        world.sequences.forget(1)
        go_on.set()
        await world.until(lambda: world.ready)
    assert world.ready == [(0, b"stays")]
    assert not any(world.sequences.has(*key) for key in ((0, b"erased"), (1, b"moved"), (1, b"waiting")))


async def test_a_thread_that_hangs_is_left_behind_and_the_next_users_are_answered():
    release = threading.Event()
    world = World(OPTIONS._replace(stall_s=0.05))
    world.model.in_thread = lambda rows: release.wait(DEADLINE_S)
    async with running(world):
        world.ask({b"a": ["i1"]})
        await world.until(lambda: world.refused("stalled"))
        world.model.in_thread = lambda rows: None
        world.ask({b"b": ["i2"]})
        await world.until(lambda: world.ready)
        release.set()
    assert world.ready == [(0, b"b")]
    assert world.metrics.registry.get_sample_value("penchant_sequence_restarts_total") == 1


async def test_a_model_that_always_hangs_is_given_up_and_said_so():
    release = threading.Event()
    world = World(OPTIONS._replace(stall_s=0.01, batch_users=1))
    world.model.in_thread = lambda rows: release.wait(DEADLINE_S)
    world.ask({b"%d" % n: ["i1"] for n in range(MAX_RESTARTS + 2)})
    async with asyncio.timeout(DEADLINE_S):
        await world.sequences.run()
    release.set()
    assert len(world.down) == 1
    assert "took longer than 0.01 s" in str(world.down[0])
    assert world.metrics.registry.get_sample_value("penchant_sequence_alive") == 0


@pytest.mark.parametrize("k", [1, 50])
async def test_a_model_with_fewer_items_than_are_wanted_gives_all_it_has(k):
    world = World(OPTIONS._replace(expected=k))
    world.ask({b"a": ["i1"]})
    async with running(world):
        await world.until(lambda: world.ready)
    assert (world.sequences.expected(0, [b"a"]).items != NO_ITEM).sum() == min(k, len(IDS))
