"""The scheduler in a simulated worker, at 50, 90, 150 and 300 % of what it can make, and back: nobody is lost, who is
answered is answered in time, and whoever is not is owed a list and gets it. All time here is simulated."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.refresh.queue import RefreshQueue
from stream.refresh.scheduler import Scheduler

BATCH_S, LIST_S, MOST = 0.002, 0.001, 64
COMMIT_S, COMMIT_EVERY_S = 0.05, 1.0
"""Nothing is made while a commit takes its snapshot."""
CAPACITY = (1 - COMMIT_S / COMMIT_EVERY_S) / (LIST_S + BATCH_S / MOST)
"""Lists/s."""
DEADLINE_S = 2.0
AGED = 100


@dataclass
class Simulated:
    """One worker, which serves until it is told that time is up."""

    partitions: int = 4
    deadline_s: float = DEADLINE_S
    has_aged: bool = True
    now: float = 0.0
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When their event came, and how long they waited for the list, of those who were not late."""
    late: list[float] = field(default_factory=list)
    """When lists became late."""
    aged: list[float] = field(default_factory=list)
    """When lists were made that only had become old."""
    unanswered: dict[bytes, int] = field(default_factory=dict)
    """Newest event of each user who has no list since."""
    marks: dict[int, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    """In the store."""

    def __post_init__(self):
        self.queue = RefreshQueue()
        self.scheduler = Scheduler(self.queue, MOST, self.deadline_s, self.now)
        self._next_offset = [0] * self.partitions
        self._next_commit = COMMIT_EVERY_S
        self._served_last = defaultdict(lambda: -1.0)
        self._came = {}

    def serve(self, at, users, until):
        """Events of `users` come `at` these times, s; until then."""
        start = 0
        while self.now < until:
            if self.now >= self._next_commit:
                self._commit()
            end = int(np.searchsorted(at, self.now, side="right"))
            self._come(at[start:end], users[start:end])
            start = end
            if self.has_aged:
                for n in range(AGED):
                    self.queue.add(0, b"aged%d" % n, "refresh", self.now)
            if not self._make():
                self.now = min(until, at[start] if start < len(at) else until)

    def _come(self, at, users):
        for partition in range(self.partitions):
            here = np.flatnonzero(users % self.partitions == partition)
            if len(here):
                offset = self._next_offset[partition] + np.arange(len(here))
                self._next_offset[partition] += len(here)
                ms = (at[here] * 1000).astype(np.int64)
                keys = [b"u%d" % user for user in users[here].tolist()]
                self.queue.add_events(partition, keys, users[here], offset, ms, ms, self.now)
                self.unanswered.update(zip(keys, offset.tolist(), strict=True))
                self._came[partition, int(offset[0])] = self.now

    def _make(self):
        before = self.scheduler.late_lists
        batch = self.scheduler.next_batch(self.now)
        self.late += [self.now] * (self.scheduler.late_lists - before)
        if batch is None:
            return False
        took_s = BATCH_S + len(batch.due) * LIST_S
        self.now += took_s
        self.scheduler.took(batch, took_s)
        lane = "others" if batch.is_of_others else "events" if batch.due[0].first_offset is not None else "owed"
        for due in batch.due:
            if lane == "others":
                self.aged.append(self.now)
                continue
            self.unanswered.pop(due.key)  # a KeyError: made twice
            assert due.waiting_since >= self._served_last[lane, batch.partition], "in the order in which they came"
            self._served_last[lane, batch.partition] = due.waiting_since
            if lane == "events":
                self.waits.append((due.waiting_since, self.now - due.waiting_since))
        return True

    def _commit(self):
        self._next_commit = self.now + COMMIT_EVERY_S
        for partition in range(self.partitions):
            for key, since_ms in self.queue.take_marks(partition):
                (self.marks[partition].discard if since_ms is None else self.marks[partition].add)(key)
            # What a crash now would not read again is answered, or marked.
            committed = self.queue.oldest_offset(partition)
            committed = self._next_offset[partition] if committed is None else committed
            for key, newest in self.unanswered.items():
                if int(key[1:]) % self.partitions == partition:
                    assert newest >= committed or key in self.marks[partition]
        self.now += COMMIT_S

    def waits_between(self, start, end):
        return np.array([wait for came, wait in self.waits if start <= came < end])


def arrivals(loads, seconds, users, seed=1):
    """`(at, users)`: `seconds` at each load in turn, every user once before anybody comes again."""
    rng = np.random.default_rng(seed)
    at = np.concatenate(
        [
            np.sort(rng.uniform(i * seconds, (i + 1) * seconds, int(load * CAPACITY * seconds)))
            for i, load in enumerate(loads)
        ]
    )
    turns = [rng.permutation(users) for _ in range(len(at) // users + 1)]
    return at, np.concatenate(turns)[: len(at)]


LOADS, STAGE_S = (0.5, 0.9, 1.5, 3.0, 0.9, 0.5, 0.5, 0.5), 10.0


@pytest.fixture(scope="module", params=[1, 4, 16])
def through_overload(request):
    worker = Simulated(partitions=request.param)
    at, users = arrivals(LOADS, STAGE_S, users=8_000)
    worker.serve(at, users, until=len(LOADS) * STAGE_S)
    worker.has_aged = False
    worker.serve(at[:0], users[:0], until=worker.now + 60.0)
    return worker


def stage(worker, n):
    """Waits of those who were answered, and how many were late, as a share of those who came."""
    start, end = n * STAGE_S, (n + 1) * STAGE_S
    late = sum(start <= when < end for when in worker.late)
    return worker.waits_between(start, end), late / (LOADS[n] * CAPACITY * STAGE_S)


def test_nobody_is_lost_and_in_the_end_nobody_is_owed_anything(through_overload):
    worker = through_overload
    assert worker.unanswered == {}
    assert len(worker.queue) == worker.queue.owed_users == 0
    assert not any(worker.marks.values())


@pytest.mark.parametrize("n", range(len(LOADS)))
def test_who_is_answered_is_answered_within_the_deadline(through_overload, n):
    waits, _ = stage(through_overload, n)
    assert waits.max() <= DEADLINE_S


@pytest.mark.parametrize("n", [0, 1])
def test_nobody_is_late_as_long_as_all_can_be_served(through_overload, n):
    waits, late = stage(through_overload, n)
    assert late == 0.0
    assert np.percentile(waits, 50) < 0.2


@pytest.mark.parametrize("n", [2, 3])
def test_in_an_overload_the_worker_makes_all_it_can_and_most_of_it_soon(through_overload, n):
    waits, late = stage(through_overload, n)
    assert len(waits) > 0.85 * CAPACITY * STAGE_S
    assert np.percentile(waits, 50) < 0.35 * DEADLINE_S
    assert late > 0.0


def test_after_an_overload_it_is_as_before(through_overload):
    waits, late = stage(through_overload, len(LOADS) - 1)
    assert late == 0.0
    assert np.percentile(waits, 50) < 0.2


def test_others_are_made_in_every_stage_and_take_no_more_than_their_share_in_an_overload(through_overload):
    made = np.histogram(through_overload.aged, bins=np.arange(len(LOADS) + 1) * STAGE_S)[0]
    assert (made * LIST_S > 0.01 * STAGE_S).all(), "at least half of their share of the time"
    assert made[3] * LIST_S < 0.025 * STAGE_S, "and no more when there is too much to do"


def test_an_overload_without_a_deadline_makes_everybody_wait_and_nobody_is_late():
    worker = Simulated(deadline_s=0.0, has_aged=False)
    at, users = arrivals((1.5,), 10.0, users=100_000)
    worker.serve(at, users, until=10.0)
    assert worker.late == []
    assert worker.waits_between(0.0, 10.0).max() > 2.0


def test_when_the_worker_stands_still_all_who_waited_too_long_are_owed_a_list_and_get_it_in_turn():
    worker = Simulated(has_aged=False)
    at, users = arrivals((0.5,), 1.0, users=100_000)
    worker._come(at, users)
    worker.now = 10.0
    worker.serve(at[:0], users[:0], until=20.0)
    assert len(worker.late) == len(at)
    assert worker.unanswered == {}


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([0.0, 0.3, 0.9, 1.5, 3.0, 10.0]), min_size=1, max_size=6),
    st.integers(1, 2_000),
    st.integers(1, 5),
    st.sampled_from([0.05, 0.5, 2.0]),
    st.booleans(),
    st.integers(0, 100),
)
def test_whatever_comes_everybody_is_served_or_owed_and_nobody_is_lost(
    loads, users, partitions, deadline_s, has_aged, seed
):
    """What `Simulated` asserts itself holds at every step: order, one list each, and what a crash at a commit would find."""
    worker = Simulated(partitions, deadline_s, has_aged)
    at, whose = arrivals(loads, 0.7, users, seed)
    worker.serve(at, whose, until=0.7 * len(loads))
    waiting = len(worker.queue) - sum(len(queue) for queue in worker.queue._others.values())
    assert waiting == len(worker.unanswered)
    worker.has_aged = False
    worker.serve(at[:0], whose[:0], until=worker.now + 100.0)
    assert worker.unanswered == {}
    assert worker.queue.owed_users == 0
