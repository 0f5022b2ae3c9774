"""The refresh queue: each user once, first come first served, and no unpublished event is ever committed past."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.refresh.queue import RefreshQueue


def event(queue, key, offset, partition=0, now=0.0, time_ms=None, timestamp_ms=None):
    time_ms = 1000 + offset if time_ms is None else time_ms
    one = np.zeros(1, np.int64)
    queue.add_events(partition, [key], one, one + offset, one + time_ms, one + (timestamp_ms or offset), now)


def keys(batch):
    return [due.key for due in batch.due]


def test_a_user_with_many_events_is_due_once_and_knows_the_oldest_and_the_newest():
    queue = RefreshQueue()
    for offset, now in ((3, 1.0), (4, 2.0), (9, 3.0)):
        event(queue, b"a", offset, now=now)
    (due,) = queue.next_batch(10).due
    assert (due.first_offset, due.last_offset, due.event_time_ms) == (3, 9, 1009)
    assert (due.oldest_timestamp_ms, due.waiting_since, due.trigger) == (3, 1.0, "event")
    assert queue.next_batch(10) is None


def test_a_record_that_comes_again_does_not_take_the_newest_back():
    queue = RefreshQueue()
    event(queue, b"a", 9)
    event(queue, b"a", 4)
    (due,) = queue.next_batch(1).due
    assert (due.last_offset, due.event_time_ms) == (9, 1009)


def test_users_are_served_in_the_order_in_which_they_came_at_most_so_many_at_once():
    queue = RefreshQueue()
    for offset, key in enumerate([b"a", b"b", b"a", b"c"]):
        event(queue, key, offset, now=float(offset))
    assert keys(queue.next_batch(2)) == [b"a", b"b"]
    assert len(queue) == 1
    event(queue, b"a", 4)
    assert keys(queue.next_batch(9)) == [b"c", b"a"]
    assert queue.next_batch(9) is None
    assert len(queue) == 0


def test_the_partition_whose_first_user_has_waited_longest_is_served_first():
    queue = RefreshQueue()
    event(queue, b"late", 0, partition=0, now=2.0)
    event(queue, b"early", 0, partition=1, now=1.0)
    assert queue.oldest_waiting_since() == 1.0
    served = [queue.next_batch(9) for _ in range(2)]
    assert [(batch.partition, keys(batch)) for batch in served] == [(1, [b"early"]), (0, [b"late"])]
    assert queue.oldest_waiting_since() is None


def test_another_cause_than_an_event_adds_whoever_is_not_waiting_yet():
    queue = RefreshQueue()
    event(queue, b"a", 5, now=1.0)
    queue.add(0, b"a", "catalog", 2.0)
    queue.add(0, b"b", "catalog", 3.0)
    queue.add(0, b"b", "model", 4.0)
    assert len(queue) == 2
    (a,), (b,) = (queue.next_batch(9).due for _ in range(2))
    assert (a.key, a.trigger, a.waiting_since) == (b"a", "event", 1.0)
    assert (b.key, b.trigger, b.waiting_since) == (b"b", "catalog", 3.0)
    assert (b.first_offset, b.last_offset) == (None, -1)


def test_users_with_events_come_first_but_the_others_have_their_turn():
    queue = RefreshQueue()
    queue.add(0, b"withdrawn", "catalog", 0.0)
    for offset in range(10):
        event(queue, b"e%d" % offset, offset, now=1.0)
    assert queue.has_events
    batches = [queue.next_batch(1, others_first=turn) for turn in (False, False, True, True)]
    assert [keys(batch)[0] for batch in batches] == [b"e0", b"e1", b"withdrawn", b"e2"]
    assert [batch.is_of_others for batch in batches] == [False, False, True, False]


def test_others_come_in_batches_of_their_own_size_when_nobody_with_an_event_waits():
    queue = RefreshQueue()
    for n in range(5):
        queue.add(0, b"o%d" % n, "refresh", 0.0)
    assert not queue.has_events
    assert keys(queue.next_batch(9, 2)) == [b"o0", b"o1"]
    assert keys(queue.next_batch(9)) == [b"o2", b"o3", b"o4"]


def test_an_event_of_a_user_who_waits_for_the_catalogue_is_remembered():
    queue = RefreshQueue()
    queue.add(0, b"a", "catalog", 1.0)
    assert queue.oldest_offset(0) is None
    event(queue, b"b", 3, now=2.0)
    event(queue, b"a", 4, now=3.0)
    assert queue.oldest_offset(0) == 3
    batch = queue.next_batch(9)
    assert [(d.key, d.first_offset, d.waiting_since, d.trigger) for d in batch.due] == [
        (b"b", 3, 2.0, "event"),
        (b"a", 4, 3.0, "event"),
    ]


def test_a_forgotten_partition_has_nobody_waiting_and_the_others_keep_theirs():
    queue = RefreshQueue()
    event(queue, b"a", 1, partition=0)
    event(queue, b"b", 2, partition=1)
    queue.forget(0)
    queue.forget(7)
    assert len(queue) == 1
    assert (queue.oldest_offset(0), queue.oldest_offset(1)) == (None, 2)
    assert keys(queue.next_batch(9)) == [b"b"]


@pytest.mark.parametrize("partition", [0, 7])
def test_an_empty_queue_answers_none(partition):
    queue = RefreshQueue()
    assert queue.oldest_offset(partition) is None
    assert queue.next_batch(5) is None
    assert queue.oldest_waiting_since() is None


def test_a_late_user_is_owed_a_list_and_holds_no_offset_back():
    queue = RefreshQueue()
    for offset, key in enumerate([b"a", b"b", b"c"]):
        event(queue, key, offset, now=float(offset))
    assert queue.owe(1.0) == 1
    assert (queue.oldest_offset(0), len(queue), queue.owed_users, queue.event_users) == (1, 3, 1, 2)
    assert queue.take_marks(0) == [(b"a", 0)]
    assert queue.take_marks(0) == [], "the commit has it"
    assert queue.owe(9.0) == 2
    assert (queue.oldest_offset(0), queue.has_events, queue.has_owed) == (None, False, True)
    assert queue.oldest_waiting_since() is None
    queue.add(0, b"b", "catalog", 9.0)
    queue.add(0, b"d", "catalog", 9.0)
    (a, b), (c,), (d,) = (queue.next_batch(2).due for _ in range(3))
    assert [(due.key, due.trigger, due.owed_since_ms) for due in (a, b, c, d)] == [
        (b"a", "event", 0),
        (b"b", "event", 1),
        (b"c", "event", 2),
        (b"d", "catalog", None),
    ]
    assert (a.first_offset, a.last_offset, a.waiting_since) == (None, -1, 0.0)
    assert queue.take_marks(0) == [(b"a", None)], "the others were never in the store"


def test_a_user_who_is_owed_a_list_gets_it_with_their_next_event_behind_who_came_before():
    queue = RefreshQueue()
    event(queue, b"a", 0, now=0.0)
    queue.owe(1.0)
    event(queue, b"b", 1, now=2.0)
    event(queue, b"a", 2, now=3.0)
    assert (len(queue), queue.owed_users, queue.has_owed) == (2, 1, False)
    assert queue.take_marks(0) == [(b"a", 0)], "a crash must not forget the first event"
    b, a = queue.next_batch(9).due
    assert (b.key, b.owed_since_ms) == (b"b", None)
    assert (a.key, a.first_offset, a.owed_since_ms) == (b"a", 2, 0)
    assert queue.owed_users == 0


def test_who_is_late_again_is_owed_a_list_since_the_first_time():
    queue = RefreshQueue()
    event(queue, b"a", 3, now=0.0)
    queue.owe(1.0)
    event(queue, b"a", 5, now=2.0)
    queue.owe(3.0)
    assert queue.take_marks(0) == [(b"a", 3)]
    (due,) = queue.next_batch(9).due
    assert (due.owed_since_ms, due.waiting_since) == (3, 2.0)


def test_what_the_last_owner_owed_is_made_once_whether_or_not_the_user_has_a_new_event():
    queue = RefreshQueue()
    event(queue, b"a", 7, now=0.0)
    queue.add(0, b"b", "refresh", 0.0)
    for _ in range(2):
        for key in (b"a", b"b"):
            queue.restore_owed(0, key, 3, 1.0)
    assert (len(queue), queue.owed_users) == (2, 2)
    assert queue.take_marks(0) == [], "they are in the store already"
    (a,), (b,) = (queue.next_batch(9).due for _ in range(2))
    assert [(due.key, due.trigger, due.owed_since_ms) for due in (a, b)] == [(b"a", "event", 3), (b"b", "event", 3)]
    assert queue.take_marks(0) == [(b"a", None), (b"b", None)]
    assert queue.next_batch(9) is None


users = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])
steps = st.lists(
    st.tuples(st.just("event"), st.integers(0, 1), users)
    | st.tuples(st.just("add"), st.integers(0, 1), users)
    | st.tuples(st.just("batch"), st.integers(1, 3), st.booleans())
    | st.tuples(st.just("owe"), st.integers(1, 9))
    | st.tuples(st.just("commit"), st.integers(0, 1))
    | st.tuples(st.just("forget"), st.integers(0, 1)),
    max_size=80,
)


class Model:
    """Per partition a list of [key, unpublished offsets, since], one of keys that are owed a list and wait for that, one of
    keys that wait for another reason; who is owed a list since which event, and what of that is in the store."""

    def __init__(self):
        self.events, self.idle, self.others = ({0: [], 1: []} for _ in range(3))
        self.owed, self.stored = {0: {}, 1: {}}, {0: {}, 1: {}}

    def forget(self, partition):
        self.events[partition], self.idle[partition], self.others[partition] = [], [], []
        self.owed[partition] = {}

    def event(self, partition, key, offset, now):
        entry = next((e for e in self.events[partition] if e[0] == key), None)
        if entry is not None:
            entry[1].append(offset)
            return
        self.events[partition].append((key, [offset], now))
        self.others[partition] = [e for e in self.others[partition] if e[0] != key]
        self.idle[partition] = [e for e in self.idle[partition] if e[0] != key]

    def owe(self, before):
        n = 0
        for partition, waiting in self.events.items():
            late = [e for e in waiting if e[2] < before]
            self.events[partition] = waiting[len(late) :]
            for key, offsets, since in late:
                self.owed[partition].setdefault(key, offsets[0])
                self.idle[partition].append((key, [], since))
            n += len(late)
        return n

    def restore(self, partition, now):
        for key, since_ms in self.stored[partition].items():
            if key in self.owed[partition]:
                continue
            self.owed[partition][key] = since_ms
            if all(e[0] != key for e in self.events[partition]):
                self.idle[partition].append((key, [], now))
                self.others[partition] = [e for e in self.others[partition] if e[0] != key]


@settings(derandomize=True, deadline=None, max_examples=500)
@given(steps)
def test_the_queue_is_a_list_of_waiting_users_and_never_passes_an_unpublished_event_that_is_not_owed(steps):
    queue, model, next_offset = RefreshQueue(), Model(), {0: 0, 1: 0}
    for now, step in enumerate(steps):
        match step:
            case ("event", partition, key):
                offset, next_offset[partition] = next_offset[partition], next_offset[partition] + 1
                event(queue, key, offset, partition, float(now), timestamp_ms=offset)
                model.event(partition, key, offset, float(now))
            case ("add", partition, key):
                queue.add(partition, key, "catalog", float(now))
                lanes = (model.events, model.idle, model.others)
                if all(e[0] != key for lane in lanes for e in lane[partition]):
                    model.others[partition].append((key, [], now))
            case ("owe", ago):
                assert queue.owe(now - ago) == model.owe(now - ago)
            case ("commit", partition):
                for key, since_ms in queue.take_marks(partition):
                    assert since_ms is not None or key in model.stored[partition]
                    model.stored[partition].pop(key, None)
                    if since_ms is not None:
                        model.stored[partition][key] = since_ms
                assert model.stored[partition].keys() == model.owed[partition].keys()
            case ("batch", most, others_first):
                batch = queue.next_batch(2 * most, most, others_first=others_first)
                lanes = [model.events, model.idle]
                lanes.insert(0 if others_first else 2, model.others)
                lane = next((lane for lane in lanes if any(lane.values())), None)
                if batch is None:
                    assert lane is None
                    continue
                most = most if lane is model.others else 2 * most
                assert batch.is_of_others is (lane is model.others)
                assert lane[batch.partition][0][2] == min(waiting[0][2] for waiting in lane.values() if waiting)
                taken, lane[batch.partition] = lane[batch.partition][:most], lane[batch.partition][most:]
                assert keys(batch) == [key for key, _, _ in taken]
                for due, (key, offsets, since) in zip(batch.due, taken, strict=True):
                    assert (due.first_offset, due.last_offset) == ((offsets[0], offsets[-1]) if offsets else (None, -1))
                    assert due.waiting_since == since
                    owed = None if lane is model.others else model.owed[batch.partition].pop(key, None)
                    assert due.owed_since_ms == owed
            case ("forget", partition):
                queue.forget(partition)
                model.forget(partition)
                # What is in the store stays there; the same owner comes back and finds it.
                for key, since_ms in model.stored[partition].items():
                    queue.restore_owed(partition, key, since_ms, float(now))
                model.restore(partition, float(now))
        lanes = (model.events, model.idle, model.others)
        assert len(queue) == sum(len(waiting) for lane in lanes for waiting in lane.values())
        assert queue.owed_users == sum(map(len, model.owed.values()))
        for partition, waiting in model.events.items():
            unpublished = [offset for _, offsets, _ in waiting for offset in offsets]
            assert queue.oldest_offset(partition) == min(unpublished, default=None)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=12), max_size=6), st.integers(0, 5))
def test_a_chunk_of_events_queues_what_its_events_one_by_one_would(chunks, other):
    together, one_by_one = RefreshQueue(), RefreshQueue()
    offset = 0
    for queue in (together, one_by_one):
        queue.add(3, b"%d" % other, "catalog", 0.5)
    for now, users in enumerate(chunks):
        keys = [b"%d" % user for user in users]
        offsets = np.arange(offset, offset + len(users)) * 2
        offset += len(users)
        together.add_events(3, keys, np.array(users), offsets, offsets + 1000, offsets + 7, float(now))
        for key, at in zip(keys, offsets.tolist(), strict=True):
            event(one_by_one, key, at, partition=3, now=float(now), timestamp_ms=at + 7)
    assert together.oldest_offset(3) == one_by_one.oldest_offset(3)
    assert len(together) == len(one_by_one)
    while (batch := together.next_batch(2)) is not None:
        assert batch == one_by_one.next_batch(2)


def test_python_looks_for_garbage_in_nobody_who_waits():
    queue = RefreshQueue()
    queue.add(0, b"ann", "refresh", 0.0)
    batch = queue.next_batch(10)
    assert batch is not None
    assert not any(gc.is_tracked(due) for due in batch.due)
