"""Kafka -> decode -> state -> changelog durable -> committed: one worker, and the same job on other engines, in one run.

All events lie in the topic before an engine starts, and one engine runs at a time, the broker beside it. A rate is the number
of events divided by the time from the engine's first event until all of them are applied, durable and committed. What that
means for each engine stands under the table. Processor time is the engine's own in that time; the broker's stands apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import plots
from benchmarks.engines import PEERS_MEASURED, CpuClock, Measured, NotInstallableError, measure
from benchmarks.kafka import Broker, GroupOffsets, local_kafka
from benchmarks.processes import Worker, can_switch_recommending_off, settings_of
from benchmarks.workload import catalogue, events, produce
from stream.kafka.topics import create_topics
from stream.settings import Settings

OTHERS_TOLERATED = 0.05
PENCHANT_DURABLE_WHEN = "its group has committed the source offsets, which it does after changelog and RocksDB"


def run(arguments: Sequence[str]) -> dict[str, float]:
    """Figures of one run."""
    options = _options(arguments)
    switch: dict[str, object] = {"recommend": False} if can_switch_recommending_off() else {}
    if not switch:
        _say("this worker has no setting `recommend`: its state-only figure includes statistics, lists and reasons")
    with local_kafka() as broker, tempfile.TemporaryDirectory(prefix="penchant-bench-") as directory:
        state = settings_of(broker.bootstrap_servers, "state", **switch)
        everything = settings_of(broker.bootstrap_servers, "everything")
        for settings, n in ((state, options.events), (everything, options.everything_events)):
            create_topics(settings)
            produce(broker.bootstrap_servers, settings.topic_items, catalogue())
            produce(broker.bootstrap_servers, settings.topic_events, events(n))
        own = _penchant("Penchant", state, broker, Path(directory) / "state")
        all_of_it = _penchant(
            "Penchant, with every list and reason", everything, broker, Path(directory) / "everything"
        )
        peers = _peers(broker, state.topic_events, options)
    results = [own, all_of_it, *(result for _, result in peers)]
    _show(results)
    plots.throughput({result.label: result.per_s for result in results})
    busiest = max(result.others_share for result in results)
    if busiest > OTHERS_TOLERATED:
        _say(
            f"other programs took up to {busiest:.0%} of the machine: rates and ratios of this run are not to be published"
        )
    return _figures(own, all_of_it, peers) | {"others_share_max": busiest}


def _penchant(label: str, settings: Settings, broker: Broker, data_dir: Path) -> Measured:
    with (
        GroupOffsets(broker.bootstrap_servers, settings.group_id, settings.topic_events) as offsets,
        Worker(settings, data_dir) as worker,
    ):
        total = offsets.total()
        started, clock = time.monotonic(), CpuClock(worker.cpu_s, broker)

        def has_begun() -> bool:
            """Notes the last moment at which nothing was applied: the clocks run from there."""
            nonlocal started, clock
            before = time.monotonic(), CpuClock(worker.cpu_s, broker)
            if worker.applied() > 0:
                return True
            started, clock = before
            return False

        worker.wait_for("its first event", has_begun)
        ended = worker.wait_for(
            "everything to be committed", lambda: offsets.committed() >= total and worker.owes_nothing()
        )
        return clock.measured(label, total, ended - started, PENCHANT_DURABLE_WHEN)


def _peers(broker: Broker, topic: str, options: argparse.Namespace) -> list[tuple[str, Measured]]:
    results: list[tuple[str, Measured]] = []
    missing: set[str] = set()
    for peer in PEERS_MEASURED:
        if peer.name in missing or (options.peers is not None and peer.name not in options.peers.split(",")):
            continue
        events_given = options.events if peer.fast else min(options.events, options.slow_events)
        try:
            results.append((peer.name, measure(peer, broker, topic, events_given, options.timeout)))
        except NotInstallableError as error:
            missing.add(peer.name)
            _say(f"skipped {error}")
        except RuntimeError as error:
            _say(f"skipped {peer.label}: {error}")
    return results


def _figures(own: Measured, everything: Measured, peers: Sequence[tuple[str, Measured]]) -> dict[str, float]:
    """A peer's figure is that of its fastest variant, even where that promises less."""
    figures = {
        "penchant_events_per_s": own.per_s,
        "penchant_events_per_cpu_s": own.per_cpu_s,
        "penchant_everything_events_per_s": everything.per_s,
        "penchant_everything_events_per_cpu_s": everything.per_cpu_s,
    }
    for name in dict.fromkeys(name for name, _ in peers):
        fastest = max((result for peer, result in peers if peer == name), key=lambda result: result.per_s)
        figures |= {
            f"{name}_events_per_s": fastest.per_s,
            f"{name}_events_per_cpu_s": fastest.per_cpu_s,
            f"over_{name}": own.per_s / fastest.per_s,
        }
    for name, result in peers:
        variant = result.label.lower().replace(",", "").replace(" ", "_")
        if variant != name and sum(peer == name for peer, _ in peers) > 1:
            figures[f"{variant}_events_per_s"] = result.per_s
    return figures


def _show(results: Sequence[Measured]) -> None:
    table = Table("engine", title="throughput")
    for column in ("events", "s", "events/s", "per CPU s", "broker CPU s", "others", "durable"):
        table.add_column(column, justify="right", no_wrap=True)
    notes = list(dict.fromkeys(result.durable_when for result in results))
    for r in results:
        note = f"({notes.index(r.durable_when) + 1})"
        numbers = (
            f"{r.events:,}",
            f"{r.seconds:.1f}",
            f"{r.per_s:,.0f}",
            f"{r.per_cpu_s:,.0f}",
            f"{r.broker_cpu_s:.1f}",
            f"{r.others_share:.0%}",
        )
        table.add_row(r.label, *numbers, note)
    console = Console(width=max(Console().width, 120))
    console.print(table)
    console.print("Durable when:", *(f"({i}) {note}." for i, note in enumerate(notes, 1)))


def _say(line: str) -> None:
    sys.stderr.write(f"throughput: {line}\n")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench NAME=throughput ARGS=")
    parser.add_argument("--events", type=int, default=1_000_000, help="events in the topic")
    parser.add_argument("--everything-events", type=int, default=200_000, help="events with every list and reason")
    parser.add_argument("--slow-events", type=int, default=50_000, help="of these, events given to plain Faust")
    parser.add_argument("--peers", help="only these, comma separated: faust,quix,bytewax,kafka_streams; '' for none")
    parser.add_argument("--timeout", type=float, default=240.0, help="seconds one peer may take")
    return parser.parse_args(arguments)
