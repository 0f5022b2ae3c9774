"""`penchant plan`: how large an installation has to be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from stream.analysis.capacity.costs import Costs, read, shipped
from stream.analysis.capacity.plan import CORES_PER_WORKER, Demand, Plan, plan
from stream.cli import options
from stream.cli.apps import command_app, teach
from stream.display.terminal import Cell, say, say_json, show_table, stdout
from stream.errors import UsageError

GIB: Final = 1 << 30
_DEMAND: Final = "What is asked"
_HOW: Final = "How it is to be met"

app = command_app()


@app.command(
    "plan",
    help=teach(
        "Say how many partitions, workers, brokers and how much memory and disk it takes, from what this release was measured "
        "to cost.",
        "penchant plan --events-per-s 2000 --users 5000000 --items 200000",
        "penchant plan --events-per-s 2000 --users 5000000 --items 200000 --requests-per-s 500 --json",
        then="`make bench NAME=costs` on a machine like yours, and --costs with its table; deploy/docs/plan.md.",
    ),
)
def plan_(
    events_per_s: Annotated[float, options.option("Of the busiest second.", _DEMAND, "N", min=0)],
    users: Annotated[int, options.option("Of whom something is known.", _DEMAND, "N", min=0)],
    items: Annotated[int, options.option("Of the catalogue.", _DEMAND, "N", min=0)],
    lists_per_event: Annotated[
        float, options.option("How many lists an event leads to; 0 keeps states only.", _DEMAND, "N", min=0, max=1)
    ] = 1.0,
    requests_per_s: Annotated[float, options.option("Asked of `penchant serve`.", _DEMAND, "N", min=0)] = 0.0,
    retention_days: Annotated[float, options.option("Of events and reasons.", _HOW, "DAYS", min=0)] = 7.0,
    replicas: Annotated[int, options.option("Of every topic.", _HOW, "N", min=1, max=10)] = 3,
    standbys: Annotated[int, options.option("Warm copies of each state.", _HOW, "N", min=0, max=10)] = 1,
    utilisation: Annotated[
        float, options.option("How busy a process may be in that second.", _HOW, "SHARE", min=0.05, max=1)
    ] = 0.6,
    cpu_factor: Annotated[
        float,
        options.option("How many times as slow your cores are as those of the costs.", _HOW, "N", min=0.05, max=50),
    ] = 1.0,
    costs: Annotated[
        Path | None, options.optional("A table of costs of your own. Default: that of this release.", _HOW, "FILE")
    ] = None,
    json_: Annotated[bool, options.flag("--json", "One JSON object.")] = False,
) -> None:
    demand = Demand(
        events_per_s=events_per_s, users=users, items=items, lists_per_event=lists_per_event,
        requests_per_s=requests_per_s, retention_days=retention_days, replication_factor=replicas,
        standby_replicas=standbys, utilisation=utilisation, cpu_factor=cpu_factor,
    )  # fmt: skip
    found = plan(demand, _costs(costs))
    if json_:
        say_json(stdout(), msgspec.to_builtins(demand) | {"plan": msgspec.to_builtins(found)})
    else:
        _show(found)


def _costs(path: Path | None) -> Costs:
    if path is None:
        return shipped()
    try:
        return read(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", "name a table of `make bench NAME=costs`"
        ) from None


def _show(found: Plan) -> None:
    console = stdout()
    rows: list[tuple[Any, ...]] = [
        ("workers", found.workers, CORES_PER_WORKER, found.worker_memory_bytes, found.worker_disk_bytes),
        ("serve processes", found.serve_processes, 1.0, found.serve_memory_bytes, found.serve_disk_bytes),
        ("brokers", found.brokers, found.broker_cores, None, found.broker_disk_bytes),
    ]
    show_table(
        console,
        ("what", "how many", "cores of each", "memory of each", "disk of each"),
        [
            (Cell(what), Cell(f"{n}"), Cell(f"{cores:.1f}"), Cell(_gib(memory)), Cell(_gib(disk)))
            for what, n, cores, memory, disk in rows
            if n
        ],
    )
    say(
        console,
        f"Partitions of the events topic: {found.partitions}. Written to Kafka: {found.network_bytes_per_s / 1e6:.1f} MB/s.",
    )
    say(console, "Taken for granted:", "bold")
    for line in found.assumptions:
        say(console, f"- {line}")


def _gib(n_bytes: int | None) -> str:
    return "as Kafka asks" if n_bytes is None else f"{max(0.1, n_bytes / GIB):,.1f} GiB"
