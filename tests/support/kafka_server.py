"""A local Apache Kafka for tests, through the same `deploy/kafka/run.sh` that people use."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil
from places import ROOT

RUN_SH = ROOT / "deploy" / "kafka" / "run.sh"
KEPT_LIBS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "penchant"
"""Where run.sh keeps the jars."""

HEAP = "-Xmx384m"  # of the 512 MB a test broker may take; the JVM's own memory comes on top
COMMAND_TIMEOUT_S = 150  # longer than run.sh's own deadline of 60 s, because the first start may fetch the jars
DEATH_TIMEOUT_S = 10
MISSING_PREREQUISITE = 3  # run.sh's exit code


_ANY = random.SystemRandom()  # several runs may have seeded the common one alike
_RESERVED = Path(tempfile.gettempdir()) / "penchant-test-ports"
_RESERVED.mkdir(exist_ok=True)
_held: list[IO[str]] = []


class KafkaMissingError(Exception):
    """Java, Maven or the jars are missing; the message says which, and the fix."""


class KafkaServer:
    """One broker with its data in `data_dir`, on ports that stay the same over restarts."""

    def __init__(self, data_dir: Path, properties: str = "") -> None:
        """`properties`: further lines of server.properties; @PORT@ and @CONTROLLER_PORT@ stand for the ports."""
        self.data_dir = data_dir
        self._port, self._controller_port = free_ports(2)
        self._properties = properties.replace("@PORT@", str(self._port)).replace(
            "@CONTROLLER_PORT@", str(self._controller_port)
        )

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What the broker has written since its last start; for the message of a failing test."""
        return (self.data_dir / "kafka.log").read_text(errors="replace")

    def start(self) -> None:
        """Start on the same port with the same data; returns when requests are answered.

        Raises:
            KafkaMissingError: Java, Maven or the jars are missing.
            RuntimeError: it did not start, for any other reason.
        """
        done = self._run("start", str(self._port), str(self._controller_port))
        if done.returncode == MISSING_PREREQUISITE:
            raise KafkaMissingError(done.stderr.strip().splitlines()[-1])
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def stop(self) -> None:
        """Stop in order (SIGTERM); returns when the process has ended. Nothing happens where it does not run."""
        done = self._run("stop")
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    def kill(self) -> None:
        """SIGKILL, as a power cut of the process; returns when it is dead and its port is free again."""
        process = psutil.Process(self.pid)
        process.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + DEATH_TIMEOUT_S
        # A zombie's other threads may still be ending, and until the last has ended its sockets listen.
        while _is_alive(process) or self._listens():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the broker (pid {process.pid}) outlived SIGKILL")
            time.sleep(0.01)

    def _listens(self) -> bool:
        for port in (self._port, self._controller_port):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        return False

    @property
    def pid(self) -> int:
        return int((self.data_dir / "pid").read_text())

    @property
    def running(self) -> bool:
        return self._run("status").returncode == 0

    def set_quota(self, client_id: str, **quotas: int) -> None:
        """Of all clients of that name together: `producer_byte_rate` and so on, bytes a second of a broker."""
        added = ",".join(f"{name}={value}" for name, value in quotas.items())
        self._configure("clients", client_id, added)

    def log_debug(self, logger: str) -> None:
        """Into its log with whatever this logger of the broker's has to say, until it is started again."""
        self._configure("broker-loggers", "1", f"{logger}=DEBUG")

    def _configure(self, entity: str, name: str, added: str) -> None:
        libs = Path(os.environ.get("KAFKA_LIBS") or next(KEPT_LIBS.glob("kafka-*")))
        subprocess.run(
            ["java", HEAP, "-cp", f"{libs}/*", "kafka.admin.ConfigCommand", "--bootstrap-server", self.bootstrap_servers,
             "--alter", "--entity-type", entity, "--entity-name", name, "--add-config", added],
            check=True, capture_output=True, timeout=COMMAND_TIMEOUT_S,
        )  # fmt: skip

    def _run(self, command: str, *ports: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(RUN_SH), command, str(self.data_dir), *ports],
            env=os.environ | {"KAFKA_HEAP_OPTS": HEAP, "KAFKA_PROPERTIES": self._properties},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, and that no other run of tests gets while this process lives.

    Another would have a broker's port while that restarts. So would an outgoing connection: they are below its range.
    """
    found: list[int] = []
    while len(found) < count:
        port = _ANY.randrange(10_000, 32_000)
        with suppress(OSError):
            # Held until the process ends.
            reserved = (_RESERVED / str(port)).open("a")
            try:
                fcntl.flock(reserved, fcntl.LOCK_EX | fcntl.LOCK_NB)
                socket.create_server(("127.0.0.1", port)).close()
            except OSError:
                reserved.close()
                raise
            _held.append(reserved)
            found.append(port)
    return found


def _is_alive(process: psutil.Process) -> bool:
    """False for a zombie too: it is not our child, and a container's first process may never reap it."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
