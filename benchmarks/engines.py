"""Builds and measures the peers of `benchmarks/peers`: each in an environment of its own, under .penchant/bench."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.kafka import Broker, GroupOffsets, delete_topics, topic_names
from benchmarks.measure import events_per_s

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).parent / "peers"
CACHE = ROOT / ".penchant" / "bench"
INSTALL_TIMEOUT_S = 600
START_TIMEOUT_S = 120.0
POLL_S = 0.05

BY_OFFSETS = "its group has committed the source offsets, which it does after flushing the changelog"


class Peer(NamedTuple):
    """One way to run one engine."""

    name: str
    """Directory in `peers`; also the prefix of its figures."""
    variant: str
    label: str
    durable_when: str
    says_durable: bool = False
    """It tells itself; otherwise the offsets that its group committed tell."""
    fast: bool = True
    """Otherwise it is given the beginning of the topic only."""


PEERS_MEASURED = (
    Peer(
        "faust",
        "",
        "plain Faust",
        "its group has committed the source offsets, which does not wait for the changelog",
        fast=False,
    ),
    Peer("quix", "", "Quix Streams", BY_OFFSETS),
    Peer(
        "bytewax",
        "memory",
        "Bytewax, recovery off",
        "not at all; the clock stops when the dataflow has returned",
        says_durable=True,
    ),
    Peer(
        "bytewax",
        "recovery",
        "Bytewax, recovery on",
        "the dataflow has returned, its recovery store on the local disk written",
        says_durable=True,
    ),
    Peer("kafka_streams", "at_least_once-json", "Kafka Streams, at least once", BY_OFFSETS),
    Peer("kafka_streams", "exactly_once-json", "Kafka Streams, exactly once", BY_OFFSETS),
    Peer("kafka_streams", "at_least_once-packed", "Kafka Streams, packed, at least once", BY_OFFSETS),
    Peer("kafka_streams", "exactly_once-packed", "Kafka Streams, packed, exactly once", BY_OFFSETS),
)


class Measured(NamedTuple):
    """What one engine did with a topic."""

    label: str
    events: int
    seconds: float
    """From its first event until all were durable."""
    cpu_s: float
    """Processor time of the engine in that time."""
    broker_cpu_s: float
    others_share: float
    """Of the machine's processor time, what went to programs without a part in this."""
    durable_when: str

    @property
    def per_s(self) -> float:
        """Events per second."""
        return events_per_s(self.events, 0.0, self.seconds)

    @property
    def per_cpu_s(self) -> float:
        """Events per second of processor time."""
        return events_per_s(self.events, 0.0, self.cpu_s)


class CpuClock:
    """Processor time of the machine from the moment this is made, and whose it was."""

    def __init__(self, engine_s: Callable[[], float], broker: Broker) -> None:
        self._engine_s, self._broker = engine_s, broker
        self._before, self._started = self._read(), time.monotonic()

    def measured(self, label: str, events: int, seconds: float, durable_when: str) -> Measured:
        """What an engine did since then."""
        engine, broker, own, machine = (now - then for now, then in zip(self._read(), self._before, strict=True))
        capacity = (time.monotonic() - self._started) * (psutil.cpu_count() or 1)
        others = max(0.0, machine - engine - broker - own) / capacity
        return Measured(label, events, seconds, engine, broker, others, durable_when)

    def _read(self) -> tuple[float, float, float, float]:
        machine, own = psutil.cpu_times(), psutil.Process().cpu_times()
        busy = machine.user + machine.system + getattr(machine, "nice", 0.0)
        return self._engine_s(), self._broker.cpu_s(), own.user + own.system, busy


class NotInstallableError(Exception):
    """A peer's environment cannot be made here; the message is one line."""


def build(name: str) -> list[str]:
    """Make the peer's environment unless it is there; the command that runs its job.

    Raises:
        NotInstallableError: the registry is out of reach, or has no build for this machine.
    """
    sources = sorted(path for path in (PEERS / name).rglob("*") if path.suffix in {".txt", ".xml", ".java"})
    digest = hashlib.blake2b(b"".join(path.read_bytes() for path in sources) + sys.version.encode(), digest_size=6)
    home = CACHE / f"{name}-{digest.hexdigest()}"
    if not home.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=CACHE))
        try:
            for command in _steps(name, fresh):
                _install(name, command)
            (fresh / "complete").touch()
            # A virtual environment names its own path, so it is made where it stays and found by a link.
            home.symlink_to(fresh.name)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    if name == "kafka_streams":
        return ["java", "-cp", f"{home / 'classes'}:{home / 'jars'}/*", "Job"]
    command = [str(home / "bin" / "python"), "-m", f"benchmarks.peers.{name}.job"]
    return [*command, "worker", "-l", "error"] if name == "faust" else command


def _steps(name: str, home: Path) -> list[list[str]]:
    if name == "kafka_streams":
        pom, jars = str(PEERS / name / "pom.xml"), home / "jars"
        source = str(PEERS / name / "src" / "main" / "java" / "Job.java")
        return [
            ["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={jars}"],
            ["javac", "--release", "17", "-cp", f"{jars}/*", "-d", str(home / "classes"), source],
        ]
    pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    requirements = str(PEERS / name / "requirements.txt")
    return [[sys.executable, "-m", "venv", str(home)], [*pip, "--only-binary=:all:", "-r", requirements]]


def _install(name: str, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise NotInstallableError(f"{name}: {command[0]} is missing") from None
    except subprocess.TimeoutExpired:
        raise NotInstallableError(f"{name}: {command[0]} took more than {INSTALL_TIMEOUT_S} s") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise NotInstallableError(f"{name}: {lines[-1][:200] if lines else command}")


def measure(peer: Peer, broker: Broker, topic: str, events: int, timeout_s: float) -> Measured:
    """Run one peer on the topic until `events` of its events are durable; its topics are deleted afterwards.

    Raises:
        NotInstallableError: see `build`.
        RuntimeError: it ended early or did not get there in time.
    """
    command = build(peer.name)
    topics_before = topic_names(broker.bootstrap_servers)
    group = f"bench-{peer.name}-{peer.variant or 'default'}-{os.getpid()}"
    with (
        tempfile.TemporaryDirectory(prefix="penchant-bench-peer-") as directory,
        GroupOffsets(broker.bootstrap_servers, group, topic) as offsets,
    ):
        own = {
            "BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "TOPIC": topic,
            "GROUP": group,
            "VARIANT": peer.variant,
            "DATA_DIR": str(Path(directory) / "data"),
            "EVENTS": str(events),
            "PARTITIONS": str(len(offsets.ends())),
        }
        with _process(command, own, Path(directory)) as job:
            job.wait_for("FIRST", START_TIMEOUT_S)
            started, clock = job.said["FIRST"], CpuClock(job.cpu_s, broker)
            if peer.says_durable:
                job.wait_for("DURABLE", timeout_s)
                ended, done = job.said["DURABLE"], events
            else:
                ended, done = _wait_committed(job, offsets, events, timeout_s)
            result = clock.measured(peer.label, done, ended - started, peer.durable_when)
    delete_topics(broker.bootstrap_servers, topic_names(broker.bootstrap_servers) - topics_before)
    return result


def _wait_committed(job: _Job, offsets: GroupOffsets, events: int, timeout_s: float) -> tuple[float, int]:
    deadline = time.monotonic() + timeout_s
    while (done := offsets.committed()) < events:
        job.check(deadline, f"{events} events to be committed ({done} are)")
        time.sleep(POLL_S)
    return time.monotonic(), done


class _Job:
    """A running peer, and when it said what."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.said: dict[str, float] = {}
        self._process, self._log = process, log
        self._usage = psutil.Process(process.pid)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said.setdefault(line.decode(errors="replace").strip(), time.monotonic())

    def wait_for(self, word: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while word not in self.said:
            self.check(deadline, f"it to say {word}")
            time.sleep(0.01)

    def check(self, deadline: float, what: str) -> None:
        ended = self._process.poll() is not None
        if ended or time.monotonic() > deadline:
            why = "it ended" if ended else "the time was up"
            raise RuntimeError(f"{why} before {what}:\n{self._log.read_text(errors='replace')[-2000:]}")

    def cpu_s(self) -> float:
        return float(sum(self._usage.cpu_times()[:2]))


@contextmanager
def _process(command: list[str], own: dict[str, str], directory: Path) -> Iterator[_Job]:
    # Nothing of the environment that makes Penchant's own packages visible to a peer.
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    environment |= own | {"PYTHONPATH": str(ROOT)}
    log = directory / "job.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, env=environment, cwd=directory, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    try:
        yield _Job(process, log)
    finally:
        process.kill()
        process.wait(30)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
