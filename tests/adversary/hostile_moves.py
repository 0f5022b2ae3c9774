"""What ordinary people, broken phones, other teams and the careless can send: hostile, and possible. Each move is named."""

from __future__ import annotations

import json
import random
import time
from functools import cache
from typing import Final

from hostile_administrators import ADMINISTRATORS
from scene import ACTIONS, ITEMS, Move, Scene, event, good_event, somebody

from models.hashing import item_hash
from stream.wire.codes import event_id_hash

DAY_MS: Final = 86_400_000


def gains_that_cancel(scene: Scene, rng: random.Random) -> None:
    """What people like and dislike in turn adds up to about nothing."""
    for _ in range(20):
        user, item = somebody(rng), f"i{rng.randrange(ITEMS)}"
        done = rng.choice(
            [
                ["view"] * 10 + ["dislike"],
                ["click"] + ["view"] * 5 + ["dislike"],
                ["view"] * 15 + ["click", "dislike", "dislike"],
                ["like", "dislike"] * rng.randrange(1, 40),
            ]
        )
        rng.shuffle(done)
        for action in done:
            scene.event(user, action=action, item_id=item, dwell_ms=rng.choice([None, 0, 30_000]))


NUMBERS: Final = (
    0,
    -1,
    1,
    1e-320,
    -1e-320,
    1e308,
    -1e308,
    2**31,
    2**63 - 1,
    2**63,
    2**64,
    1234.5,
    "1234",
    "x",
    True,
    None,
    [],
    {},
)


def odd_numbers(scene: Scene, rng: random.Random) -> None:
    """Huge, tiny, denormal, negative, text, nothing."""
    for name in ("value", "dwell_ms", "slot", "event_id", "recommendation_id"):
        for number in NUMBERS:
            scene.event(somebody(rng), action=rng.choice(ACTIONS), item_id=f"i{rng.randrange(ITEMS)}", **{name: number})
    for text in (b"NaN", b"Infinity", b"1e999", b"-0"):
        value = b'{"user_id":"bad-n","action":"purchase","item_id":"i1","value":%b}' % text
        scene.send(scene.settings.topic_events, b"bad-n", value)


def odd_times(scene: Scene, rng: random.Random) -> None:
    """Clocks at 1970 and 2000, a day ahead, in the hour that comes twice; records dated 2099 and before the epoch."""
    now_ms = time.time_ns() // 1_000_000
    moments = [
        0, 1, 946_684_800_000, now_ms + 23 * 3_600_000, now_ms + 2 * DAY_MS, now_ms - 30 * 365 * DAY_MS, 2**62, -1,
        "2025-10-26T02:30:00+02:00", "2025-10-26T02:30:00+01:00", "9999-12-31T23:59:59Z", "yesterday",
    ]  # fmt: skip
    for moment in moments:
        user = somebody(rng)
        scene.event(user, event_time=moment)
        scene.event(user, event_time=moment, action="impression", slot=1)
    at_once = now_ms - rng.randrange(DAY_MS)
    for n in range(200):
        scene.event(somebody(rng), event_time=at_once, item_id=f"i{n % ITEMS}")
    for timestamp_ms in (1, 946_684_800_000, 4_070_908_800_000):
        value = json.dumps({"user_id": "bad-t", "action": "click", "item_id": "i2"}).encode()
        scene.send(scene.settings.topic_events, b"bad-t", value, timestamp=timestamp_ms)


IDS: Final = (
    "https://shop.example/p?id=1&x=%00", "😀" * 32, "a\u0000b", "\u202eltr", "x" * 128, "x" * 129, "é" * 64, "é" * 65,
    " ", "\n", "0", "null", "../../etc/passwd", "'; drop table users; --", "\ufeffbom", "\U0010ffff", "ﷺ" * 40, "",
)  # fmt: skip


def odd_ids(scene: Scene, rng: random.Random) -> None:
    """URLs, emoji, NUL, right to left, the longest and one byte longer; keys that are another's or none."""
    for name in IDS:
        scene.event(name or "?", item_id=f"i{rng.randrange(ITEMS)}")
        scene.event(somebody(rng), item_id=name)
        scene.item(name or "?", title=name)
    good = json.dumps({"user_id": "bad-key", "action": "click", "item_id": "i1"}).encode()
    for key in (None, b"", b"another", b"\xff\xfe", b"k" * 2000):
        scene.send(scene.settings.topic_events, key, good)
    scene.send(scene.settings.topic_events, b"bad", b'{"user_id":"\\ud800","action":"click","item_id":"i1"}')
    scene.send(scene.settings.topic_events, b"bad", b'{"user_id":"bad","action":"query","text":"\\ud83d half"}')


def one_bot(scene: Scene, rng: random.Random) -> None:
    """One user with very many events, on more items than anybody remembers: how much of that counts is bounded by the day."""
    user = somebody(rng)
    for n in range(rng.choice([4_000, 4_000, 20_000])):
        scene.event(user, action=rng.choice(ACTIONS), item_id=f"bot-{n % (2 * ITEMS)}")


def a_crowd(scene: Scene, rng: random.Random) -> None:
    """Very many users with one event, at one instant."""
    start = rng.randrange(10**6)
    for n in range(3_000):
        scene.event(f"crowd-{start + n}", item_id=f"i{rng.randrange(ITEMS)}")


def junk(scene: Scene, rng: random.Random) -> None:
    """Bytes that are nothing, JSON that is no event, tombstones, a hundred headers, nesting without end."""
    topic = scene.settings.topic_events
    for value in (None, b"", b"{", b"[]", b"null", b"{}", b'"text"', b"\x00\x01\x02", rng.randbytes(300), b"[" * 100_000,
                  b'{"user_id":' + b"[" * 5_000, b'{"a":' * 3_000 + b"1" + b"}" * 3_000,
                  b'{"user_id":"bad","action":"click","item_id":"i1","x":' + b"9" * 10_000 + b"}"):  # fmt: skip
        scene.send(topic, b"bad", value)
        scene.send(topic, b"bad", value, headers=[(f"h{n}", rng.randbytes(20)) for n in range(100)])
        scene.send(scene.settings.topic_items, b"i3", value if value is not None else b"{}")


def a_restless_catalogue(scene: Scene, rng: random.Random) -> None:
    """Items that come late, go, come back, are described in a megabyte, or in an envelope."""
    for n in range(ITEMS):
        if rng.random() < 0.4:
            scene.send(scene.settings.topic_items, f"i{n}".encode(), None)
        if rng.random() < 0.7:
            scene.item(f"i{n}", available=rng.random() < 0.8, published_at=rng.choice([None, 1995, "20230101", 2**40]))
    scene.item("i5", description="long " * 190_000)
    scene.send(scene.settings.topic_items, b"i6", b'{"before":null,"after":{"item_id":"i6"}}')
    scene.send(scene.settings.topic_items, b"i7", b'{"item_id":"another","title":"t"}')
    scene.send(scene.settings.topic_items, None, b'{"item_id":"i8","title":"t"}')
    for _ in range(50):
        scene.event(somebody(rng), item_id=f"late-{rng.randrange(100)}")
    for n in range(100):
        scene.item(f"late-{n}")


def giants(scene: Scene, rng: random.Random) -> None:
    """Records that compress to little and unpack to much, by every codec."""
    kind = rng.choice(["gzip", "snappy", "lz4", "zstd"])
    producer = scene.other_producer(compression_type=kind, message_max_bytes=200_000_000)
    text = "x" * rng.choice([2_000_000, 15_000_000])
    value = json.dumps({"user_id": "bad-big", "action": "view", "item_id": "i1", "text": text}).encode()
    producer.produce(scene.settings.topic_events, value, b"bad-big")
    if kind in ("zstd", "gzip"):
        producer.produce(scene.settings.topic_events, b" " * 60_000_000, b"bad-big")
    producer.flush(60)


def other_producers_transactions(scene: Scene, rng: random.Random) -> None:
    """Committed, aborted, and left open for a while."""
    producer = scene.other_producer(transactional_id=f"other-{rng.randrange(10**9)}", transaction_timeout_ms=5_000)
    producer.init_transactions(30)
    for n in range(6):
        producer.begin_transaction()
        value = json.dumps({"user_id": f"bad-{n}", "action": "click", "item_id": "i2"}).encode()
        producer.produce(scene.settings.topic_events, value, f"bad-{n}".encode())
        producer.flush(30)
        if n == 5:
            return  # open until the broker aborts it
        (producer.commit_transaction if n % 2 else producer.abort_transaction)(30)


def strangers_on_internal_topics(scene: Scene, rng: random.Random) -> None:
    """Whoever is allowed to write there, and should not."""
    settings = scene.settings
    for value in (b"", b"\xff", rng.randbytes(60), b"{}", b'{"kind":"ranker","weights":{"of":"a later release"}}'):
        for topic in (
            settings.topic_item_deltas,
            settings.topic_item_stats,
            settings.topic_models,
            settings.topic_strategy_stats,
        ):
            scene.send(topic, rng.choice([b"spoilt", b"ranker", b"sequence", b"\xff"]), value)
    scene.send(settings.topic_item_deltas, None, None)


def every_codec(scene: Scene, rng: random.Random) -> None:
    """Good people's events, compressed by each in turn, with headers."""
    for kind in ("none", "gzip", "snappy", "lz4", "zstd"):
        producer = scene.other_producer(compression_type=kind, linger_ms=50)
        for _ in range(20):
            done = good_event(rng)
            key, value = event(done.pop("user"), **done)
            producer.produce(scene.settings.topic_events, value, key, headers=[("traceparent", b"00-1"), ("", None)])
        producer.flush(60)


def another_partitioner(scene: Scene, rng: random.Random) -> None:
    """Of a producer whose library has another default: good people in partitions that are not theirs."""
    producer = scene.other_producer(partitioner="consistent_random")
    for n in range(30):
        key, value = event(f"moved-{rng.randrange(40)}", item_id=f"i{rng.randrange(ITEMS)}", event_id=f"m{n}")
        producer.produce(scene.settings.topic_events, value, key)
    producer.flush(60)


@cache
def colliding_items() -> tuple[tuple[str, str], ...]:
    """Pairs of ids with the same upper 32 bits of their hashes, which is what ledgers keep."""
    seen: dict[int, str] = {}
    names = (f"c{n}" for n in range(200_000))
    return tuple((seen[top], name) for name in names if seen.setdefault(top := item_hash(name) >> 32, name) != name)


@cache
def colliding_event_ids() -> tuple[str, str]:
    """Two whose 24 bits are the same."""
    seen: dict[int, str] = {}
    for name in (f"{item_hash(str(n)):x}" for n in range(100_000)):
        if seen.setdefault(event_id_hash(name), name) != name:
            return seen[event_id_hash(name)], name
    raise AssertionError


def ids_that_collide(scene: Scene, rng: random.Random) -> None:
    """Items that ledgers take for one, event ids that states take for one, and users that differ by what cannot be seen."""
    for one, other in colliding_items():
        user = somebody(rng)
        for item in (one, other):
            scene.item(item)
            for action in ("impression", "click", "purchase", "refund"):
                scene.event(user, action=action, item_id=item, recommendation_id="both", slot=1, value=3)
    for event_id in colliding_event_ids():
        scene.event("bad-twice", item_id="i4", action="purchase", event_id=event_id)
    for user in ("é", "e\u0301", "a\u200b", "a", "A", "\u212b", "\xc5", "ａ"):
        scene.event(user, item_id=f"i{rng.randrange(ITEMS)}")


def clocks_of_phones(scene: Scene, rng: random.Random) -> None:
    """A phone that is reset to 1970 and to 2000, is put right, flies, and lives through summer time."""
    now_ms, user = time.time_ns() // 1_000_000, somebody(rng)
    times = [now_ms, 0, 946_684_800_000, now_ms - 1_000, 946_684_800_001, now_ms + 20 * 3_600_000, now_ms]
    local = ["2026-03-29T01:59:59+01:00", "2026-03-29T03:00:00+02:00", "2025-10-26T02:59:59+02:00",
             "2025-10-26T02:00:00+01:00", "2025-03-09T01:59:59-05:00", "2025-03-09T03:00:00-04:00", "2026-01-01T12:00:00+14:00",
             "2026-01-01T12:00:00-12:00", "2025-10-26T02:30:00", "2016-12-31T23:59:60Z"]  # fmt: skip
    for moment in [*times, *local]:
        for action in ("impression", "click", "purchase"):
            scene.event(user, event_time=moment, action=action, item_id=f"i{rng.randrange(ITEMS)}", slot=2)


def a_catalogue_that_vanishes(scene: Scene, rng: random.Random) -> None:
    """All of it, while people go on; and it comes back."""
    for n in range(ITEMS):
        scene.send(scene.settings.topic_items, f"i{n}".encode(), None)
    scene.good_events(rng, 30)
    scene.flush()
    if rng.random() < 0.5:
        scene.episode.stop()
        scene.episode.worker.start()
    else:
        time.sleep(1.0)
    for n in range(ITEMS):
        scene.item(f"i{n}", description=f"back {rng.random()} " * rng.choice([1, 1, 1, 35_000]))


def a_worker_dies(scene: Scene, _: random.Random) -> None:
    """kill -9, and a supervisor."""
    scene.episode.kill()


def a_worker_is_asked_to_end(scene: Scene, _: random.Random) -> None:
    """SIGTERM, and a new one."""
    scene.episode.stop()
    scene.episode.worker.start()


def a_worker_is_suspended(scene: Scene, _: random.Random) -> None:
    """For longer than its session."""
    scene.episode.suspend()


def the_embeddings_service_goes_and_comes(scene: Scene, rng: random.Random) -> None:
    """Refused connections, then answers again."""
    scene.episode.service.stop()
    scene.item(f"i{rng.randrange(ITEMS)}", description=f"new words {rng.random()}")
    scene.event(somebody(rng), action="query", item_id=None, text="some words")
    scene.episode.service.start()


MOVES: Final[dict[str, Move]] = {
    move.__name__: move
    for move in (
        gains_that_cancel, odd_numbers, odd_times, odd_ids, one_bot, a_crowd, junk, a_restless_catalogue, giants,
        other_producers_transactions, strangers_on_internal_topics, a_worker_dies, a_worker_is_asked_to_end,
        a_worker_is_suspended, the_embeddings_service_goes_and_comes, every_codec, another_partitioner, ids_that_collide,
        clocks_of_phones, a_catalogue_that_vanishes, *ADMINISTRATORS,
    )
}  # fmt: skip
