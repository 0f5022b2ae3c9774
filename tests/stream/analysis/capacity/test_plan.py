"""How large an installation has to be: what follows from what, and that nothing is forgotten."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.analysis.capacity.costs import Costs
from stream.analysis.capacity.plan import PARTITIONS_MAX, Demand, plan

COSTS = Costs(
    version="0.0", commit="abc", machine="a machine", measured_on="2026-12-01",
    cpu_s_per_event=10e-6, cpu_s_per_list=1e-3, broker_cpu_s_per_event=20e-6, broker_cpu_s_per_list=200e-6,
    event_bytes=100, changelog_bytes_per_event=400, delta_bytes_per_event=500, list_bytes=6_000, reasons_bytes_per_list=4_000,
    state_bytes_per_user=1_000, behaviours_per_user=10, worker_base_bytes=200e6, worker_bytes_per_item=7_000,
    serve_cpu_s_per_request=1e-3, serve_base_bytes=400e6, serve_disk_bytes_per_user=20_000,
)  # fmt: skip
SHOP = Demand(events_per_s=1_000, users=1_000_000, items=100_000)


def test_a_shop_by_hand():
    found = plan(SHOP, COSTS)
    assert found.workers == 3  # 1,000 x (10 us + 1 ms) = 1.01 cores; at 60 % two, three so that one may be lost
    assert found.partitions == 12
    assert found.worker_disk_bytes == pytest.approx(2 * 2 * 1e9 / 3, abs=1)  # twice for compaction, one warm copy
    assert found.worker_memory_bytes == pytest.approx(200e6 + 700e6 + (768 << 20), abs=1)
    assert found.network_bytes_per_s == pytest.approx(1_000 * (1_000 + 10_000))
    assert found.brokers == 3
    kept = 7 * 86_400 * 0.4 * 1_000 * (100 + 500 + 4_000)
    assert found.broker_disk_bytes == pytest.approx(kept + 2 * (1e9 + 6e9), rel=1e-6)  # three copies on three brokers
    assert found.serve_processes == 0


def test_the_loss_of_a_worker_leaves_enough_cores_for_the_load():
    for rate in (10, 500, 5_000, 50_000):
        found = plan(msgspec.structs.replace(SHOP, events_per_s=rate), COSTS)
        assert (found.workers - 1) >= rate * 1.01e-3
        assert found.workers >= 2


def test_without_lists_it_takes_a_fraction():
    assert plan(msgspec.structs.replace(SHOP, events_per_s=40_000, lists_per_event=0.0), COSTS).workers == 2
    assert plan(msgspec.structs.replace(SHOP, events_per_s=40_000), COSTS).workers == 68


def test_requests_need_processes_with_room_for_everybody():
    found = plan(msgspec.structs.replace(SHOP, requests_per_s=1_500), COSTS)
    assert found.serve_processes == 3
    assert found.serve_disk_bytes == 2 * 20_000 * SHOP.users


_rates = st.floats(0, 1e5)
_counts = st.integers(0, 10**8)


@given(_rates, _counts, _counts, st.floats(0, 1), _rates, st.floats(0.05, 1), st.integers(0, 5), st.integers(1, 5))
def test_more_of_anything_never_needs_less_of_anything(
    rate: float, users: int, items: int, lists: float, requests: float, busy: float, standbys: int, replicas: int
):
    demand = Demand(
        rate, users, items, lists, requests, utilisation=busy, standby_replicas=standbys, replication_factor=replicas
    )
    less = plan(demand, COSTS)
    assert 4 <= less.partitions <= PARTITIONS_MAX
    assert less.brokers >= replicas
    for more in (
        {"events_per_s": rate * 1.5 + 1},
        {"users": users * 2 + 1},
        {"items": items * 2 + 1},
        {"requests_per_s": requests * 1.5 + 1},
        {"cpu_factor": 2.0},
    ):
        found = plan(msgspec.structs.replace(demand, **more), COSTS)
        assert found.workers >= less.workers
        assert found.partitions >= less.partitions
        assert found.serve_processes >= less.serve_processes
        assert found.brokers * found.broker_disk_bytes >= less.brokers * less.broker_disk_bytes - found.brokers
        # A worker more takes its share of the disk of the others.
        assert found.workers * found.worker_disk_bytes >= less.workers * less.worker_disk_bytes - found.workers


def test_every_assumption_is_told():
    told = "\n".join(plan(SHOP, COSTS).assumptions)
    for word in (
        "make bench NAME=costs",
        "abc",
        "a machine",
        "60%",
        "7 days",
        "before compression",
        "not measured",
        "encoder",
    ):
        assert word in told
