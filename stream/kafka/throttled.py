"""How long brokers make clients wait because they exceed a quota."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

OnThrottled = Callable[[float], None]
"""Told the seconds for which a broker held an answer back; called from any thread."""


def telling(on_throttled: OnThrottled | None) -> dict[str, Any]:
    """What of a client's configuration makes it tell; librdkafka calls while the client is polled or flushed."""
    if on_throttled is None:
        return {}

    def tell(event: Any) -> None:
        on_throttled(event.throttle_time)

    return {"throttle_cb": tell}
