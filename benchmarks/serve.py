"""Asking `penchant serve`: lists that were published, lists ranked on the spot, read-your-writes, what-if; beside bare HTTP.

One worker and one `penchant serve` over a world of users with lists. Requests come on a fixed schedule (`vegeta`), latency runs
from when a request was due. At the same rates, in the same run and beside the same worker, the framework alone answers with a
constant of the same size (`hello`): what is above that is Penchant's.

- `published_..`: `GET /v1/users/{id}/recommendations` at `--rate`, while the worker takes `--events` a second.
- `ranked_..`: `POST /v1/sessions/recommendations` with five events, at `--ranked`.
- `after_event_..`: `POST /v1/events`, then the list with its `min_offset`, at half of both loads; until the answer is there.
  `after_event_fresh`: share that reflected the event; the rest said that they did not. `worker_p50_ms`: from the event to its
  list on the topic meanwhile, by the worker's own histogram: what is above that is HTTP and following.
- `what_if_..`: `POST /v1/users/{id}/what-if`, one behaviour struck out, at `--what-if`.
- `.._over_hello`: p99 over that of `hello`. `.._refused`: share without a good answer, which counts as infinitely late.
- `.._cpu_us`: processor time of the answering process a request; with what it follows meanwhile.
- `disk_gib_per_million_lists`, `memory_gib_per_million_lists`: of the serving process, less what it took before there was
  anything, by the number of lists. Extrapolated from this world: caches have bounds, so memory is an upper bound.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks import vegeta
from benchmarks.kafka import free_ports, local_kafka
from benchmarks.load import Load, running_load
from benchmarks.measure import histogram_percentile, percentiles
from benchmarks.processes import Worker, settings_of, wait_until_done
from benchmarks.vegeta import Answers, Target
from benchmarks.workload import produce, spread_events
from stream.client import AsyncClient, NotAnsweredError, PenchantHTTPError
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.specs import topic_specs
from stream.kafka.topics import create_topics
from stream.settings import Settings

PLACES: Final = 20
SESSION_EVENTS: Final = 5
CATEGORIES: Final = 40
WAIT_MS: Final = 5000
PROBES_PER_S: Final = 20.0
SAMPLE: Final = 200
"""People of whom it is looked whether their list has come."""
FRESHNESS: Final = "penchant_event_to_recommendation_seconds"
PARTITIONS: Final = 16
"""Of the embedded broker, which keeps 5 MiB of each."""


class Server(Worker):
    """A process that answers on a port: `penchant serve`, or what is measured beside it."""

    def __init__(self, settings: Settings, data_dir: Path, command: Sequence[str]) -> None:
        """`command`: what Python is to run; the port comes after it."""
        port = free_ports(1)[0]
        super().__init__(settings, data_dir, command=[each.replace("PORT", str(port)) for each in command])
        self._port = port  # whose /metrics is asked
        self.url = f"http://127.0.0.1:{port}"
        self._environment |= {"PENCHANT_SERVE_PORT": str(port), "PENCHANT_SERVE_DATA_DIR": str(data_dir)}

    def status(self, path: str) -> int:
        """Of a GET; 0 while nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def json(self, target: Target) -> tuple[dict[str, object], int]:
        """An answer, and its size in bytes."""
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(target.url, target.body, headers, method=target.method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body), len(body)

    def disk_bytes(self) -> int:
        """What lies in its data directory."""
        return sum(path.stat().st_size for path in self.data_dir.rglob("*") if path.is_file())


class _Asked(NamedTuple):
    """What one way of asking showed."""

    answers: Answers
    cpu_us: float
    """A request."""


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    vegeta.find()  # before anything is started
    with ExitStack() as running:
        directory = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="penchant-bench-")))
        settings = _broker(running, options)
        produce(settings.bootstrap_servers, settings.topic_items, catalogue(options.items))
        serve = Server(settings, directory / "serve", ("-m", "stream", "serve", "--port", "PORT"))
        running.enter_context(serve)
        # Compiled, and with all items: what it grows by from here on is people.
        serve.wait_for("penchant serve to be ready", lambda: serve.status("/health/ready") == 200)
        before_mib, before_bytes = serve.rss_mib(), serve.disk_bytes()
        worker = running.enter_context(Worker(settings, directory / "worker"))
        worker.wait_for("the worker to be up", lambda: bool(worker.samples()))
        events = spread_events(options.users * options.behaviours, options.users, items_known=options.items)
        produce(settings.bootstrap_servers, settings.topic_events, events)
        wait_until_done(worker, settings)
        some = np.random.default_rng(options.seed).permutation(options.users)[:SAMPLE].tolist()
        serve.wait_for("every list to have come", lambda: all(_is_published(serve, user) for user in some))
        grown = {
            "memory_gib_per_million_lists": (serve.rss_mib() - before_mib) / 1024,
            "disk_gib_per_million_lists": (serve.disk_bytes() - before_bytes) / 2**30,
        }
        figures = _Bench(settings, serve, worker, directory, options).measure()
        figures |= {name: value / options.users * 1e6 for name, value in grown.items()}
        figures["serve_mib"] = serve.rss_mib()
    return figures


def _broker(running: ExitStack, options: argparse.Namespace) -> Settings:
    """A broker with its topics, for as long as the run lasts; the settings that reach it."""
    if not options.embedded:
        settings = settings_of(running.enter_context(local_kafka()).bootstrap_servers, "serve")
        create_topics(settings)
        return settings
    names = {spec.name: PARTITIONS for spec in topic_specs(settings_of("127.0.0.1:1", "serve"))}
    broker = running.enter_context(EmbeddedBroker(names))
    return settings_of(broker.bootstrap_servers, "serve", partitions=PARTITIONS, item_partitions=PARTITIONS)


class _Bench:
    def __init__(
        self, settings: Settings, serve: Server, worker: Worker, directory: Path, options: argparse.Namespace
    ) -> None:
        self._settings, self._serve, self._worker = settings, serve, worker
        self._directory, self._options = directory, options
        self._rng = np.random.default_rng(options.seed)
        self._attacks = 0

    def measure(self) -> dict[str, float]:
        """All of it, one after another, each when the worker has nothing left to do."""
        options = self._options
        figures = self._beside_hello("published", self._published(), options.rate, options.events)
        figures |= self._beside_hello("ranked", self._sessions(), options.ranked, 0.0)
        figures |= self._after_events()
        figures |= _figures("what_if", self._ask(self._serve, self._what_if(), options.what_if, 0.0))
        return figures

    def _beside_hello(self, name: str, targets: list[Target], rate: float, events: float) -> dict[str, float]:
        answer, size = self._serve.json(targets[0])
        if not answer.get("items"):
            raise RuntimeError(f"{targets[0].url}: the list is empty, so there is nothing to measure")
        command = ("-m", "benchmarks.hello", "PORT", str(size))
        with Server(self._settings, self._directory / f"hello-{name}", command) as hello:
            hello.wait_for("the bare framework to answer", lambda: hello.status("/") == 200)
            same = [target._replace(url=target.url.replace(self._serve.url, hello.url)) for target in targets]
            bare = self._ask(hello, same, rate, events)
        asked = self._ask(self._serve, targets, rate, events)
        figures = _figures(name, asked) | _figures(f"{name}_hello", bare) | {f"{name}_bytes": float(size)}
        return figures | {f"{name}_over_hello": figures[f"{name}_p99_ms"] / figures[f"{name}_hello_p99_ms"]}

    def _ask(self, server: Server, targets: list[Target], rate: float, events: float) -> _Asked:
        options = self._options
        self._attacks += 1
        vegeta.attack(targets[:200], min(rate, 100.0), 2.0, self._directory, f"warm-{self._attacks}")
        before_s = server.cpu_s()
        with self._load(events):
            answers = vegeta.attack(targets, rate, options.seconds, self._directory, f"attack-{self._attacks}")
        cpu_s = server.cpu_s() - before_s
        wait_until_done(self._worker, self._settings)
        for error in answers.errors[:3]:
            _say(f"{targets[0].method} {targets[0].url}: {error}")
        return _Asked(answers, cpu_s * 1e6 / len(answers.status))

    def _load(self, events: float) -> AbstractContextManager[Load | None]:
        if not events:
            return nullcontext()
        options = self._options
        return running_load(
            self._settings.bootstrap_servers,
            self._settings.topic_events,
            [events],
            options.seconds,
            options.users,
            options.seed + self._attacks,
            self._directory / f"load-{self._attacks}.npz",
            options.items,
        )

    def _after_events(self) -> dict[str, float]:
        """Read-your-writes at half load: what `published` asked and sent goes on at half its rates beside it."""
        options = self._options
        self._attacks += 1
        half = (options.rate / 2, options.seconds, self._directory, "half")
        users = self._rng.integers(0, options.users, int(PROBES_PER_S * options.seconds))
        items = self._rng.integers(0, options.items, len(users))

        async def both() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
            beside = asyncio.create_task(asyncio.to_thread(vegeta.attack, self._published(), *half))
            found = await _probe(self._serve.url, [f"u{u}" for u in users], [f"i{i}" for i in items])
            await beside
            return found

        before = self._worker.samples()
        with self._load(options.events / 2):
            latency_ms, fresh = asyncio.run(both())
        wait_until_done(self._worker, self._settings)
        worker_ms = 1000 * _median_between(before, self._worker.samples())
        figures = {f"after_event_{name}_ms": value for name, value in percentiles(latency_ms).items()}
        return figures | {
            "after_event_fresh": float(fresh.mean()),
            "after_event_refused": float(np.isinf(latency_ms).mean()),
            "worker_p50_ms": worker_ms,
        }

    # -- what is asked ---------------------------------------------------------------------------------------------------

    def _published(self) -> list[Target]:
        users = self._rng.permutation(self._options.users).tolist()
        return [Target("GET", f"{self._serve.url}/v1/users/u{user}/recommendations?n={PLACES}") for user in users]

    def _sessions(self) -> list[Target]:
        url = f"{self._serve.url}/v1/sessions/recommendations"
        sessions = self._rng.integers(0, self._options.items, (2000, SESSION_EVENTS)).tolist()
        return [
            Target(
                "POST",
                url,
                msgspec.json.encode(
                    {"n": PLACES, "events": [{"action": "click", "item_id": f"i{item}"} for item in session]}
                ),
            )
            for session in sessions
        ]

    def _what_if(self) -> list[Target]:
        """The newest behaviour of each of some people, struck out."""
        targets = []
        for user in self._rng.permutation(self._options.users)[:200].tolist():
            person, _ = self._serve.json(Target("GET", f"{self._serve.url}/v1/users/u{user}"))
            behaviours = person["behaviours"]
            assert isinstance(behaviours, list)
            body = msgspec.json.encode({"without": [behaviours[-1]["key"]], "n": PLACES})
            targets.append(Target("POST", f"{self._serve.url}/v1/users/u{user}/what-if", body))
        return targets


async def _probe(url: str, users: Sequence[str], items: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Event i is due at start + i / PROBES_PER_S; ms from then until the list after it is there, and whether it reflects it."""
    latency_ms, fresh = np.full(len(users), np.inf), np.zeros(len(users), np.bool_)
    async with AsyncClient(url, timeout_s=vegeta.ANSWER_TIMEOUT_S) as penchant:
        await penchant.live()  # connected before the first event is due
        started = time.monotonic()

        async def one(i: int) -> None:
            due = started + i / PROBES_PER_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            try:
                sent = await penchant.send(users[i], "click", items[i])
                answer = await penchant.recommendations(users[i], n=PLACES, after=sent, wait_ms=WAIT_MS)
            except (PenchantHTTPError, NotAnsweredError) as error:
                _say(str(error))
                return
            latency_ms[i], fresh[i] = (time.monotonic() - due) * 1000, answer.fresh

        await asyncio.gather(*map(one, range(len(users))))
    return latency_ms, fresh


def _figures(name: str, asked: _Asked) -> dict[str, float]:
    figures = {f"{name}_{each}_ms": value for each, value in percentiles(asked.answers.latency_ms).items()}
    return figures | {f"{name}_refused": asked.answers.refused, f"{name}_cpu_us": asked.cpu_us}


def _median_between(before: dict[str, float], after: dict[str, float]) -> float:
    """Of the worker's own histogram of seconds from an event to its list, between two readings."""
    counts: dict[float, float] = {}
    for name, value in after.items():
        if name.startswith(f"{FRESHNESS}_bucket"):
            bound = float(re.findall(r'le="([^"]+)"', name)[0])
            counts[bound] = counts.get(bound, 0.0) + value - before.get(name, 0.0)
    bounds = sorted(counts)
    return histogram_percentile(bounds, [counts[bound] for bound in bounds], 50)


def _is_published(serve: Server, user: int) -> bool:
    """Whether it has somebody's list."""
    path = f"/v1/users/u{user}/recommendations?n={PLACES}"
    return serve.status(path) == 200 and serve.json(Target("GET", serve.url + path))[0]["how"] == "published"


def catalogue(items: int) -> Iterator[tuple[bytes, bytes]]:
    """Records of so many items."""
    for i in range(items):
        item = {
            "item_id": f"i{i}",
            "title": f"Item number {i}",
            "categories": [f"c{i % CATEGORIES}"],
            "price": 1.0 + i % 97,
        }
        yield f"i{i}".encode(), msgspec.json.encode(item)


def _say(line: str) -> None:
    sys.stderr.write(f"serve: {line}\n")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=serve ARGS=")
    parser.add_argument("--users", type=int, default=20_000, help="users, each with a list")
    parser.add_argument("--items", type=int, default=5_000)
    parser.add_argument("--behaviours", type=int, default=10, help="of each user before anything is asked")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each phase")
    parser.add_argument("--rate", type=float, default=1_000.0, help="published lists asked for a second")
    parser.add_argument("--events", type=float, default=1_000.0, help="events a second beside them")
    parser.add_argument("--ranked", type=float, default=200.0, help="lists ranked on the spot a second")
    parser.add_argument("--what-if", type=float, default=20.0, help="what-ifs a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--embedded",
        action="store_true",
        help="the embedded broker in place of Apache Kafka: small worlds, without Java",
    )
    return parser.parse_args(arguments)
