"""Is anything listening at `bootstrap_servers`? Asked before librdkafka is, which says so 20 times a second on stderr.

Plain sockets, so that Ctrl-C ends the waiting at once; inside librdkafka's calls it only counts when they return.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from stream.errors import BrokerUnreachableError
from stream.settings import Settings

_RETRY_S = 0.2
_ATTEMPT_S = 3.0


def wait_for_broker(
    settings: Settings, timeout_s: float | None = None, on_wait: Callable[[str], None] | None = None
) -> None:
    """Return when one of the servers accepts a connection; `on_wait` hears once why it takes longer.

    Raises:
        BrokerUnreachableError: none did within `timeout_s` (default: `connect_timeout_s`).
    """
    timeout_s = settings.connect_timeout_s if timeout_s is None else timeout_s
    deadline = time.monotonic() + timeout_s
    servers = settings.bootstrap_servers.split(",")
    while True:
        problems = []
        for server in servers:
            problem = _try(server, max(0.05, min(_ATTEMPT_S, deadline - time.monotonic())))
            if problem is None:
                return
            problems.append(problem)
        if on_wait is not None:
            on_wait(problems[0])
            on_wait = None
        if time.monotonic() + _RETRY_S > deadline:
            raise BrokerUnreachableError(
                f"no Kafka broker answers at {settings.bootstrap_servers} within {timeout_s:g} s ({problems[0]}).",
                "start one (`make kafka`, or `penchant demo --serve`), or set --bootstrap-servers",
            )
        time.sleep(_RETRY_S)


def _try(server: str, timeout_s: float) -> str | None:
    """None if it accepts a connection, else why not."""
    host, _, port = server.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
    except socket.gaierror:
        return f"no such host {host}"
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None
