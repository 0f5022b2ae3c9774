"""A producer process of its own, open loop: event i is due at start + i / rate, whatever becomes of the ones before.

    python -m benchmarks.load BOOTSTRAP_SERVERS TOPIC RATE[,RATE..] SECONDS USERS SEED OUT [ITEMS]

Several rates are stages of so many seconds each. Writes to OUT (.npz) which user each event is of, where it went, and when it
was due. Latency is counted from that time: a producer that falls behind makes events late, it does not hide that they are
(coordinated omission).
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from confluent_kafka import Message, Producer

from benchmarks.measure import Events, staged_schedule_s
from benchmarks.processes import ROOT
from benchmarks.workload import ITEMS, spread_events

LINGER_MS = 1
FLUSH_TIMEOUT_S = 60.0


def main() -> int:
    """The process."""
    servers, topic, rates, seconds, users, seed, out, *items = sys.argv[1:]
    items_known = int(items[0]) if items else ITEMS
    due_s = staged_schedule_s(list(map(float, rates.split(","))), float(seconds)).tolist()
    user = np.zeros(len(due_s), np.int64)
    offset = np.full(len(due_s), -1, np.int64)
    now_ms = time.time_ns() // 1_000_000
    records = list(spread_events(len(due_s), int(users), int(seed), now_ms, items_known=items_known))
    producer = Producer(
        {"bootstrap.servers": servers, "linger.ms": LINGER_MS, "partitioner": "murmur2_random", "acks": "all"}
    )
    producer.list_topics(topic, timeout=FLUSH_TIMEOUT_S)  # connected before the first event is due

    def note(i: int, message: Message) -> None:
        if message.error() is not None:
            raise RuntimeError(f"event {i} was not accepted: {message.error()}")
        offset[i] = message.offset()

    started, started_ms = time.monotonic(), time.time() * 1000
    sys.stdout.write(f"{started_ms}\n")
    sys.stdout.flush()
    for i, (key, value) in enumerate(records):
        while (ahead := started + due_s[i] - time.monotonic()) > 0:
            producer.poll(0)
            time.sleep(min(ahead, 0.001))
        user[i] = int(key[1:])
        producer.produce(topic, value, key, on_delivery=lambda _, message, i=i: note(i, message))
        if i % 256 == 0:
            producer.poll(0)
    if producer.flush(FLUSH_TIMEOUT_S) or (offset < 0).any():
        sys.stderr.write("load: not every event was delivered\n")
        return 1
    np.savez(out, user=user, offset=offset, due_ms=started_ms + np.array(due_s) * 1000)
    return 0


class Load:
    """A running producer process."""

    def __init__(self, process: subprocess.Popen[str], seconds: float, out: Path) -> None:
        self._process, self._seconds, self._out = process, seconds, out
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the load did not start")
        self.started_ms = float(line)
        """When its first event was due, in ms since 1970."""

    @property
    def is_running(self) -> bool:
        """Whether events are still due."""
        return self._process.poll() is None

    def events(self) -> Events:
        """What was sent; waits for the end."""
        if self._process.wait(self._seconds + 2 * FLUSH_TIMEOUT_S):
            raise RuntimeError("the load failed")
        with np.load(self._out) as sent:
            return Events(sent["user"], sent["offset"], sent["due_ms"])


@contextmanager
def running_load(
    bootstrap_servers: str,
    topic: str,
    rates: Sequence[float],
    seconds: float,
    users: int,
    seed: int,
    out: Path,
    items_known: int = ITEMS,
) -> Iterator[Load]:
    """Starts a load, `seconds` at each of the rates; it is stopped at the end if it has not ended by then."""
    values = (bootstrap_servers, topic, ",".join(map(str, rates)), seconds, users, seed, out, items_known)
    command = [sys.executable, "-m", "benchmarks.load", *map(str, values)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Load(process, seconds * len(rates), out)
        finally:
            if process.poll() is None:
                process.kill()


if __name__ == "__main__":
    sys.exit(main())
