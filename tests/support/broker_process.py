"""The embedded broker as a process of its own, which can be held still: `python broker_process.py TOPIC=PARTITIONS ...`."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType

from places import ROOT

from stream.kafka.embedded import EmbeddedBroker

TIMEOUT_S = 60


class BrokerProcess:
    """Running from construction until the end of the context."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        command = [sys.executable, __file__, *(f"{name}={partitions}" for name, partitions in topics.items())]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.bootstrap_servers = self._process.stdout.readline().strip()
        assert self.bootstrap_servers, "the broker did not start"

    def hold(self) -> None:
        """From now on nobody is answered, and connections stay."""
        self._process.send_signal(signal.SIGSTOP)

    def let_go(self) -> None:
        """It answers again."""
        self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> BrokerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait(TIMEOUT_S)


def main() -> None:
    topics = {name: int(partitions) for name, _, partitions in (each.partition("=") for each in sys.argv[1:])}
    with EmbeddedBroker(topics) as broker:
        print(broker.bootstrap_servers, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
