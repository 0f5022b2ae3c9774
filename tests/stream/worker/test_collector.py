"""stream/worker/collector.py: what stays is not looked at again."""

from __future__ import annotations

import gc
import weakref

from stream.worker.collector import keep_for_life, young_only


class Node:
    """Refers to itself, so only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def test_what_exists_is_looked_at_no_more_and_what_was_garbage_by_then_is_not_kept() -> None:
    kept, garbage = Node(), Node()
    freed = weakref.ref(garbage)
    del garbage
    try:
        keep_for_life()
        assert freed() is None
        assert all(each is not kept for each in gc.get_objects())
    finally:
        gc.unfreeze()


def test_while_much_is_loaded_only_what_is_new_is_looked_through() -> None:
    before = gc.get_threshold()
    full = gc.get_stats()[2]["collections"]
    freed = weakref.ref(Node())
    with young_only():
        loaded = [[] for _ in range(300_000)]
    assert gc.get_stats()[2]["collections"] == full, "else each would look through all that is there already"
    assert freed() is None, "young garbage does not wait"
    assert gc.get_threshold() == before
    assert len(loaded) == 300_000
