"""A `penchant serve` asked at random: whatever routes, ids, parameters and bodies there may be, most of them wrong.

    python -m benchmarks.random_requests --requests 1000000

`server_errors` and `closed` must be 0: answers of 500 and above but 503, and connections that ended without an answer. Memory
is read every `--sample` requests: `growth_mib` is what the last quarter of the run had more than the second one, on average.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_from_bytes

import numpy as np

from benchmarks.processes import Worker, settings_of, wait_until_done
from benchmarks.serve import PARTITIONS, Server, catalogue
from benchmarks.workload import produce, spread_events
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.specs import topic_specs
from stream.serve.http.routes import ROUTES, Route

CONNECTIONS: Final = 8
WORDS: Final = (
    "",
    "0",
    "-1",
    "1",
    "20",
    "1e9",
    "nan",
    "null",
    "true",
    "home",
    "a" * 300,
    "\x00",
    "😀",
    "{}",
    "i1",
    "u1",
    "'\"<",
)
NAMES: Final = (
    "n", "exclude", "category", "price_min", "price_max", "explain", "min_offset", "after", "wait_ms", "placement", "q", "by",
    "context.device", "what",
)  # fmt: skip


class Asker:
    """Makes requests, the same ones for the same seed."""

    def __init__(self, seed: int, users: int, items: int) -> None:
        self._chance, self._users, self._items = random.Random(seed), users, items

    def request(self) -> bytes:
        """One, whole."""
        chance = self._chance
        route = chance.choice([each for each in ROUTES if each.name != "publish_rule"])
        path = "/".join(self._segment(part) for part in route.path.split("/"))
        if chance.random() < 0.02:
            path += chance.choice(("/", "/..", "//", "/%2e%2e/%2e%2e/etc/passwd", "%", "?"))
        method = route.method if chance.random() < 0.97 else chance.choice(("GET", "PUT", "DELETE", "PATCH", "OPTIONS"))
        body = b"" if method == "GET" else self._body(route)
        if route.query is not None and chance.random() < 0.9:
            path += "?" + "&".join(f"{self._name()}={quote(self._word())}" for _ in range(chance.randrange(4)))
        head = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def _segment(self, part: str) -> str:
        if not part.startswith("{"):
            return part
        chance = self._chance
        if part == "{rank}":
            return str(chance.choice((1, 2, 20, 0, -1, 1000, "x")))
        kind = chance.random()
        if kind < 0.7:
            return f"u{chance.randrange(self._users)}" if part == "{user_id}" else f"i{chance.randrange(self._items)}"
        if kind < 0.9:
            return quote(chance.choice(WORDS), safe="") or "x"
        return quote_from_bytes(chance.randbytes(chance.randrange(1, 140)), safe="")

    def _name(self) -> str:
        return self._chance.choice(NAMES)

    def _word(self) -> str:
        return self._chance.choice(WORDS)

    def _body(self, route: Route) -> bytes:
        chance, kind = self._chance, self._chance.random()
        if kind < 0.1:
            return chance.randbytes(chance.randrange(200))
        if kind < 0.2:
            return json.dumps(self._any(3)).encode()
        item = f"i{chance.randrange(self._items)}"
        events = [
            {"action": "click", "item_id": f"i{chance.randrange(self._items)}"} for _ in range(chance.randrange(6))
        ]
        bodies: dict[str, dict[str, Any]] = {
            "what_if": {
                "with": [item],
                "at": chance.choice((None, 0, 1_700_000_000_000)),
                "weights": {"trend": chance.random()},
            },
            "session": {"events": events, "n": chance.randrange(1, 50), "explain": chance.random() < 0.5},
            "send": {"user_id": f"u{chance.randrange(self._users)}", "action": "click", "item_id": item},
            "try_rule": {"key": "x", "rule": {"kind": "deny", "where": "price > 3"}, "people": ["u1"]},
            "less": {"items": [item]},
        }
        good = bodies.get(route.name, {})
        if kind < 0.5 and good:
            good[chance.choice([*good, "more"])] = self._any(2)
        return json.dumps(good).encode()

    def _any(self, depth: int) -> Any:
        chance = self._chance
        if depth and chance.random() < 0.5:
            if chance.random() < 0.5:
                return [self._any(depth - 1) for _ in range(chance.randrange(4))]
            return {chance.choice(NAMES): self._any(depth - 1) for _ in range(chance.randrange(4))}
        return chance.choice((None, True, -1, 0, 1.5, 10**20, self._word()))


async def ask(url: str, asker: Asker, count: int, statuses: Counter[int], on_asked: Any) -> None:
    """So many requests over one connection, one after another; opened again where the other side ends it."""
    host, port = url.removeprefix("http://").split(":")
    reader = writer = None
    for _ in range(count):
        if writer is None or reader is None:
            reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(asker.request())
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
            status = int(head.split(b" ", 2)[1])
            lines = head.lower().split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            await reader.readexactly(length)
            is_last = b"connection: close" in lines
        except (asyncio.IncompleteReadError, ConnectionError):
            status, is_last = 0, True
        statuses[status] += 1
        on_asked()
        if is_last:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


async def ask_all(serve: Server, options: argparse.Namespace) -> tuple[Counter[int], list[float]]:
    """Statuses, 0 for no answer; and memory, MiB, every `sample` requests."""
    statuses: Counter[int] = Counter()
    memory_mib: list[float] = []
    asked = 0

    def count() -> None:
        nonlocal asked
        asked += 1
        if asked % options.sample == 0:
            memory_mib.append(serve.rss_mib())
            sys.stderr.write(f"{asked:,} asked, {memory_mib[-1]:.0f} MiB, {dict(statuses)}\n")

    each = options.requests // CONNECTIONS
    askers = [Asker(options.seed + n, options.users, options.items) for n in range(CONNECTIONS)]
    await asyncio.gather(*(ask(serve.url, asker, each, statuses, count) for asker in askers))
    return statuses, memory_mib


def main(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.random_requests")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--sample", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    names = {spec.name: PARTITIONS for spec in topic_specs(settings_of("127.0.0.1:1", "serve"))}
    with tempfile.TemporaryDirectory(prefix="penchant-bench-") as folder, EmbeddedBroker(names) as broker:
        settings = settings_of(broker.bootstrap_servers, "serve", partitions=PARTITIONS, item_partitions=PARTITIONS)
        produce(settings.bootstrap_servers, settings.topic_items, catalogue(options.items))
        directory = Path(folder)
        with (
            Server(settings, directory / "serve", ("-m", "stream", "serve", "--port", "PORT")) as serve,
            Worker(settings, directory / "worker") as worker,
        ):
            serve.wait_for("penchant serve to be ready", lambda: serve.status("/health/ready") == 200)
            worker.wait_for("the worker to be up", lambda: bool(worker.samples()))
            events = spread_events(options.users * 10, options.users, items_known=options.items)
            produce(settings.bootstrap_servers, settings.topic_events, events)
            wait_until_done(worker, settings)
            began = time.monotonic()
            statuses, memory_mib = asyncio.run(ask_all(serve, options))
            serve.check("the end")
            quarters = np.array_split(np.array(memory_mib or [0.0]), 4)
            return {
                "requests": float(sum(statuses.values())),
                "requests_per_s": sum(statuses.values()) / (time.monotonic() - began),
                "server_errors": float(sum(n for status, n in statuses.items() if status >= 500 and status != 503)),
                "closed": float(statuses[0]),
                "not_ready": float(statuses[503]),
                "ok": float(statuses[200] + statuses[201]),
                "growth_mib": float(quarters[-1].mean() - quarters[1].mean()),
                "memory_mib": memory_mib[-1] if memory_mib else 0.0,
            }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:])))
