"""The competitor: the state part of the worker's job on plain Faust, as its users write it (JSON state, one table).

Not tuned: default settings, one event at a time, changelog by the table. Prints `RATE events/s` and stops after LIMIT events.
"""

from __future__ import annotations

import math
import os
import time
from typing import Any

import faust

STRENGTH = {"view": 0.2, "click": 1.0, "cart": 2.0, "purchase": 4.0}
HALF_LIFE_MS = 6 * 3_600_000
RING = 64

app = faust.App(
    f"plain-faust-{os.getpid()}",
    broker=f"kafka://{os.environ['BOOTSTRAP_SERVERS']}",
    store="rocksdb://",
    web_enabled=False,
    datadir=os.environ["DATA_DIR"],
    topic_disable_leader=True,
    table_standby_replicas=0,
    consumer_auto_offset_reset="earliest",
    topic_partitions=4,
)
events = app.topic(os.environ["TOPIC"], value_serializer="json", key_serializer="raw")
states = app.Table("states", partitions=4, key_type=str, options={"driver": "rocksdict"})
LIMIT = int(os.environ["LIMIT"])


def update(state: dict[str, Any] | None, event: dict[str, Any]) -> dict[str, Any]:
    """The last 64 behaviours and two decayed sums."""
    state = state or {"ring": [], "short": 0.0, "long": 0.0, "time": 0, "count": 0}
    state["ring"] = [*state["ring"], [event["item_id"], event["event_time"], event["action"]]][-RING:]
    elapsed = max(0, event["event_time"] - state["time"]) if state["time"] else 0
    strength = STRENGTH[event["action"]]
    state["short"] = state["short"] * math.exp(-elapsed / HALF_LIFE_MS) + strength
    state["long"] = state["long"] * math.exp(-elapsed / (HALF_LIFE_MS * 28)) + strength
    state["time"], state["count"] = max(state["time"], event["event_time"]), state["count"] + 1
    return state


@app.agent(events)  # type: ignore[untyped-decorator]
async def track(stream: Any) -> None:
    started, n = 0.0, 0
    async for event in stream:
        started = started or time.monotonic()
        states[event["user_id"]] = update(states.get(event["user_id"]), event)
        n += 1
        if n == LIMIT:
            # Faust turns what is written to sys.stdout into log lines.
            os.write(1, f"RATE {n / (time.monotonic() - started):.0f}\n".encode())
            os._exit(0)


if __name__ == "__main__":
    app.main()
