"""An Apache Kafka of the benchmark's own, through the script that people use (`deploy/kafka/run.sh`)."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUN_SH = Path(__file__).resolve().parents[1] / "deploy" / "kafka" / "run.sh"


@contextmanager
def local_kafka() -> Iterator[str]:
    """Bootstrap address of a fresh one-node broker, stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="penchant-bench-kafka-") as directory:
        ports = []
        for _ in range(2):
            with socket.create_server(("127.0.0.1", 0)) as free:
                ports.append(str(free.getsockname()[1]))
        subprocess.run([str(RUN_SH), "start", directory, *ports], check=True, timeout=300)
        try:
            yield f"127.0.0.1:{ports[0]}"
        finally:
            subprocess.run([str(RUN_SH), "stop", directory], check=True, timeout=60)
