"""Chaos on Apache Kafka: one to three workers, whatever can happen to them, and what must be true afterwards.

    make chaos SEED=1 ROUNDS=50

A table for people, then one line of JSON. Exit code 0: everything held; 1: something did not; 2: it could not be run.
What is done and what it proves: deploy/docs/chaos.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from chaos_checks import Findings, check_disks, check_everything
from chaos_load import ITEMS, Load
from chaos_schedule import ACTIONS, WORKERS, Action, Step, kills, make_schedule
from confluent_kafka import KafkaException
from kafka_server import KafkaMissingError, KafkaServer
from rich.console import Console
from rich.table import Table
from worker_process import Topics, WorkerProcess

from stream.kafka.topics import create_topics

EVENTS_PER_S = 250.0
SESSION_TIMEOUT_S = 3.0
WORK_TIMEOUT_S = 45.0
"""How long a step that waits for work waits; then it is done all the same."""
STOP_TIMEOUT_S = 60.0
SETTLE_TIMEOUT_S = 180.0
QUIET_S = 2.0
TICK_S = 0.05
RESTART_AFTER_S = 0.5
SAMPLE_S = 1.0
WORK = 'penchant_recommendations_total{trigger="event"}'
COUNTERS = (
    "penchant_rebalances_total",
    "penchant_rewinds_total",
    "penchant_events_fenced_total",
    "penchant_commits_total",
)

EXPECTED_CRASHES = {
    "lost its partition": re.compile(r"claimed by another worker|not this worker's to write|no longer a member"),
    "records not acknowledged": re.compile(
        r"not acknowledged within|was not accepted|accepts no more records|was not committed|could not be claimed"
    ),
    "a hole in recovery": re.compile(r"offsets \d+ to \d+ did not arrive"),
    "no broker": re.compile(
        r"Unable to bootstrap|no Kafka broker answers|is not known|cannot be read: .*(transport|timed out|Broker)", re.I
    ),
}
"""How a worker may end by itself when it lost its partition or the broker, or when Faust lost a chunk of changelog (it is
noticed, and read again at the next start); a supervisor starts it again."""


@dataclass
class Crash:
    """A worker that ended by itself."""

    worker: str
    at_event: int
    reason: str
    """A key of `EXPECTED_CRASHES`, or "unexpected"."""
    line: str


@dataclass
class Slot:
    """One worker, over all its lives."""

    name: str
    worker: WorkerProcess
    wanted: bool = False
    """It should be running: should it not, the supervisor starts it."""
    frozen: bool = False
    start_at: float = 0.0
    sleeps_until: float = 0.0
    log_from: int = 0
    sampled_at: float = 0.0
    sample: dict[str, float] = field(default_factory=dict)


@dataclass
class Report:
    """What happened, and whether everything held."""

    seed: int
    rounds: int
    steps: list[tuple[Step, int, str]] = field(default_factory=list)
    """With the event at which it was done, and a remark."""
    crashes: list[Crash] = field(default_factory=list)
    killed: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    settled_s: float | None = None
    took_s: float = 0.0
    findings: Findings = field(default_factory=Findings)

    @property
    def held(self) -> bool:
        return self.settled_s is not None and not self.findings.problems

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "rounds": self.rounds,
            "kills": dict(self.killed),
            "kills_total": sum(self.killed[kind] for kind in ("worker", "worker and disk", "broker")),
            **self.findings.facts,
            "self_crashes": dict(Counter(crash.reason for crash in self.crashes)),
            **{name.removeprefix("penchant_").removesuffix("_total"): int(self.totals[name]) for name in COUNTERS},
            "settled_s": None if self.settled_s is None else round(self.settled_s, 1),
            "took_s": round(self.took_s, 1),
            "problems": len(self.findings.problems),
            "verdict": "pass" if self.held else "fail",
        }


class Chaos:
    """One run. `directory` keeps the workers' disks and logs."""

    def __init__(
        self,
        kafka: KafkaServer,
        directory: Path,
        seed: int,
        rounds: int,
        say: Callable[[str], None],
        actions: Collection[Action] = ACTIONS,
    ) -> None:
        self._kafka, self._directory, self._say = kafka, directory, say
        self.topics = Topics(
            kafka.bootstrap_servers,
            f"chaos-{seed}-{time.time_ns():x}",
            session_timeout_s=SESSION_TIMEOUT_S,
            rebalance_timeout_s=20.0,
        )
        self._steps = make_schedule(seed, rounds, EVENTS_PER_S, SESSION_TIMEOUT_S, actions)
        self._load = Load(self.topics, seed, EVENTS_PER_S)
        self.report = Report(seed, rounds)
        self._slots: dict[str, Slot] = {}
        self._done_at_work = 0.0
        self._done_at_event = self._planned_at = 0

    def run(self) -> Report:
        """Everything: start, the schedule, quiet, checks."""
        started = time.monotonic()
        create_topics(self.topics.settings)
        items = ((f"i{i}", {"item_id": f"i{i}", "title": f"Item {i}"}) for i in range(ITEMS))
        self.topics.produce(self.topics.settings.topic_items, [(k.encode(), json.dumps(v).encode()) for k, v in items])
        with ExitStack() as stack:
            for name in WORKERS:
                worker = WorkerProcess(self.topics.settings, self._directory / name)
                stack.callback(worker.__exit__)
                self._slots[name] = Slot(name, worker)
            self._start(self._slots[WORKERS[0]])
            self._load.start()
            for step in self._steps:
                self._until(step)
                self._do(step)
            self._settle()
            if self.report.settled_s is not None:
                self._check()
        self.report.took_s = time.monotonic() - started
        return self.report

    # --- the schedule ---

    def _until(self, step: Step) -> None:
        """Time passes: the supervisor looks after the workers until the step is due."""
        due = self._done_at_event + step.at_event - self._planned_at  # the gap is kept, however late the last step was
        while self._load.written < due:
            self._tick()
        while step.action == "wake" and time.monotonic() < self._slots[step.target].sleeps_until:
            self._tick()
        deadline = time.monotonic() + WORK_TIMEOUT_S
        while step.after_work and self._work() <= self._done_at_work and time.monotonic() < deadline:
            self._tick()
        while any(self._slots[name].start_at for name in step.target.split("+") if name in self._slots):
            self._tick()  # it is dead: first it must live again
        self._done_at_work, self._done_at_event, self._planned_at = self._work(), self._load.written, step.at_event

    def _do(self, step: Step) -> None:
        at, remark = self._load.written, ""
        slots = [self._slots[name] for name in step.target.split("+") if name in self._slots]
        match step.action:
            case "kill" | "wipe" | "kill all":
                for slot in slots:
                    remark = self._kill(slot, step.down_s, wipe=step.action == "wipe")
            case "restart" | "leave":
                remark = self._terminate(slots[0])
                if step.action == "leave":
                    slots[0].wanted, slots[0].start_at = False, 0.0
            case "pause":
                slots[0].worker.process.send_signal(signal.SIGSTOP)
                self._for(step.down_s, but=slots[0])
                slots[0].worker.process.send_signal(signal.SIGCONT)
            case "freeze":
                slots[0].worker.process.send_signal(signal.SIGSTOP)
                slots[0].frozen, slots[0].sleeps_until = True, time.monotonic() + step.down_s
            case "wake":
                slots[0].worker.process.send_signal(signal.SIGCONT)
                slots[0].frozen = False
            case "join":
                self._start(slots[0])
            case "broker":
                self._kafka.kill()
                self.report.killed["broker"] += 1
                self._for(step.down_s)
                self._start_broker()
        self.report.steps.append((step, at, remark))
        self._say(f"round {step.round}: {step.action} {step.target} at event {at:,} {remark}".rstrip())

    def _start_broker(self) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while True:
            try:
                self._kafka.start()
            except RuntimeError:
                # A client that seeks the dead broker may for a moment hold its port: as the source of its own connection.
                if time.monotonic() > deadline:
                    raise
                self._for(0.5)
            else:
                return

    def _kill(self, slot: Slot, down_s: float, wipe: bool) -> str:
        self._sample(slot)
        if slot.worker.process.poll() is not None:
            return "was down already"
        slot.worker.kill()
        self.report.killed["worker and disk" if wipe else "worker"] += 1
        self._ended(slot, down_s)
        if wipe:
            shutil.rmtree(slot.worker.data_dir, ignore_errors=True)
        return ""

    def _terminate(self, slot: Slot) -> str:
        self._sample(slot)
        if slot.worker.process.poll() is not None:
            return "was down already"
        try:
            took_s = slot.worker.terminate()
        except subprocess.TimeoutExpired:
            self._problem(slot, f"did not stop within {STOP_TIMEOUT_S:g} s of SIGTERM")
            slot.worker.kill()
            self._ended(slot, 0.0)
            return "hung"
        self.report.killed["SIGTERM"] += 1
        if slot.worker.process.returncode not in (0, -signal.SIGTERM):  # the latter: it was still being loaded
            self._note_crash(slot)
        self._ended(slot, 0.0)
        return f"stopped in {took_s:.1f} s"

    def _for(self, seconds: float, but: Slot | None = None) -> None:
        if but is not None:
            but.frozen = True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._tick()
        if but is not None:
            but.frozen = False

    # --- the supervisor ---

    def _tick(self) -> None:
        now = time.monotonic()
        for slot in self._slots.values():
            if not slot.wanted or slot.frozen:
                continue
            if slot.start_at:
                if now >= slot.start_at:
                    self._start(slot)
            elif slot.worker.process.poll() is not None:
                self._note_crash(slot)
                self._ended(slot, RESTART_AFTER_S)
            elif now - slot.sampled_at > SAMPLE_S:
                self._sample(slot)
        time.sleep(TICK_S)

    def _start(self, slot: Slot) -> None:
        slot.wanted, slot.frozen, slot.start_at = True, False, 0.0
        slot.log_from = slot.worker.log_path.stat().st_size if slot.worker.log_path.exists() else 0
        slot.worker.start()

    def _ended(self, slot: Slot, down_s: float) -> None:
        """Its life is over: keep what it counted, and plan the next."""
        self.report.totals.update({name: int(value) for name, value in slot.sample.items()})
        slot.sample = {}
        slot.start_at = time.monotonic() + max(down_s, 0.001)

    def _sample(self, slot: Slot) -> None:
        slot.sampled_at = time.monotonic()
        try:
            metrics = slot.worker.metrics()
        except HTTPException:
            return
        if metrics:
            slot.sample = {name: metrics.get(name, 0.0) for name in (WORK, *COUNTERS)}

    def _work(self) -> float:
        """Lists that the workers say to have published because of an event."""
        return self.report.totals[WORK] + sum(slot.sample.get(WORK, 0) for slot in self._slots.values())

    def _note_crash(self, slot: Slot) -> None:
        with slot.worker.log_path.open("rb") as log:
            log.seek(slot.log_from)
            lines = log.read().decode(errors="replace").strip().splitlines()
        told = [line for line in lines if line.startswith("penchant: ")]
        line = told[-1] if told else (lines[-1] if lines else "it said nothing")
        reason = next(
            (name for name, pattern in EXPECTED_CRASHES.items() if told and pattern.search(line)), "unexpected"
        )
        crash = Crash(slot.name, self._load.written, reason, f"exit {slot.worker.process.returncode}: {line}"[:400])
        self.report.crashes.append(crash)
        self._say(f"  worker {slot.name} ended by itself ({reason}): {crash.line}")
        if reason == "unexpected":
            self._problem(slot, f"an unexpected crash, {crash.line}; see {slot.worker.log_path}")

    def _problem(self, slot: Slot, what: str) -> None:
        self.report.findings.problems.append(f"worker {slot.name}: {what}")

    # --- quiet ---

    def _settle(self) -> None:
        """No more events, nobody asleep: until everything has been applied, answered and committed."""
        started = time.monotonic()
        self._load.stop(SETTLE_TIMEOUT_S)
        quiet_since: float | None = None
        while time.monotonic() - started < SETTLE_TIMEOUT_S:
            self._tick()
            if not self._all_done():
                quiet_since = None
            elif quiet_since is None:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > QUIET_S:
                self.report.settled_s = quiet_since - started
                return
            self._for(0.3)
        tails = {s.name: s.worker.log[-1500:] for s in self._slots.values() if s.wanted}
        self.report.findings.problems.append(
            f"not everything was committed within {SETTLE_TIMEOUT_S:g} s: "
            f"committed {self.topics.committed(self.topics.settings.topic_events)} of "
            f"{self.topics.ends(self.topics.settings.topic_events)}, item deltas "
            f"{self.topics.committed(self.topics.settings.topic_item_deltas)} of "
            f"{self.topics.ends(self.topics.settings.topic_item_deltas)}; logs: {tails}"
        )

    def _all_done(self) -> bool:
        try:
            return self.topics.all_committed() and self.topics.deltas_committed()
        except (KafkaException, KeyError):  # a broker that has just come back
            return False

    def _check(self) -> None:
        expected, items = self.topics.reference()
        found = check_everything(self.topics, self._load, expected, items)
        for slot in self._slots.values():
            if slot.wanted and slot.worker.process.poll() is None:
                self._terminate(slot)
                slot.wanted = False
        disks = check_disks(self.topics, [slot.worker.data_dir for slot in self._slots.values()], expected)
        self.report.findings.problems += found.problems + disks.problems
        self.report.findings.facts |= found.facts | disks.facts


def run_chaos(
    kafka: KafkaServer,
    directory: Path,
    seed: int,
    rounds: int,
    say: Callable[[str], None] = lambda _: None,
    actions: Collection[Action] = ACTIONS,
) -> Report:
    """One run on a running broker, whose workers keep disks and logs in `directory`."""
    return Chaos(kafka, directory, seed, rounds, say, actions).run()


def show(report: Report, console: Console) -> None:
    """The report for people."""
    table = Table("round", "action", "target", "at event", "waited for work", "down, s", "remark", title="chaos")
    for step, at, remark in report.steps:
        waited, down = "yes" if step.after_work else "", f"{step.down_s:g}" if step.down_s else ""
        table.add_row(str(step.round), step.action, step.target, f"{at:,}", waited, down, remark)
    console.print(table)
    if report.crashes:
        ended = Table("worker", "at event", "reason", "its last line", title="workers that ended by themselves")
        for crash in report.crashes:
            ended.add_row(crash.worker, f"{crash.at_event:,}", crash.reason, crash.line)
        console.print(ended)
    for problem in report.findings.problems:
        console.print(f"FAILED {problem}", markup=False)
    settled = "never" if report.settled_s is None else f"after {report.settled_s:.1f} s"
    console.print(
        f"{sum(report.killed.values())} ends on purpose ({dict(report.killed)}), {len(report.crashes)} by themselves; "
        f"settled {settled}; {'everything held' if report.held else 'NOT everything held'}.",
        markup=False,
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same schedule and the same events")
    parser.add_argument("--rounds", type=int, default=50, help="things that go wrong")
    parser.add_argument("--keep", type=Path, help="a directory to keep logs and disks in (default: a temporary one)")
    parser.add_argument(
        "--actions",
        nargs="+",
        choices=ACTIONS,
        default=ACTIONS,
        help="only these (default: all), to look into one kind",
    )
    parser.add_argument("--plan", action="store_true", help="only show what would be done")
    options = parser.parse_args(arguments)
    if options.plan:
        steps = make_schedule(options.seed, options.rounds, EVENTS_PER_S, SESSION_TIMEOUT_S, options.actions)
        for step in steps:
            print(*step, sep="\t")
        print(f"{kills(steps)} kills")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # broker and workers must not outlive the run
    with ExitStack() as stack:
        if options.keep is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penchant-chaos-")))
        else:
            directory = options.keep.resolve()
            directory.mkdir(parents=True, exist_ok=True)
        kafka = KafkaServer(directory / "kafka")
        (directory / "kafka").mkdir(exist_ok=True)
        try:
            kafka.start()
        except KafkaMissingError as missing:
            sys.stderr.write(f"chaos: {missing}\n")
            return 2
        stack.callback(kafka.stop)
        report = run_chaos(
            kafka, directory, options.seed, options.rounds, lambda line: print(line, flush=True), options.actions
        )
    show(report, Console(width=None if sys.stdout.isatty() else 160))
    print(json.dumps(report.as_json()))
    return 0 if report.held else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
