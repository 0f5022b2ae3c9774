"""Partitions, workers, memory, disk, brokers. Pure; every assumption is a line of the answer.

A worker is one Python process: what it computes takes one core, whatever the machine has, and its libraries' threads some of
another. So workers are counted by CPU seconds of one core, at no more than `utilisation`.
"""

from __future__ import annotations

from math import ceil
from typing import Final

import msgspec

from stream.analysis.capacity.costs import Costs

CORES_PER_WORKER: Final = 1.3
"""What one busy worker takes, with the threads of RocksDB and librdkafka."""

PARTITIONS_PER_WORKER: Final = 4
"""So that the installation may become four times as large before the topics have to be made anew."""

PARTITIONS_MIN, PARTITIONS_MAX = 4, 1024
COMPACTION: Final = 2.0
"""Of what is kept: RocksDB and Kafka have old and new until they have compacted."""

BROKER_BYTES_PER_S: Final = 50e6
"""What one broker is counted on to take, replicas included: half of what a gigabit carries. An assumption, not measured."""

CACHES_BYTES: Final = 768 << 20
"""Overlay, block cache, write buffers, fetch buffer, each at its default."""


class Demand(msgspec.Struct, frozen=True):
    """What is asked of the installation, at its busiest."""

    events_per_s: float
    users: int
    items: int
    lists_per_event: float = 1.0
    """Fewer than 1 where people do several things before their list is made anew; 0: states only."""
    requests_per_s: float = 0.0
    """Of `penchant serve`."""
    retention_days: float = 7.0
    """Of events, lists' reasons and item deltas."""
    mean_share: float = 0.4
    """Events of a mean second, of those of the busiest: decides what is kept, not what is computed."""
    replication_factor: int = 3
    standby_replicas: int = 1
    utilisation: float = 0.6
    """Of a core: the rest is for bursts, restarts and catching up."""
    cpu_factor: float = 1.0
    """How many times slower one core is than one of the machine of the costs."""


class Plan(msgspec.Struct, frozen=True):
    """What it needs, in all and by process."""

    partitions: int
    workers: int
    worker_cores: float
    worker_memory_bytes: int
    worker_disk_bytes: int
    serve_processes: int
    serve_memory_bytes: int
    serve_disk_bytes: int
    brokers: int
    broker_cores: float
    broker_disk_bytes: int
    """Of each."""
    network_bytes_per_s: float
    """Written to the brokers, without replicas."""
    assumptions: tuple[str, ...]


def plan(demand: Demand, costs: Costs) -> Plan:
    """The smallest installation that is busy to `utilisation` at most, and survives the loss of one worker and one broker."""
    lists_per_s = demand.events_per_s * demand.lists_per_event
    cpu_per_s = demand.cpu_factor * (demand.events_per_s * costs.cpu_s_per_event + lists_per_s * costs.cpu_s_per_list)
    enough = max(1, ceil(cpu_per_s / demand.utilisation))
    # The others take over what one had, and are then as busy as they may be without falling behind.
    workers = max(enough, ceil(cpu_per_s) + 1, 2)
    partitions = min(PARTITIONS_MAX, max(PARTITIONS_MIN, PARTITIONS_PER_WORKER * workers))
    copies = 1 + min(demand.standby_replicas, workers - 1)
    state_bytes = demand.users * costs.state_bytes_per_user
    serve = _serve(demand, costs)
    network = _network_bytes_per_s(demand, costs, lists_per_s)
    brokers, broker_cores, broker_disk = _brokers(demand, costs, lists_per_s, network, state_bytes)
    return Plan(
        partitions,
        workers,
        CORES_PER_WORKER,
        ceil(costs.worker_base_bytes + demand.items * costs.worker_bytes_per_item + CACHES_BYTES),
        ceil(COMPACTION * copies * state_bytes / workers),
        serve,
        ceil(costs.serve_base_bytes + demand.items * costs.worker_bytes_per_item) if serve else 0,
        ceil(COMPACTION * demand.users * costs.serve_disk_bytes_per_user) if serve else 0,
        brokers,
        broker_cores,
        broker_disk,
        network,
        _assumptions(demand, costs),
    )


def _serve(demand: Demand, costs: Costs) -> int:
    cpu_per_s = demand.cpu_factor * demand.requests_per_s * costs.serve_cpu_s_per_request
    return 0 if demand.requests_per_s == 0 else max(2, ceil(cpu_per_s / demand.utilisation), ceil(cpu_per_s) + 1)


def _network_bytes_per_s(demand: Demand, costs: Costs, lists_per_s: float) -> float:
    per_event = costs.event_bytes + costs.changelog_bytes_per_event + costs.delta_bytes_per_event
    return demand.events_per_s * per_event + lists_per_s * (costs.list_bytes + costs.reasons_bytes_per_list)


def _brokers(
    demand: Demand, costs: Costs, lists_per_s: float, network: float, state_bytes: float
) -> tuple[int, float, int]:
    """How many, cores and disk of each."""
    replicas = demand.replication_factor
    kept_s = demand.retention_days * 86_400 * demand.mean_share
    kept = kept_s * (
        demand.events_per_s * (costs.event_bytes + costs.delta_bytes_per_event)
        + lists_per_s * costs.reasons_bytes_per_list
    )
    compacted = COMPACTION * (state_bytes + demand.users * costs.list_bytes * (demand.lists_per_event > 0))
    cpu_per_s = demand.cpu_factor * (
        demand.events_per_s * costs.broker_cpu_s_per_event + lists_per_s * costs.broker_cpu_s_per_list
    )
    # Followers write what leaders do.
    brokers = max(replicas, ceil(replicas * network / BROKER_BYTES_PER_S))
    return (
        brokers,
        round(max(1.0, cpu_per_s * replicas / demand.utilisation / brokers), 1),
        ceil((kept + compacted) * replicas / brokers),
    )


def _assumptions(demand: Demand, costs: Costs) -> tuple[str, ...]:
    return (
        f"costs: `make bench NAME=costs` at {costs.commit} (release {costs.version}), {costs.measured_on}, on {costs.machine}",
        f"your cores are {demand.cpu_factor:g} times as slow as those",
        f"{demand.lists_per_event:g} lists for each event; fewer where people do several things within a moment",
        f"processes are busy to {demand.utilisation:.0%} at most, and one worker may be lost",
        f"people have {costs.behaviours_per_user:g} behaviours in the mean; state and ledger grow until 64",
        f"{demand.standby_replicas} warm copies of each state on other workers",
        f"events, reasons and deltas are kept for {demand.retention_days:g} days at {demand.mean_share:.0%} of the peak",
        "bytes are before compression",
        f"what is compacted takes up to {COMPACTION:g} times what it holds",
        f"a broker takes {BROKER_BYTES_PER_S / 1e6:g} MB/s with replicas (not measured)",
        "no text encoder: what that takes is on the page of the encoder",
    )
