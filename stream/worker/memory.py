"""What a worker holds in memory, by part. Each has a bound, and something that happens there: deploy/docs/operate.md."""

from __future__ import annotations

from typing import Final

from stream.worker.parts import WorkerParts

LIST_BYTES: Final = 450
"""Of a remembered list of 20 places, about: its key, its items, and its place in the order."""

WAITING_BYTES: Final = 300
"""Of a user who waits for a list, about."""


def memory_by_part(parts: WorkerParts) -> dict[str, int]:
    """Bytes by part. What the process has beyond them is Python's, the catalogue's and the libraries'."""
    tracker = parts.tracker
    texts, users = tracker.knowledge.texts, list(tracker.users.values())
    vectors = tracker.knowledge.vectors
    return {
        "states": sum(each.overlay.nbytes for each in users),
        "ledgers": sum(each.outcomes.nbytes for each in users),
        "fetched": parts.membership.consumer.unapplied_bytes(),
        "block_cache": parts.directory.cache_bytes,
        "write_buffers": parts.directory.buffer_bytes,
        "item_records": sum(each.nbytes for each in tracker.items.values()),
        "statistics": tracker.knowledge.stats.nbytes,
        "vectors": 0 if vectors is None else vectors.nbytes,
        "queries": 0 if texts is None else texts.queries.waiting_bytes,
        "lists": len(tracker.lists) * LIST_BYTES,
        "waiting_users": len(tracker.queue) * WAITING_BYTES,
    }
