"""A worker and what it needs, during some moves: what may be done to them, and whether everything is as it has to be."""

from __future__ import annotations

import re
import signal
import struct
import subprocess
import time
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Message
from confluent_kafka.admin import AdminClient
from embeddings_service import EmbeddingsService
from kafka_server import free_ports
from sequential_reader import SequentialReader
from topic_tails import TopicTail
from topics_seen import TopicsSeen
from worker_process import TIMEOUT_S, Topics, WorkerProcess

from stream.kafka.log_ends import LogEnds
from stream.kafka.topics import create_topics
from stream.settings import Settings

SETTLE_S: Final = 120.0
SUSPENDED_S: Final = 4.0
LOST: Final = re.compile(r"claimed by another worker|not this worker's to write|no longer a member|written by another")
"""How a worker ends that was suspended until its partitions were another's, or its own next life's: it has to."""

HERE: Final = Path(".adversary")
STEPPED_CLOCK: Final = Path(__file__).parent / "stepped_clock"
_names = count()


class Wrong(Exception):
    """Something does not hold; the episode need not go on."""


class Episode:
    """On fresh topics. To be closed."""

    def __init__(self, bootstrap_servers: str, directory: Path) -> None:
        self._directory = directory
        self.topics = Topics(bootstrap_servers, f"adv{next(_names)}-{time.time_ns():x}", commit_interval_s=0.3)
        create_topics(self.topics.settings)
        self.admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self.service = EmbeddingsService(free_ports(1)[0])
        self.service.start()
        self.clock = directory / f"clock-{time.time_ns():x}"
        self._shift_ns = 0
        self._write_clock()
        self.exits: list[str] = []
        self._begin()
        self.worker.start()

    def _begin(self) -> None:
        """With what the settings name now, and nothing known."""
        settings = self.settings
        self.worker = self.another_worker(settings)
        self.partitions = len(self.topics.ends(settings.topic_events))
        self.reader = SequentialReader(settings, self.partitions)
        self._events = TopicTail(settings.bootstrap_servers, settings.topic_events)
        self._archive: dict[int, list[Message]] = defaultdict(list)
        self._seen = TopicsSeen(settings)

    @property
    def settings(self) -> Settings:
        return self.topics.settings

    def another_worker(self, settings: Settings) -> WorkerProcess:
        """Not started."""
        return WorkerProcess(
            settings,
            self._directory / f"w-{time.time_ns():x}",
            {"PYTHONPATH": str(STEPPED_CLOCK), "ADVERSARY_CLOCK": str(self.clock)},
            encoder_model="m",
            encoder_remote_url=self.service.url,
            fetch_buffer_max_bytes=32 << 20,
        )

    def close(self) -> None:
        self.worker.__exit__()
        self.service.stop()
        self._close_tails()

    def _close_tails(self) -> None:
        self._events.close()
        self._seen.close()

    # --- the worker ---

    def kill(self) -> None:
        self.supervise()
        self.worker.kill()
        self.worker.start()

    def stop(self) -> None:
        """SIGTERM."""
        self.supervise()
        self.worker.terminate()
        if self.worker.process.returncode not in (0, -signal.SIGTERM):  # the latter: before it had begun
            self._note()

    def suspend(self) -> None:
        self.supervise()
        self.worker.process.send_signal(signal.SIGSTOP)
        time.sleep(SUSPENDED_S)
        self.worker.process.send_signal(signal.SIGCONT)

    def supervise(self) -> None:
        """Start a worker that ended; it should not have."""
        if self.worker.process.poll() is not None:
            self._note()
            self.worker.start()

    def is_refused(self, worker: WorkerProcess, line: str) -> None:
        """A worker that has just been started ends because a person has to mend something, with a line that matches.

        Raises:
            Wrong: it does not, or says something else.
        """
        try:
            code = worker.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Wrong(f"a worker goes on that should have ended with {line!r}") from None
        last = _last_line(worker)
        if code != 2 or not re.search(line, last):
            raise Wrong(f"a worker ended with {code}, {last!r}; expected 2 and {line!r}")

    def _note(self) -> None:
        last = _last_line(self.worker)
        if not LOST.search(last):
            HERE.mkdir(exist_ok=True)
            (HERE / "worker.log").write_text(self.worker.log[-20_000:])
            self.exits.append(f"exit code {self.worker.process.returncode}: {last[:300]} (see {HERE / 'worker.log'})")

    # --- the clock ---

    def step_clock(self, shift_s: float) -> None:
        """The worker's clock is so far ahead from now on; what it has read until now it has read by the old one."""
        self.settle()
        self.catch_up()
        self._shift_ns = round(shift_s * 1e9)
        self._write_clock()

    def _write_clock(self) -> None:
        packed = struct.pack("<q", self._shift_ns)
        if not self.clock.exists():
            self.clock.write_bytes(packed)
        with self.clock.open("r+b") as file:
            file.write(packed)

    # --- the events, as the reference reads them ---

    def catch_up(self) -> None:
        """The reference reads on, by the worker's clock; all has been committed, or the worker reads it next."""
        self._feed(self._new())

    def set_offsets(self, offsets: dict[int, int]) -> None:
        """The reference goes on at these offsets, as workers do: before what is known, or behind what nobody has read."""
        known = dict(self._events.next_offsets)
        new = self._new()
        again = [m for p, at in offsets.items() for m in self._archive[p] if at <= m.offset() < known.get(p, 0)]
        self._feed(again + [m for m in new if m.offset() >= offsets.get(m.partition(), 0)])

    def _new(self) -> list[Message]:
        new = self._events.read()
        for message in new:
            self._archive[message.partition()].append(message)
        return new

    def _feed(self, messages: list[Message]) -> None:
        self.reader.feed(messages, (time.time_ns() + self._shift_ns) // 1_000_000)

    def go_on_as(self, **settings: Any) -> None:
        """A worker of these settings takes the place of the one there was, which has ended; nothing of before is known."""
        self._close_tails()
        self.topics.settings = self.settings.model_copy(update=settings)
        create_topics(self.settings)
        self._begin()

    # --- whether all is well ---

    def settle(self) -> None:
        """Until everything was applied, answered and committed.

        Raises:
            Wrong: that does not come, or the worker ended by itself.
        """
        very, readable = LogEnds(self.settings), LogEnds(self.settings, readable=True)
        deadline = time.monotonic() + SETTLE_S
        try:
            while not self._is_settled(very, readable):
                self.supervise()
                if self.exits:
                    raise Wrong("it ended by itself")
                if time.monotonic() > deadline:
                    raise Wrong(f"not everything was committed within {SETTLE_S:g} s: {self.worker.log[-1500:]}")
                time.sleep(0.1)
        finally:
            very.close()
            readable.close()

    def _is_settled(self, very: LogEnds, readable: LogEnds) -> bool:
        # Somebody's producer may not have ended a transaction: what lies behind its beginning can be read by nobody yet.
        events = [(self.settings.topic_events, p) for p in range(self.partitions)]
        return (
            very.bounds_of(events) == readable.bounds_of(events)
            and self.topics.all_applied()
            and self.topics.deltas_committed()
            and not self._seen.owed()
        )

    def check(self) -> None:
        """
        Raises:
            Wrong: something is not as one sequential reader would have it, or somebody was quarantined.
        """
        self.settle()
        self.catch_up()
        found = self._seen.problems(self.reader)
        quarantined = {
            k: v for k, v in self.worker.metrics().items() if k.startswith("penchant_quarantined_total") and v
        }
        if quarantined:
            found.append(f"somebody was quarantined: {quarantined}")
        if found:
            raise Wrong("; ".join(found))


def _last_line(worker: WorkerProcess) -> str:
    return next((line for line in reversed(worker.log.splitlines()) if line.startswith("penchant: ")), "?")
