"""Workers as their users run them: a process, its metrics endpoint, its processor time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import psutil

from benchmarks.kafka import GroupOffsets, free_ports
from stream.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 600.0
POLL_S = 0.05
LOG_TAIL_BYTES = 3000


def can_switch_recommending_off() -> bool:
    """Whether this worker can be told to keep users' states only, which is the job the peers do."""
    return "recommend" in Settings.model_fields


def settings_of(bootstrap_servers: str, prefix: str, **overrides: object) -> Settings:
    """Settings with topics and a group of their own, so that several deployments share one broker."""
    topics = {
        name: f"{prefix}.{name.removeprefix('topic_').replace('_', '-')}"
        for name in Settings.model_fields
        if name.startswith("topic_")
    }
    # Without the text encoder, which has a benchmark of its own: titles here are numbers.
    chosen = {"encoder_model": "none"} | overrides
    return load_settings(bootstrap_servers=bootstrap_servers, group_id=prefix, **topics, **chosen)


class Worker:
    """`penchant worker` with a data directory and a metrics port of its own."""

    def __init__(
        self, settings: Settings, data_dir: Path, root: Path = ROOT, command: Sequence[str] = ("-m", "stream", "worker")
    ) -> None:
        """`root`: checkout whose worker it is; `command`: what Python is to run."""
        self.data_dir, self._root, self._command = data_dir, root, command
        self._port = free_ports(1)[0]
        self._log = data_dir.with_name(data_dir.name + ".log")
        chosen = {name: getattr(settings, name) for name in settings.model_fields_set}
        chosen |= {"data_dir": data_dir, "metrics_port": self._port}
        # What the person running this has set is not to change what is measured.
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("PENCHANT_")}
        self._environment |= {f"PENCHANT_{name.upper()}": _text(value) for name, value in chosen.items()}
        self._environment["PYTHONPATH"] = str(root)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop it if it runs."""
        if self._process is not None and self._process.poll() is None:
            self.stop()

    def start(self) -> float:
        """Start the process; when, in monotonic seconds."""
        started = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *self._command],
                cwd=self._root,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        return started

    def stop(self) -> None:
        """As an operator would; killed if it does not obey."""
        self._own().terminate()
        try:
            self._own().wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        self._own().kill()
        self._own().wait(60)

    def samples(self) -> dict[str, float]:
        """Metrics by `name{labels}`; empty while the endpoint does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=30) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        parts = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in parts}

    def total(self, metric: str) -> float:
        """Sum of a metric over its labels; 0 where there is none yet."""
        return sum_of(self.samples(), metric)

    def applied(self) -> float:
        """Events applied so far."""
        return self.total("penchant_events_total")

    def owes_nothing(self) -> bool:
        """Whether nobody whose events are committed still waits for a list. To be asked after what is committed."""
        return self.total("penchant_owed_users") == 0

    def cpu_s(self) -> float:
        """Processor seconds it has used so far."""
        return float(sum(psutil.Process(self._own().pid).cpu_times()[:2]))

    def rss_mib(self) -> float:
        """Resident memory."""
        return float(psutil.Process(self._own().pid).memory_info().rss) / 2**20

    def peak_mib(self) -> float:
        """Most memory that was resident since it started."""
        lines = Path(f"/proc/{self._own().pid}/status").read_text().splitlines()
        return next(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))

    def wait_for(
        self, what: str, condition: Callable[[], bool], timeout_s: float = TIMEOUT_S, poll_s: float = POLL_S
    ) -> float:
        """Until `condition()`; when, in monotonic seconds.

        Raises:
            RuntimeError: the worker ended or the time is up; with the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.check(what)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{what}: not within {timeout_s:g} s\n{self._log_tail()}")
            time.sleep(poll_s)
        return time.monotonic()

    def check(self, what: str) -> None:
        """Raises RuntimeError if the worker has ended before `what`."""
        if self._own().poll() is not None:
            raise RuntimeError(f"the worker ended before {what}:\n{self._log_tail()}")

    def _own(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the worker was not started")
        return self._process

    def _log_tail(self) -> str:
        return self._log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


def wait_until_done(worker: Worker, settings: Settings, timeout_s: float = TIMEOUT_S) -> float:
    """Until every event and every item delta is applied, answered and committed; when, in monotonic seconds."""
    with (
        GroupOffsets(settings.bootstrap_servers, settings.group_id, settings.topic_events) as events,
        GroupOffsets(settings.bootstrap_servers, settings.group_id, settings.topic_item_deltas) as deltas,
    ):
        # Deltas come of a commit of events, so these are asked first.
        return worker.wait_for(
            "everything to be committed",
            # Asked in this order: the commit of an event may leave its user owed a list.
            lambda: (
                all(offsets.committed() >= offsets.total() for offsets in (events, deltas)) and worker.owes_nothing()
            ),
            timeout_s,
        )


def sum_of(samples: dict[str, float], metric: str) -> float:
    """Sum of a metric over its labels."""
    return sum(value for name, value in samples.items() if name.partition("{")[0] == metric)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
