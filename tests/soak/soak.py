"""The long run: a broker, two workers and `penchant serve` under an even load with garbage, while workers and the broker are
killed and started again. Memory, handles, threads, disk and freshness must stay flat, nothing may be lost.

    make soak MINUTES=60 SEED=1

The load is half of what the workers were seen to take in the first minute, or `ARGS=--events-per-s 500`. One worker (`a`) and
`serve` are never killed: those are looked at for growth. Writes `.soak/samples.csv` and `soak.png`; one line of JSON last.
Exit code 0: all held; 1: something did not.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from kafka_server import KafkaServer
from places import ROOT
from serve_process import ServeProcess
from soak_figures import Sample, of_process, plot, quantile_between, verdicts, write_csv
from soak_load import USERS, SoakLoad
from worker_process import Topics, WorkerProcess

from stream.kafka.topics import create_topics

OUT: Final = ROOT / ".soak"
FRESHNESS: Final = "penchant_event_to_recommendation_seconds"
CALIBRATION_EVENTS: Final = 20_000
PEAK_SHARE: Final = 0.5
ASKED_PER_S: Final = 2.0
RETENTION = {"retention.bytes": str(512 << 20), "segment.bytes": str(16 << 20)}
"""Of events, reasons and deltas, a partition: the broker's own disk must be able to stay flat. With 64 MiB, a tenth of the
deltas that waited under overload were dropped before they were read."""
CATCH_UP_S: Final = 180.0
OVERRIDES: Final = {
    "session_timeout_s": 6,
    "delivery_timeout_s": 60,
    "block_cache_bytes": 64 << 20,
    "write_buffer_bytes": 32 << 20,
}


class Soak:
    """The parts, and what was seen of them."""

    def __init__(self, kafka: KafkaServer, directory: Path, seed: int) -> None:
        self.kafka, self._rng = kafka, random.Random(f"soak {seed}")
        self.topics = Topics(kafka.bootstrap_servers, "soak", partitions=4, **OVERRIDES)
        create_topics(self.topics.settings)
        self._bound_the_logs()
        self.workers = {name: WorkerProcess(self.topics.settings, directory / name) for name in "ab"}
        self.serve = ServeProcess(self.topics.settings, directory / "serve")
        self.load = SoakLoad(self.topics, seed, 0.0)
        self.samples: list[Sample] = []
        self.marks: list[tuple[float, str]] = []
        self.problems: list[str] = []
        self.answers, self.not_answered = 0, 0
        self._began, self._before = time.monotonic(), dict[str, dict[str, float]]()
        self._seed, self._directory = seed, directory

    def _bound_the_logs(self) -> None:
        settings, admin = self.topics.settings, AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        for topic in (settings.topic_events, settings.topic_attributions, settings.topic_item_deltas):
            resource = ConfigResource(
                ResourceType.TOPIC, topic, incremental_configs=[
                    ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in RETENTION.items()
                ],
            )  # fmt: skip
            admin.incremental_alter_configs([resource])[resource].result(30)

    @property
    def at_s(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def peak_events_per_s(self) -> float:
        """What both workers take from a backlog, lists included."""
        self.load.catalogue()
        self.workers["a"].start()
        self.workers["b"].start()
        self.load.write(2000)
        self._until(self.topics.all_applied, "the first events", CATCH_UP_S)
        began = time.monotonic()
        self.load.write(CALIBRATION_EVENTS)
        self._until(self.topics.all_applied, "the calibration", CATCH_UP_S)
        return CALIBRATION_EVENTS / (time.monotonic() - began)

    def run(self, minutes: float, events_per_s: float, sample_s: float) -> None:
        """Load and faults for so long, then none until everything is applied."""
        self.serve.start()
        self.serve.until_ready()
        written, garbage = self.load.written, self.load.garbage
        self.load = SoakLoad(self.topics, self._seed + 1, events_per_s)
        self.load.written, self.load.garbage = written, garbage
        self._began = time.monotonic()
        asking = threading.Thread(target=self._ask, daemon=True, name="asking")
        self.load.start()
        asking.start()
        faults = self._faults(minutes * 60)
        next_sample = 0.0
        while self.at_s < minutes * 60:
            if faults and self.at_s >= faults[0][0]:
                self._fault(faults.pop(0)[1])
            if self.at_s >= next_sample:
                self._sample()
                next_sample += sample_s
            self._supervise()
            time.sleep(0.2)
        self.load.stop(120)
        self._until(self.topics.all_applied, "the end", CATCH_UP_S)
        self._check()

    def _faults(self, until_s: float) -> list[tuple[float, str]]:
        """A worker every six minutes, killed or stopped in order, and the broker every seventeen, the last ones well before
        the end; in a run of a minute one of each."""
        every, broker_every = min(360.0, until_s / 3), min(1020.0, until_s / 2)
        faults = [(every * n, self._rng.choice(("kill", "stop"))) for n in range(1, 10_000) if every * n < until_s - 20]
        faults += [(broker_every * n - 15, "broker") for n in range(1, 10_000) if broker_every * n < until_s - 20]
        return sorted(faults)

    def _fault(self, what: str) -> None:
        self.marks.append((self.at_s, what))
        print(f"{self.at_s:6.0f} s  {what}", flush=True)
        if what == "broker":
            self.kafka.kill()
            time.sleep(2)
            self.kafka.start()
            return
        worker = self.workers["b"]
        if worker.process.poll() is None:
            worker.kill() if what == "kill" else worker.terminate()
        worker.start()

    def _supervise(self) -> None:
        """Whoever ended by itself is started again; only right after the broker was away is that no problem."""
        for name, process in self._running().items():
            code = process.process.poll()
            if code is None:
                continue
            last = process.log.strip().splitlines()[-1:]
            print(f"{self.at_s:6.0f} s  {name} ended with {code}: {last}", flush=True)
            self.marks.append((self.at_s, f"{name} ended"))
            if not any(what == "broker" and self.at_s - at < 120 for at, what in self.marks):
                self.problems.append(f"{name} ended by itself with {code}: {last}")
            process.start()

    def _sample(self) -> None:
        for name, process in self._running().items():
            try:
                figures = of_process(process.process.pid, process.data_dir)
            except psutil.Error:
                continue  # between a kill and a start
            if isinstance(process, WorkerProcess) and (now := process.metrics()):
                p99 = quantile_between(self._before.get(name, {}), now, FRESHNESS, 0.99)
                figures |= {} if p99 is None else {"freshness_p99_s": p99}
                figures["lag_records"] = sum(v for key, v in now.items() if key.startswith("penchant_lag_records"))
                self._before[name] = now
            self.samples.append(Sample(self.at_s, name, figures))
        try:
            broker = of_process(self.kafka.pid, self.kafka.data_dir)
        except (psutil.Error, FileNotFoundError):
            return
        self.samples.append(Sample(self.at_s, "broker", {"disk_mib": broker["disk_mib"]}))

    def _running(self) -> dict[str, WorkerProcess | ServeProcess]:
        return {**self.workers, **({"serve": self.serve} if self.serve.url else {})}

    def _ask(self) -> None:
        rng = random.Random(1)
        while True:
            time.sleep(1 / ASKED_PER_S)
            url = f"{self.serve.url}/v1/users/u{int(USERS * rng.random() ** 2)}/recommendations"
            try:
                with urllib.request.urlopen(url, timeout=10) as answer:
                    answer.read()
                self.answers += 1
            except (OSError, urllib.error.URLError):
                self.not_answered += 1

    def _check(self) -> None:
        lost = sum(worker.metrics().get("penchant_records_lost_total", 0.0) for worker in self.workers.values())
        letters = len({_place(message) for message in self.topics.read(self.topics.settings.topic_dead_letter)})
        if self.load.refused:
            self.problems.append(f"{len(self.load.refused)} events were refused: {self.load.refused[0]}")
        if letters != self.load.garbage:
            self.problems.append(f"{self.load.garbage} records of garbage have {letters} letters")
        if lost:
            self.problems.append(f"{lost:.0f} records were lost")

    def _until(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                self.problems.append(f"{what}: not everything was applied within {timeout_s:g} s")
                return
            self._supervise()
            time.sleep(1)

    def close(self) -> None:
        for process in (*self.workers.values(), self.serve):
            process.__exit__()


def _place(message: Any) -> tuple[bytes, ...]:
    headers = dict(message.headers() or ())
    return tuple(headers.get(name, b"") for name in ("topic", "partition", "offset"))


def soak(
    kafka: KafkaServer, directory: Path, minutes: float, seed: int, events_per_s: float | None, sample_s: float
) -> Soak:
    """Run it; what was seen."""
    run = Soak(kafka, directory, seed)
    try:
        peak = run.peak_events_per_s()
        rate = PEAK_SHARE * peak if events_per_s is None else events_per_s
        print(f"peak {peak:,.0f} events/s with lists from two workers; load {rate:,.0f} events/s", flush=True)
        run.run(minutes, rate, sample_s)
    finally:
        run.close()
    return run


def main(arguments: Sequence[str]) -> int:
    """Run it; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events-per-s", type=float)
    parser.add_argument("--sample-s", type=float, default=10.0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        kafka = KafkaServer(Path(temporary) / "kafka")
        kafka.start()
        try:
            run = soak(kafka, Path(temporary), options.minutes, options.seed, options.events_per_s, options.sample_s)
        finally:
            kafka.stop()
    found = verdicts(run.samples, ("a", "serve"))
    growing = [name for name, verdict in found.items() if not verdict["flat"]]
    OUT.mkdir(exist_ok=True)
    write_csv(run.samples, OUT / "samples.csv")
    plot(
        run.samples,
        run.marks,
        f"{options.minutes:g} minutes, {run.load.written:,} events, {len(run.marks)} faults",
        OUT / "soak.png",
    )
    report = {
        "minutes": options.minutes, "events": run.load.written, "garbage": run.load.garbage,
        "faults": len(run.marks), "answers": run.answers, "not_answered": run.not_answered,
        "problems": run.problems, "growing": growing, "verdicts": found,
    }  # fmt: skip
    print(json.dumps(report))
    return 1 if run.problems or growing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
