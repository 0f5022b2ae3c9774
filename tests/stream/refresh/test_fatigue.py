"""Fatigue is of what was seen by then, whatever the order in which impressions, behaviours, lists and commits come."""

from __future__ import annotations

import numpy as np
import pytest
from kafka_records import NOW_MS, event_record
from tracker_harness import opened

from stream.settings.placements import PlacementSettings
from stream.state.record import EXPOSURES

USERS, ITEMS, ROUNDS = 40, 12, 530
WEIGHT, HALF_LIFE_H = 0.4, 6.0


@pytest.mark.timeout(300)
def test_no_list_of_10_000_reads_what_is_stale(tmp_path):
    """Beside plain Python: exposures that nothing answered, the last 32, each half after its half-life."""
    home = PlacementSettings(fatigue=WEIGHT, fatigue_half_life_h=HALF_LIFE_H, slots=ITEMS)
    rng = np.random.default_rng(11)
    seen = {f"u{n}": [] for n in range(USERS)}
    done = {f"u{n}": set() for n in range(USERS)}
    lists = stale = tired = 0
    with opened(tmp_path, placements={"home": home}, encoder_model="none") as shop:
        shop.catalogue(*(f"i{n}" for n in range(ITEMS)))
        at_ms = NOW_MS
        for _ in range(ROUNDS):
            records = []
            for _ in range(int(rng.integers(0, 60))):
                user, item = f"u{rng.integers(USERS)}", f"i{rng.integers(ITEMS)}"
                action = "impression" if rng.random() < 0.93 else "view"
                at_ms += int(rng.integers(0, 120_000))
                records.append(
                    event_record(
                        shop.next_offset + len(records), user, action=action, item_id=item, event_time=at_ms,
                        timestamp=at_ms,
                    )
                )  # fmt: skip
                if action == "impression":
                    seen[user].append((item, at_ms))
                else:
                    done[user].add(item)
            if records:
                shop.chunk(records)
            if rng.random() < 0.3:
                shop.commit(trim=bool(rng.random() < 0.5))
            users = list(rng.permutation(USERS)[: rng.integers(1, USERS + 1)])
            for user in users:
                shop.tracker.queue.add(0, f"u{user}".encode(), "refresh", 0.0)
            batch = shop.tracker.queue.next_batch(USERS)
            for made in shop.tracker.refresh(0, batch.due, at_ms + 1, 0.0):
                record = made.list.record
                lists += 1
                expected = fatigue_of(seen[record.user_id], done[record.user_id], at_ms)
                for item in record.items:
                    stale += abs(item.parts["fatigue"] - expected.get(item.item_id, 0.0)) > 1e-6
                    tired += item.parts["fatigue"] < 0.0

    assert lists > 10_000
    assert tired > 10_000
    assert stale == 0


def fatigue_of(seen, done, now_ms):
    """By item; times are whole seconds, as the state keeps them."""
    found = {}
    for item, at_ms in seen[-EXPOSURES:]:
        if item not in done:
            age_h = max(0, now_ms // 1000 - at_ms // 1000) / 3600.0
            found[item] = found.get(item, 0.0) - WEIGHT * 2.0 ** (-age_h / HALF_LIFE_H)
    return found
