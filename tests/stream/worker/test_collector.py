"""stream/worker/collector.py: what stays is not looked at again."""

from __future__ import annotations

import gc
import weakref

from stream.worker.collector import keep_for_life


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
